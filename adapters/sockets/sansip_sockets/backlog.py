"""Datagrams that wait their turn: each source has a line of its own.

Theory of operation: the kernel has one line for a socket, so who sends four hundred
datagrams at once has everybody who comes later wait for all of them, and once its buffer
is full it drops those of the honest like any other. Reading a datagram costs a fiftieth of
serving it. So whatever waits in the kernel is read as soon as there is more than one batch,
and served by turns: one of each source (``sources.source_of``), round by round.

The room is ``limits.datagram_backlog`` octets. A source may hold as many as are still free
(Choudhury and Hahne's dynamic threshold): half of the room where it is alone, a share
where it is not, and a source that comes last still finds room. What is above is dropped, as on any
congested link; SIP repeats what mattered. Peers that limits by source do not hold for are
many people's and count as ``CROWD`` sources each.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from sansip.actions import Address
from sansip.sources import source_of

__all__ = ["CROWD", "Backlog"]

# Turns that a trusted peer has while a stranger has one, and the same of the room.
CROWD = 16
# What a datagram costs in memory beside its octets.
OVERHEAD = 512


class _Line:
    """The datagrams of one source; it has ``turns`` of them served in one round."""

    __slots__ = ("octets", "turns", "waiting")

    def __init__(self, turns: int) -> None:
        self.turns = turns
        self.octets = 0
        self.waiting: deque[tuple[bytes, Address]] = deque()


class Backlog:
    """Datagrams by source. ``room`` is in octets; ``is_crowd(source)`` says who counts as many."""

    __slots__ = ("_free", "_is_crowd", "_lines", "_order", "dropped")

    def __init__(self, room: int, is_crowd: Callable[[Address], bool]) -> None:
        self._free = room
        self._is_crowd = is_crowd
        self._lines: dict[str, _Line] = {}
        # Whose turn is next; who was served goes to the end.
        self._order: deque[str] = deque()
        self.dropped = 0

    def __bool__(self) -> bool:
        """Whether any datagram waits."""
        return bool(self._lines)

    def put(self, datagram: tuple[bytes, Address]) -> str:
        """Have ``datagram`` wait; return "", or the source that has too much waiting already."""
        data, address = datagram
        source = source_of(address[0])
        line = self._lines.get(source)
        cost = len(data) + OVERHEAD
        if line is None:
            if cost > self._free:
                self.dropped += 1
                return source
            line = self._lines[source] = _Line(CROWD if self._is_crowd(address) else 1)
            self._order.append(source)
        elif cost > self._free or line.octets + cost > self._free * line.turns:
            self.dropped += 1
            return source
        line.waiting.append(datagram)
        line.octets += cost
        self._free -= cost
        return ""

    def take(self, most: int) -> list[tuple[bytes, Address]]:
        """Return the next ``most`` datagrams, or all there are; those of one source in their order."""
        taken: list[tuple[bytes, Address]] = []
        order = self._order
        while order and len(taken) < most:
            source = order.popleft()
            line = self._lines[source]
            for _ in range(min(line.turns, most - len(taken), len(line.waiting))):
                datagram = line.waiting.popleft()
                taken.append(datagram)
                cost = len(datagram[0]) + OVERHEAD
                line.octets -= cost
                self._free += cost
            if line.waiting:
                order.append(source)
            else:
                del self._lines[source]
        return taken
