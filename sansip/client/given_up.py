"""A place that was given up: perhaps it is only slow (RFC 3261 9.1, RFC 3263 4.3).

Theory of operation: its transaction sends no more requests, but stays in the table. If the phone begins to
ring, the client sends a CANCEL; a 2xx of the phone still counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from sansip.client.cancel import cancel_forgotten

if TYPE_CHECKING:
    from sansip.client.outlet import Outlet
    from sansip.transaction import ClientTransaction
    from sansip.transaction.base import ClientUser
    from sansip.wire import Response

__all__ = ["GivenUp"]


class Trying(Protocol):
    """The methods that are needed of an attempt."""

    client: Outlet

    def remainder(self) -> ClientUser: ...

    def feed(self, given: str, argument: Any, now: float) -> None: ...


class GivenUp:
    """The user of a client transaction that ``attempt`` waits for no longer. ``reason`` as in RFC 3326."""

    __slots__ = ("_cancelled", "_reason", "attempt")

    def __init__(self, attempt: Trying, reason: str | None, *, cancelled: bool) -> None:
        self.attempt = attempt
        self._reason = reason
        self._cancelled = cancelled

    def cancel(self, transaction: ClientTransaction, now: float) -> None:
        """It rings, so it may be cancelled (RFC 3261 9.1); once, and only an INVITE."""
        if not self._cancelled and transaction.method == "INVITE":
            self._cancelled = True
            cancel_forgotten(self.attempt.client.transactions, transaction, self._reason, now)

    def response_received(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        status = response.status
        if status < 200:
            self.cancel(transaction, now)
            return
        transaction.user = self.attempt.remainder()
        if status < 300:
            self.attempt.feed("late 2xx", (transaction, response), now)

    def client_failed(self, transaction: ClientTransaction, reason: str, now: float) -> None:
        """It was given up already."""
