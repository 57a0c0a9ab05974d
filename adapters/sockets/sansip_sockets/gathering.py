"""Whether datagrams come so fast that it pays to serve several together.

Theory of operation: between two datagrams other programs fill the processor's caches, and the next one finds
them cold: that is half of what it costs. A server that sleeps a millisecond while thousands come in a second
finds several waiting, and only the first of them is cold; the program that gets the answers is woken less
often, too. It is what network cards do with their interrupts. So the sockets note here how many datagrams
they served, and the runtimes that wait themselves (blocking, asyncio in a loop of ours) ask for the ``pause``
before they wait again. Below ``BUSY`` datagrams a second hardly two would come together: nobody waits.
Above ``CROWDED`` enough wait anyway. The rate is judged when datagrams are served. So where they end and the
process has other work, connections for example, the runtimes tell of each pause (``paused``), and some in a
row without a datagram end it.
"""

from __future__ import annotations

from typing import Final

__all__ = ["BUSY", "CROWDED", "SPAN", "VAIN", "WINDOW", "Gathering"]

# Datagrams a second from which on, and up to which, it pays.
BUSY: Final = 2_250.0
CROWDED: Final = 16_000.0
# Seconds that a pause lasts at most: with a longer one a caller could notice it.
SPAN: Final = 0.001
# Seconds after which the rate is judged again.
WINDOW: Final = 0.5
# Pauses in a row without a datagram after which there are no more: at ``BUSY`` two in a row are rare.
VAIN: Final = 20


class Gathering:
    """``pause``: the seconds to sleep before the next wait, 0 for none.

    ``span``: how long a pause is; 0, the default, turns it off.
    """

    __slots__ = ("_count", "_since", "_vain", "pause", "span")

    def __init__(self, span: float = 0.0) -> None:
        self.span = span
        self.pause = 0.0
        self._count = 0
        self._since = 0.0
        self._vain = 0

    def paused(self) -> None:
        """Note that the runtime sleeps once for ``pause``."""
        self._vain += 1
        if self._vain > VAIN:
            self.pause = 0.0

    def served(self, count: int, now: float) -> None:
        """Note that ``count`` datagrams were served until ``now``, in seconds of the hub's clock."""
        self._count += count
        self._vain = 0
        elapsed = now - self._since
        if elapsed >= WINDOW:
            rate = self._count / elapsed
            self.pause = self.span if BUSY <= rate < CROWDED else 0.0
            self._count = 0
            self._since = now
