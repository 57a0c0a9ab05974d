"""What calls need of the user agent that they belong to.

Theory of operation: the user agent makes calls and finds them, so it stands above them. What they ask of it
is written down here, and it is held to that by its types.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from sansip.client import Client
    from sansip.dialog import InviteUsage
    from sansip.limits import Limits
    from sansip.notices import LimitNotices
    from sansip.transport import Flow
    from sansip.ua.config import UserAgentConfig
    from sansip.wire import Request, Response

__all__ = ["Owner"]


class Owner(Protocol):
    """The user agent, as its calls see it. A ``call`` is a ``sansip.ua.call.Call``."""

    now: float
    tell: Callable[[Any, float], None]

    @property
    def client(self) -> Client: ...
    @property
    def config(self) -> UserAgentConfig: ...
    @property
    def dialogs(self) -> int: ...
    @property
    def limits(self) -> Limits: ...
    @property
    def notices(self) -> LimitNotices: ...
    def next_number(self) -> int: ...
    def add(self, call: Any) -> None: ...
    def forget(self, call: Any) -> None: ...
    def watch(self, call: Any, now: float) -> None: ...
    def settled(self, call: Any) -> None: ...
    def owes_ack(self, call: Any) -> None: ...
    def has_ack(self, call: Any) -> None: ...
    def usage_of_caller(self, request: Request, response: Response, flow: Flow | None) -> InviteUsage: ...
    def way_back(self, flow: Flow | None, response: Response, hop: Flow | None) -> Flow | None: ...
