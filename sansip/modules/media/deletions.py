"""Deletions of one relay: nobody waits for them, and those of a busy server go several at a time.

Theory of operation: the first deletion after a pause goes at once. Those of the next moments wait for its end
and then go together, as does each further lot while calls keep ending: a relay keeps the ports of a call that
is over for seconds anyway, and one wake-up serves them all. So many are under way at one time; the others
wait in line. Where the relay is down all are dropped: time ends its calls.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from sansip.modules.media.asking import RelayBusy
from sansip.modules.media.command import Asker

if TYPE_CHECKING:
    from sansip.module import Core
    from sansip.modules.media.breaker import Breaker
    from sansip.modules.media.line import DatagramLine, StreamLine

__all__ = ["AT_ONCE", "PAUSE", "Deletions"]

# Deletions under way at one time: as many calls end at once as there are. → the others wait in line
AT_ONCE: Final = 64
# Seconds for which deletions gather.
PAUSE: Final = 0.1
# Seconds until one is tried again that could not be sent, and octets of one that never can.
_LATER: Final = 0.5
_LONGEST: Final = 65_000


class Deletions:
    """The deletions of one relay."""

    __slots__ = ("_breaker", "_core", "_gathers", "_line", "_sends", "_waiting", "under_way")

    def __init__(self, core: Core, line: DatagramLine | StreamLine, breaker: Breaker) -> None:
        self._core = core
        self._line = line
        self._breaker = breaker
        self._waiting: deque[bytes] = deque()
        # Whether a timer will send those that wait, and whether they are being sent now.
        self._gathers = self._sends = False
        self.under_way = 0

    def __len__(self) -> int:
        """Return how many wait in line."""
        return len(self._waiting)

    def tell(self, command: bytes, now: float) -> None:
        """Send ``command`` soon."""
        self._waiting.append(command)
        if not self._gathers:
            self.send(now)

    def send(self, now: float) -> None:
        """Send what waits, as far as there is room, and let others gather."""
        waiting, line = self._waiting, self._line
        pause = PAUSE
        self._sends = True
        while waiting and self.under_way < AT_ONCE:
            self.under_way += 1
            command = waiting.popleft()
            # One that cannot be sent is over at once.
            line.put(command, _Deletion(self, command), now, True)
            if waiting and waiting[0] is command:
                # This server has too many questions under way (``limits.module_questions``).
                pause = _LATER
                break
        self._sends = False
        if not self._gathers:
            self._gathers = True
            self._core.timers.start(now, pause, self, None)

    def timer_fired(self, _name: Any, now: float) -> None:
        """The pause is over."""
        self._gathers = False
        if self._waiting and self.under_way < AT_ONCE:
            self.send(now)

    def over(self, command: bytes, result: Any, now: float) -> None:
        """A deletion is over: others go, unless the relay is down, where time ends its calls."""
        self.under_way -= 1
        waiting = self._waiting
        if isinstance(result, Exception) and self._breaker.state != "closed":
            waiting.clear()
        elif isinstance(result, RelayBusy) and len(command) < _LONGEST:
            waiting.appendleft(command)
        elif waiting and not self._sends and (not self._gathers or len(waiting) >= AT_ONCE):
            self.send(now)


class _Deletion(Asker):
    """One that is under way."""

    __slots__ = ("_command", "_deletions")

    def __init__(self, deletions: Deletions, command: bytes) -> None:
        self._deletions = deletions
        self._command = command

    def heard(self, result: Any, now: float) -> None:
        self._deletions.over(self._command, result, now)
