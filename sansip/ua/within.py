"""A request within a call, while its answer is awaited: it gets its CANCEL."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sansip.transaction import ServerTransaction
    from sansip.ua.arrival import Arrival
    from sansip.ua.call import Call
    from sansip.ua.owner import Owner
    from sansip.wire import Request

__all__ = ["Within"]


class Within:
    """The user of the server transaction of a request within ``call``."""

    __slots__ = ("_agent", "_arrival", "_call")

    def __init__(self, agent: Owner, call: Call, arrival: Arrival) -> None:
        self._agent = agent
        self._call = call
        self._arrival = arrival

    def local_tag(self) -> str:
        return self._call.dialog.id.local_tag

    def cancel(self, now: float, reason: str | None) -> None:
        """RFC 3261 9.2: a re-INVITE that is not answered yet gets 487; the session stays as it is."""
        self._agent.now = now
        call = self._call
        call.perform(call.usage.answer(self._arrival, 487, b"", [], now), now)
        call.handler.cancelled(call, self._arrival, now)

    def ack_received(self, transaction: ServerTransaction, ack: Request, now: float) -> None:
        """An ACK of a 2xx that carries the branch of its re-INVITE (RFC 6026 7.1)."""
        self._agent.now = now
        self._call.perform(self._call.usage.received(ack, None, now), now)

    def server_failed(self, transaction: ServerTransaction, reason: str, now: float) -> None:
        pass  # the usage knows by its own timers
