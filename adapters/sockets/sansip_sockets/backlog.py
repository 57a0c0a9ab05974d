"""Datagrams that wait their turn: each source has a line of its own.

Theory of operation: the kernel has one line for a socket. So a source that sends four hundred
datagrams at once makes all later ones wait, and when its buffer is full the kernel drops the
datagrams of honest sources like any other. Reading a datagram costs a fiftieth of serving it.
So the pump reads all datagrams that wait in the kernel as soon as they are more than one
batch, and serves them by turns: one of each source (``sources.source_of``), round by round.

The room is ``limits.datagram_backlog`` octets. A source may hold as many as are still free
(Choudhury and Hahne's dynamic threshold): half of the room if it is alone, a share
if it is not, and a source that comes last still finds room. The server drops datagrams above
that, as any congested link does; SIP sends the important ones again. A peer to which limits by
source do not apply serves many people, and counts as ``CROWD`` sources.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from sansip.actions import Address
from sansip.sources import source_of

__all__ = ["CROWD", "Backlog"]

# A trusted peer has this many turns while a stranger has one, and this many times a stranger's room.
CROWD = 16
# The memory that a datagram costs, in addition to its octets.
OVERHEAD = 512


class _Line:
    """The datagrams of one source; it has ``turns`` of them served in one round."""

    __slots__ = ("octets", "turns", "waiting")

    def __init__(self, turns: int) -> None:
        self.turns = turns
        self.octets = 0
        self.waiting: deque[tuple[bytes, Address]] = deque()


class Backlog:
    """Datagrams by source. ``room`` is in octets; ``is_crowd(address)`` says which count as many."""

    __slots__ = ("_free", "_is_crowd", "_order", "dropped", "lines")

    def __init__(self, room: int, is_crowd: Callable[[Address], bool]) -> None:
        self._free = room
        self._is_crowd = is_crowd
        # By source; never another dictionary: its truth is asked at each wake-up.
        self.lines: dict[str, _Line] = {}
        # The sources in the order of their turns; a source that was served goes to the end.
        self._order: deque[str] = deque()
        self.dropped = 0

    def __bool__(self) -> bool:
        """Whether any datagram waits."""
        return bool(self.lines)

    def put(self, datagram: tuple[bytes, Address]) -> str:
        """Queue ``datagram``; return "", or its source if too much of that waits already."""
        data, address = datagram
        source = source_of(address[0])
        line = self.lines.get(source)
        cost = len(data) + OVERHEAD
        if line is None:
            if cost > self._free:
                self.dropped += 1
                return source
            line = self.lines[source] = _Line(CROWD if self._is_crowd(address) else 1)
            self._order.append(source)
        elif cost > self._free or line.octets + cost > self._free * line.turns:
            self.dropped += 1
            return source
        line.waiting.append(datagram)
        line.octets += cost
        self._free -= cost
        return ""

    def take(self, most: int) -> list[tuple[bytes, Address]]:
        """Return the next ``most`` datagrams, or all; those of one source in their order."""
        taken: list[tuple[bytes, Address]] = []
        order = self._order
        while order and len(taken) < most:
            source = order.popleft()
            line = self.lines[source]
            for _ in range(min(line.turns, most - len(taken), len(line.waiting))):
                datagram = line.waiting.popleft()
                taken.append(datagram)
                cost = len(datagram[0]) + OVERHEAD
                line.octets -= cost
                self._free += cost
            if line.waiting:
                order.append(source)
            else:
                del self.lines[source]
        return taken
