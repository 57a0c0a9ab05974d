"""Which connection to close when all allowed connections are open: an idle one, of no registered phone.

Theory of operation: without it, a stranger that opens ``limits.connections`` connections and sends a line end
now and then keeps all other peers out for an hour. So a new connection takes the place of one that has been
silent for long, over which no phone is registered and no request waits for its answer. The code looks at a
few connections, round and round, and closes the one that has been silent longest. That is as good as a list
sorted by age, and adds no cost to a message.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sansip.transport.connection import Connection
    from sansip.transport.flow import Flow

__all__ = ["QUIET", "Room"]

# Connections looked at for one that is new.
SAMPLE = 32
# Seconds of silence before a connection may go: a phone that registers has spoken meanwhile.
QUIET = 5.0


class Room:
    """Chooses connections to close. ``is_kept`` says over which flows a phone is registered."""

    __slots__ = ("_is_kept", "_round", "_table")

    def __init__(self, table: Mapping[int, Connection], is_kept: Callable[[Flow], bool]) -> None:
        self._table = table
        self._is_kept = is_kept
        # Numbers of connections that this round has not come to.
        self._round: list[int] = []

    def make(self, now: float) -> Connection | None:
        """Return the connection to close for a new one, if there is any; it is not chosen again."""
        chosen: Connection | None = None
        for _ in range(min(SAMPLE, len(self._table))):
            if not self._round:
                self._round = list(self._table)
            one = self._table.get(self._round.pop())
            if (
                one is not None
                and one.incoming
                and not one.mirrored
                and not one.leaving
                and not one.waiting
                and now - one.last >= QUIET
                and (chosen is None or one.last < chosen.last)
                and not self._is_kept(one.flow)
            ):
                chosen = one
        if chosen is not None:
            chosen.leaving = True
        return chosen
