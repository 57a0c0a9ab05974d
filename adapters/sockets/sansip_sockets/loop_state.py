"""Whether a loop is held, judged by its beats and nothing else: no clock, no thread.

Theory of operation: a loop that turns beats; the watchdog asks an idle loop to beat. A loop
that owes a beat for ``PATIENCE`` is held. If a signal asks the process to end, the loop has
``HEEDED`` seconds to notice it. A watchdog that looks too late judges nothing: the machine may
have slept, or other code may have kept the interpreter.
"""

from __future__ import annotations

from enum import Enum

__all__ = ["HEEDED", "PATIENCE", "TICK", "LoopState", "Sight"]

# Seconds between two looks.
TICK = 0.05
# Seconds the loop may be held before it is told: retransmissions begin after 500 ms.
PATIENCE = 0.25
# Seconds in which the loop has to come round after a signal that asks for the end.
HEEDED = 1.0
# Seconds after drain_time in which a draining server has ended, or its loop is held.
ENDED = 2.0


class Sight(Enum):
    """The result of one look at the loop."""

    FREE = "free"
    # The loop is idle, or begins to be held: wake it.
    QUIET = "quiet"
    HELD = "held"
    # Neither the loop nor the watchdog has run.
    STOPPED = "stopped"
    FREED = "freed"
    # Held, and the process is to end.
    ABANDON = "abandon"


class LoopState:
    """Judges by its beats whether a loop is held. Has no clock and no thread."""

    def __init__(self, drain_time: float) -> None:
        self._drain_time = drain_time
        self._beats = -1
        self._looked: float | None = None
        # The time since which the loop owes a beat; the watchdog decides how often it reports that.
        self._asked: float | None = None
        self._told = False
        # The time at which a signal asked for the end, until the loop has noticed it; and the
        # time by which the process has to be over.
        self._signalled: float | None = None
        self._over: float | None = None
        # Seconds that the loop has been held, or was.
        self.held = 0.0

    def end_asked(self, beats: int, now: float) -> None:
        """Note a signal that asks for the end; only a beat after ``beats`` shows that it was heard."""
        self._beats, self._signalled = beats, now

    def look(self, beats: int, now: float) -> Sight:
        """Take the number of beats there have been until ``now``."""
        late = self._looked is not None and now - self._looked > TICK + PATIENCE
        before, self._looked = self._looked, now
        if beats != self._beats:
            return self._alive(beats, now)
        if late and not self._told:
            # Count from now: a watchdog that could not look cannot judge.
            self.held, self._asked = now - (before or now), now
            return Sight.STOPPED
        if self._asked is None:
            self._asked = now
            return Sight.QUIET
        self.held = now - self._asked
        since = self._asked if self._signalled is None else max(self._asked, self._signalled)
        over = self._over is not None and now >= self._over
        if now - since >= HEEDED and (self._signalled is not None or over):
            return Sight.ABANDON
        if self.held >= PATIENCE and not self._told:
            self._told = True
            return Sight.HELD
        return Sight.QUIET

    def _alive(self, beats: int, now: float) -> Sight:
        self._beats = beats
        if self._signalled is not None:
            self._signalled, self._over = None, now + self._drain_time + ENDED
        freed = self._told
        self.held = 0.0 if self._asked is None else now - self._asked
        self._asked, self._told = None, False
        return Sight.FREED if freed else Sight.FREE
