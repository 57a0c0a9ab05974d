"""Whether a destination gets requests, and why not.

Theory of operation: the operator's word (``admin``) beats all else. A destination that does not answer
OPTIONS is ``down`` until OPTIONS are answered ``up_after`` times in a row. It may also rest until a time: as
its 503 said (RFC 3261 20.33), or after too many failures in a row.

No single caller takes a destination out: a caller may know a number that it drops, or have a phone behind it
that says 503. After silence, or an error of the network, the destination is ``suspected``: others are tried
first, and an OPTIONS at once decides. It is not suspected where it answered anything since the request left.
Failures in a row count once for each caller, and a Retry-After holds for the caller that heard it, until
another hears one, too. Each change keeps its reason, for `dispatcher.list`.
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
# Callers whose requests have to fail until a destination that gets no OPTIONS rests.
_CALLERS: Final = 2


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
        suspected: why it may be dead; an OPTIONS is on its way to find out. "" while nothing is suspected.
        heard: when it last answered a request or OPTIONS.
        faults: the callers of the failures in a row, each once.
        refused: the caller that a 503 with Retry-After refused last, and until when.
    """

    admin: Admin = "active"
    down: bool = False
    rests_until: float = 0.0
    why: str = ""
    latency: float | None = None
    failures: int = 0
    successes: int = 0
    suspected: str = ""
    heard: float = float("-inf")
    faults: tuple[str, ...] = ()
    refused: tuple[str, float] | None = None
    samples: deque[float] = field(default_factory=lambda: deque(maxlen=_KEPT))

    def state(self, now: float) -> str:
        """Return the operator's word, ``down``, ``resting``, ``suspected`` or ``up``."""
        if self.admin != "active":
            return self.admin
        if self.down:
            return "down"
        return "resting" if now < self.rests_until else "suspected" if self.suspected else "up"

    def obstacle(self, now: float, caller: str | None = None) -> str:
        """Return why it gets no new requests (of ``caller``) at ``now``, "" where it does."""
        if self.admin != "active":
            return self.admin
        if self.down:
            return f"down: {self.why}"
        if now < self.rests_until:
            return f"rests for {self.rests_until - now:.0f} s: {self.why}"
        if self.refused is not None and self.refused[0] == caller and now < self.refused[1]:
            return f"told this caller to come again in {self.refused[1] - now:.0f} s"
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

    def probe_answered(self, seconds: float, thresholds: Thresholds, now: float) -> bool:
        """An OPTIONS was answered as by one that lives; return whether it is up anew."""
        self.answered(seconds)
        self.heard, self.suspected = now, ""
        self.failures = 0
        self.successes += 1
        if not self.down or self.successes < thresholds.up_after:
            return False
        self.down, self.why, self.faults = False, "", ()
        return True

    def probe_failed(self, why: str, again: bool, thresholds: Thresholds, now: float) -> str:
        """An OPTIONS was not answered so; return "down" or "resting" where that is news.

        ``again``: more OPTIONS follow, which will find out when it is back.
        """
        self.successes = 0
        self.failures += 1
        suspected, self.suspected = self.suspected, ""
        if self.down or (not suspected and self.failures < thresholds.down_after):
            return ""
        why = f"{suspected}, {why}" if suspected else why
        if not again:
            self._rest(thresholds.rest, why, now)
            return "resting"
        self.down, self.why = True, why
        return "down"

    # --- requests

    def took(self, now: float) -> None:
        """It took a request, or refused it in its user's name."""
        self.heard, self.suspected = now, ""
        self.faults = ()

    def request_answered(self, status: int, caller: str, thresholds: Thresholds, now: float) -> bool:
        """It answered a request of ``caller``; return whether it rests now."""
        if status < 500 or status >= 600:
            # RFC 3261 21.6: a user's word. A phone that declines five calls takes no gateway out.
            self.took(now)
            return False
        self.heard, self.suspected = now, ""
        return self._fault(caller, f"answers like {status}", thresholds, now)

    def request_refused(
        self, why: str, retry_after: int, caller: str, thresholds: Thresholds, now: float
    ) -> bool:
        """It answered 503 with ``retry_after`` seconds; return whether it rests now.

        RFC 3261 21.5.4: no requests for so long. But a phone behind it may have said so to its friend.
        """
        self.heard, self.suspected = now, ""
        # No peer chooses more than the longest.
        until = now + min(retry_after, thresholds.longest_rest)
        before, self.refused = self.refused, (caller, until)
        if before is None or before[0] == caller or now >= before[1]:
            return False
        self._rest(until - now, f"{why}, Retry-After", now)
        return True

    def request_failed(
        self, why: str, caller: str, since: float, probed: bool, thresholds: Thresholds, now: float
    ) -> str:
        """A request of ``caller``, sent at ``since``, had no answer, or did not get there.

        ``probed``: it may be asked by OPTIONS. Returns what that made of it where it is news: "resting", or
        "suspected", and then an OPTIONS has to decide.
        """
        self.successes = 0
        if self._fault(caller, f"failures like {why}", thresholds, now):
            return "resting"
        if self.down or self.suspected or self.heard > since:
            return ""
        if probed:
            self.suspected = why
            return "suspected"
        if len(self.faults) < _CALLERS:
            return ""
        self.faults = ()
        self._rest(thresholds.rest, why, now)
        return "resting"

    def _fault(self, caller: str, what: str, thresholds: Thresholds, now: float) -> bool:
        """Count a failure for ``caller``; return whether there were too many in a row."""
        if caller in self.faults:
            return False
        most = thresholds.eject_after
        # More callers than this change nothing.
        self.faults = (*self.faults, caller)[-max(most, _CALLERS) :]
        if not most or len(self.faults) < most:
            return False
        self.faults = ()
        self._rest(thresholds.rest, f"{most} {what} to as many callers in a row", now)
        return True

    def _rest(self, seconds: float, why: str, now: float) -> None:
        self.rests_until = max(self.rests_until, now + seconds)
        self.why = why
