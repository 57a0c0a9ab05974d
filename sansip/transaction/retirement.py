"""Listeners that were taken away: they go when nothing runs over them any more.

Theory of operation: new requests are refused there (503, RFC 3261 21.5.4) from the moment on; requests
within dialogs, responses and retransmissions are taken as long as some transaction of the listener stands,
``limits.retire_time`` at the most. A connection is closed when no transaction is left on it, the socket of a
UDP listener (``CloseDatagram``) when none is left by it. The adapter accepts no connections
by then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from sansip.actions import Action, CloseDatagram
from sansip.transport.transports import DATAGRAMS

if TYPE_CHECKING:
    from sansip.clock import Timer, Timers
    from sansip.limits import Limits
    from sansip.transaction.base import Transactions
    from sansip.transport.connections import Connections

__all__ = ["LOOK", "Retirement"]

# Seconds between two looks at what still runs.
LOOK = 1.0


class Retirement:
    """The listeners of one stack that are being given up; ``ends``: by number, until when they may take."""

    __slots__ = ("_connections", "_limits", "_out", "_timer", "_transactions", "_udp", "ends", "held")

    def __init__(
        self, transactions: Transactions, connections: Connections, limits: Limits, out: list[Action]
    ) -> None:
        self._transactions = transactions
        self._connections = connections
        self._limits = limits
        self._out = out
        self.ends: dict[int, float] = {}
        self._udp: set[int] = set()
        self._timer: Timer | None = None
        # Whether some peers were not told of another place yet, and may still send to these listeners.
        self.held: Callable[[float], bool] = _not_held

    def begin(self, listeners: Iterable[tuple[int, str]], timers: Timers, now: float) -> None:
        """Give up ``listeners``, each a number and its transport."""
        for number, transport in listeners:
            self.ends[number] = now + self._limits.retire_time
            if transport in DATAGRAMS:
                self._udp.add(number)
        if self.ends and self._timer is None:
            self._timer = timers.start(now, LOOK, self, timers)

    def end(self, listeners: Iterable[int]) -> None:
        """Give up ``listeners`` no longer: they are there again."""
        for number in listeners:
            self.ends.pop(number, None)
            self._udp.discard(number)

    def timer_fired(self, timers: Timers, now: float) -> None:
        """Look what still runs."""
        self._timer = None
        busy = {flow.conn or ~flow.listener for flow in self._transactions.flows()}
        held = self.held(now)
        left = set()
        for connection in self._connections.of(self.ends):
            number = connection.flow.listener
            late = self.ends[number] <= now
            if late or not (held or connection.flow.conn in busy):
                self._connections.close(connection.flow.conn, "the listener was removed")
            left.add(number)
        for number, end in list(self.ends.items()):
            if end > now and (held or ~number in busy):
                continue
            if number in self._udp:
                self._udp.discard(number)
                self._out.append(CloseDatagram(number))
            elif number in left:
                # Until the adapter has said that its connections are gone.
                continue
            del self.ends[number]
        if self.ends:
            self._timer = timers.start(now, LOOK, self, timers)


def _not_held(_now: float) -> bool:
    return False
