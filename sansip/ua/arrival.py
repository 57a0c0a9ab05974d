"""A request as a user agent sees it: its message, and the way its answers go back.

Theory of operation: routing stands above user agents and makes the request handles. So this file declares
what a user agent needs of a handle, and the type checker compares the handle with it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from sansip.transaction import ServerTransaction
    from sansip.transaction.base import ServerUser
    from sansip.transport import Flow
    from sansip.wire import Request, Response

__all__ = ["Arrival"]


class Arrival(Protocol):
    """One request that arrived."""

    message: Request
    flow: Flow
    now: float
    # None for the ACK of a 2xx.
    server: ServerTransaction | None

    @property
    def is_stranger(self) -> bool: ...
    @property
    def proven(self) -> bool: ...
    @property
    def is_trusted(self) -> bool: ...
    @property
    def behind_nat(self) -> bool: ...

    def refuse(
        self, status: int, reason: str | None = None, headers: Iterable[tuple[str, str]] = ()
    ) -> None: ...
    def respond(self, response: Response, now: float) -> None: ...
    def hand_over(self, user: ServerUser) -> None: ...
