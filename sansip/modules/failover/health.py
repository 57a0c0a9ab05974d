"""Whether a destination gets requests, and why not.

Theory of operation: the operator's word (``admin``) beats all else. A destination that does not answer
OPTIONS, or failed at a request, is ``down`` until OPTIONS are answered ``up_after`` times in a row. It may
also rest until a time: as its 503 said (RFC 3261 20.33), or after too many failures in a row. If no OPTIONS
are sent, a failed request causes a rest only. Each change keeps its reason, for `dispatcher.list`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

__all__ = ["Admin", "Health", "Thresholds"]

Admin: TypeAlias = Literal["active", "draining", "disabled"]
# Share of a new measurement in the average of all before (RFC 6298 2.3 has an eighth for round trips).
_SHARE: Final = 0.125
# Measurements from which p95 is taken.
_KEPT: Final = 100


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The fields of ``DispatcherSettings`` that decide here; see there."""

    down_after: int
    up_after: int
    eject_after: int
    rest: float
    longest_rest: float


@dataclass(slots=True)
class Health:
    """The state of one destination.

    Attributes:
        admin: ``active``; ``draining``: it keeps its calls and gets no new ones; ``disabled``: no
            OPTIONS either.
        down: it did not answer, or failed.
        rests_until: it gets nothing before that time.
        why: the reason for its present state.
        latency: seconds until it answers, a moving average; None before the first answer.
    """

    admin: Admin = "active"
    down: bool = False
    rests_until: float = 0.0
    why: str = ""
    latency: float | None = None
    failures: int = 0
    successes: int = 0
    faults: int = 0
    samples: deque[float] = field(default_factory=lambda: deque(maxlen=_KEPT))

    def obstacle(self, now: float) -> str:
        """Return why it gets no new requests at ``now``, "" where it does."""
        if self.admin != "active":
            return self.admin
        if self.down:
            return f"down: {self.why}"
        if now < self.rests_until:
            return f"rests for {self.rests_until - now:.0f} s: {self.why}"
        return ""

    def answered(self, seconds: float) -> None:
        """It answered after ``seconds``."""
        self.samples.append(seconds)
        before = self.latency
        self.latency = seconds if before is None else before + _SHARE * (seconds - before)

    @property
    def p95(self) -> float | None:
        """Seconds within which 95 of 100 answers came, of the last hundred; None before the first."""
        if not self.samples:
            return None
        ordered = sorted(self.samples)
        return ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]

    # --- OPTIONS

    def probe_answered(self, seconds: float, thresholds: Thresholds) -> bool:
        """An OPTIONS was answered as by one that lives; return whether it is up anew."""
        self.answered(seconds)
        self.failures = 0
        self.successes += 1
        if not self.down or self.successes < thresholds.up_after:
            return False
        self.down, self.why, self.faults = False, "", 0
        return True

    def probe_failed(self, why: str, thresholds: Thresholds) -> bool:
        """An OPTIONS was not answered so; return whether it is down anew."""
        self.successes = 0
        self.failures += 1
        if self.down or self.failures < thresholds.down_after:
            return False
        self.down, self.why = True, why
        return True

    # --- requests

    def request_answered(self, status: int, thresholds: Thresholds, now: float) -> bool:
        """It answered a request, and that was no failure of its own; return whether it rests now."""
        if status < 500 or status >= 600:
            # RFC 3261 21.6: a user's word. A phone that declines five calls takes no gateway out.
            self.faults = 0
            return False
        self.faults += 1
        if not thresholds.eject_after or self.faults < thresholds.eject_after:
            return False
        self.faults = 0
        self._rest(thresholds.rest, f"{thresholds.eject_after} answers like {status} in a row", now)
        return True

    def request_failed(
        self, why: str, retry_after: int | None, probed: bool, thresholds: Thresholds, now: float
    ) -> bool:
        """A request failed there; return whether that took it out.

        ``retry_after``: the seconds in its 503; ``probed``: OPTIONS will find out when it is back.
        """
        self.successes = 0
        if retry_after:
            # RFC 3261 21.5.4: no requests for so long. No peer chooses more than the longest.
            self._rest(min(retry_after, thresholds.longest_rest), f"{why}, Retry-After", now)
        elif probed:
            if self.down:
                return False
            self.down, self.why = True, why
        else:
            self._rest(thresholds.rest, why, now)
        return True

    def _rest(self, seconds: float, why: str, now: float) -> None:
        self.rests_until = max(self.rests_until, now + seconds)
        self.why = why
