"""The methods that calls need of their user agent.

Theory of operation: the user agent makes calls and finds them, so it stands above them. This file declares
the methods that calls use, and the type checker compares the user agent with it.
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
    from sansip.ua.strangers import Strangers
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
    def strangers(self) -> Strangers: ...
    @property
    def notices(self) -> LimitNotices: ...
    def next_number(self) -> int: ...
    def add(self, call: Any) -> None: ...
    def renumber(self, call: Any, number: int) -> None: ...
    def forget(self, call: Any) -> None: ...
    def watch(self, call: Any, now: float) -> None: ...
    def settled(self, call: Any) -> None: ...
    def usage_of_caller(self, request: Request, response: Response, flow: Flow | None) -> InviteUsage: ...
    def way_back(self, flow: Flow | None, response: Response, hop: Flow | None) -> Flow | None: ...
