"""The circuit breaker of a relay, as a total table: which state follows which input.

Theory of operation: a relay that fails once is *open*: no call waits for it. After a rest, which doubles up
to the longest, it is *half-open*: one ping tries it, and no call. If the ping is answered it is *closed*, so
it is in use. All calls share one breaker, so a dead relay costs one time-out for the calls that were waiting
when it died, and nothing for any other.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

__all__ = ["INPUTS", "STATES", "TABLE", "Breaker", "Input", "State"]

State: TypeAlias = Literal["closed", "open", "half-open"]
Input: TypeAlias = Literal["answered", "failed", "rested"]
STATES: Final[tuple[State, ...]] = ("closed", "open", "half-open")
INPUTS: Final[tuple[Input, ...]] = ("answered", "failed", "rested")

TABLE: Final[dict[tuple[State, Input], State]] = {
    ("closed", "answered"): "closed",
    ("closed", "failed"): "open",
    ("closed", "rested"): "closed",
    # A late answer to a command from before: it lives.
    ("open", "answered"): "closed",
    # Another command that was under way.
    ("open", "failed"): "open",
    ("open", "rested"): "half-open",
    ("half-open", "answered"): "closed",
    ("half-open", "failed"): "open",
    ("half-open", "rested"): "half-open",
}


class Breaker:
    """The state of one relay. ``rest`` and ``longest`` are seconds."""

    __slots__ = ("_longest", "_pause", "_rest", "_worked", "rests_until", "state", "why")

    def __init__(self, rest: float, longest: float) -> None:
        self._rest = rest
        self._longest = longest
        self._pause = rest
        # Whether it did some work since it failed: one that answers pings alone rests ever longer.
        self._worked = True
        self.state: State = "closed"
        self.rests_until = 0.0
        self.why = ""

    def answered(self) -> bool:
        """It answered; return whether that is news."""
        before, self.state = self.state, TABLE[self.state, "answered"]
        self.why = ""
        return before != "closed"

    def worked(self) -> None:
        """It did what a call needs: its next rest is a short one."""
        self._worked = True
        self._pause = self._rest

    def failed(self, why: str, now: float) -> bool:
        """It did not answer, or not as a relay does; return whether that is news."""
        before, self.state = self.state, TABLE[self.state, "failed"]
        if before != "open":
            if not self._worked:
                self._pause = min(self._pause * 2, self._longest)
            self._worked = False
            self.rests_until = now + self._pause
            self.why = why
        return before == "closed"

    def may_try(self, now: float) -> bool:
        """Whether a ping may try it now: it has rested."""
        if self.state == "open" and now >= self.rests_until:
            self.state = TABLE[self.state, "rested"]
            return True
        return False
