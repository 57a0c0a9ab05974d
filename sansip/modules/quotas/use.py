"""What a user has used in a period, and when running calls will have used up what is left.

Theory of operation: a period is named by the Unix time of its beginning. What ended calls used is a sum; what
running calls use is counted from them each time. A call counts for the period in which it ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sansip.modules.calls.tariff import UNIT

if TYPE_CHECKING:
    from sansip.modules.calls import Call
    from sansip.modules.calls.tariff import Tariff
    from sansip.modules.quotas.settings import Period

__all__ = ["Limits", "Use", "period_of"]


def period_of(unix: float, period: Period) -> int:
    """Return the beginning of the period that ``unix`` is in."""
    if period == "month":
        day = datetime.fromtimestamp(unix, UTC)
        return int(datetime(day.year, day.month, 1, tzinfo=UTC).timestamp())
    length = 3_600 if period == "hour" else 86_400
    return int(unix // length) * length


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one user; 0: none."""

    calls: int
    minutes: float
    spend: float


@dataclass(slots=True)
class Use:
    """The use of one user.

    Attributes:
        period: which one it is of.
        seconds, spent: of calls that have ended; ``spent`` in hundred-millionths.
        running: answered calls that go on.
    """

    period: int
    seconds: float = 0.0
    spent: int = 0
    running: dict[str, Call] = field(default_factory=dict)

    def move_to(self, period: int) -> None:
        """Begin anew in another period."""
        if period != self.period:
            self.period, self.seconds, self.spent = period, 0.0, 0

    def add(self, call: Call) -> None:
        """Count a call that has ended."""
        self.seconds += call.duration
        if call.tariff is not None and call.answered is not None:
            self.spent += call.tariff.cost(call.duration)

    def at(self, now: float) -> tuple[float, int]:
        """Return the seconds and the spend, with those of running calls until ``now``."""
        seconds, spent = self.seconds, self.spent
        for call in self.running.values():
            lasted = now - (now if call.answered is None else call.answered)
            seconds += lasted
            if call.tariff is not None:
                spent += call.tariff.cost(lasted)
        return seconds, spent

    def reached(self, limits: Limits, now: float, seconds: float = 0.0, spent: int = 0) -> str:
        """Return which limit is used up at ``now``, "" for none. ``seconds``, ``spent``: of other nodes."""
        mine, cost = self.at(now)
        if limits.minutes and mine + seconds >= limits.minutes * 60 - 1e-6:
            return f"{limits.minutes:g} minutes"
        if limits.spend and cost + spent >= round(limits.spend * UNIT):
            return f"a spend of {limits.spend:g}"
        return ""

    def due(
        self,
        limits: Limits,
        now: float,
        seconds: float = 0.0,
        spent: int = 0,
        others: Sequence[Tariff | None] = (),
    ) -> float | None:
        """Return when running calls are looked at next; None where no limit comes nearer.

        ``seconds``, ``spent`` and ``others``: the use, and the tariffs of calls that go on, at other workers.
        """
        if not self.running:
            return None
        mine, cost = self.at(now)
        seconds, spent = seconds + mine, spent + cost
        times = []
        if limits.minutes:
            times.append((limits.minutes * 60 - seconds) / (len(self.running) + len(others)))
        if limits.spend:
            # What is begun is charged: a call is at most one step ahead of its rate.
            going_on = [*(call.tariff for call in self.running.values()), *others]
            tariffs = [tariff for tariff in going_on if tariff is not None]
            rate = sum(tariff.minute for tariff in tariffs) / 60
            ahead = sum(tariff.minute * tariff.increment / 60 for tariff in tariffs)
            if rate:
                times.append(max((round(limits.spend * UNIT) - spent - ahead) / rate, 1.0))
        return now + max(min(times), 0.0) if times else None
