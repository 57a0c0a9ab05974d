"""How good a gateway is, as its calls show: how many are answered (ASR), how long they last (ACD), and after
how many seconds it rings (PDD).

Theory of operation: each figure is a sum in which a call counts the less the longer ago it was, so the memory
is that of a few numbers for each gateway. From them comes one number from 0 to 1.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import exp
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sansip.modules.lcr.settings import LcrSettings

__all__ = ["Figures", "Quality"]

# What each of ASR, ACD and PDD is worth in the whole.
_ASR, _ACD, _PDD = 0.6, 0.2, 0.2
# A call counts half after its life.
_HALVES: Final = -0.6931471805599453
# Calls of so little weight are as none.
_NONE: Final = 1e-3


@dataclass(slots=True)
class Figures:
    """Of a gateway; None for what is not known yet."""

    gateway: str
    calls: float
    asr: float | None
    acd: float | None
    pdd: float | None
    quality: float


@dataclass(slots=True)
class Quality:
    """The measured calls of one gateway, by weight."""

    at: float = 0.0
    calls: float = 0.0
    answered: float = 0.0
    ended: float = 0.0
    seconds: float = 0.0
    rang: float = 0.0
    delay: float = 0.0

    def _fade(self, now: float, life: float) -> None:
        passed = now - self.at
        if passed <= 0:
            return
        share = exp(_HALVES * passed / life)
        self.at = now
        self.calls *= share
        self.answered *= share
        self.ended *= share
        self.seconds *= share
        self.rang *= share
        self.delay *= share

    def tried(self, answered: bool, now: float, life: float) -> None:
        """An attempt is over: it was answered, or not."""
        self._fade(now, life)
        self.calls += 1.0
        self.answered += 1.0 if answered else 0.0

    def finished(self, seconds: float, now: float, life: float) -> None:
        """An answered call has lasted ``seconds``."""
        self._fade(now, life)
        self.ended += 1.0
        self.seconds += seconds

    def ringing(self, seconds: float, now: float, life: float) -> None:
        """It rang after ``seconds``."""
        self._fade(now, life)
        self.rang += 1.0
        self.delay += seconds

    def plus(self, others: Iterable[Quality], now: float, life: float) -> Quality:
        """Return these calls and those of ``others``, as they count at ``now``."""
        whole = Quality(at=now)
        for one in (self, *others):
            one._fade(now, life)
            whole.calls += one.calls
            whole.answered += one.answered
            whole.ended += one.ended
            whole.seconds += one.seconds
            whole.rang += one.rang
            whole.delay += one.delay
        return whole

    def figures(self, gateway: str, settings: LcrSettings, now: float) -> Figures:
        """Return its figures now."""
        self._fade(now, settings.quality_life)
        asr = self.answered / self.calls if self.calls > _NONE else None
        acd = self.seconds / self.ended if self.ended > _NONE else None
        pdd = self.delay / self.rang if self.rang > _NONE else None
        if round(self.calls) < settings.quality_calls or asr is None:
            # It has to get calls to be measured.
            quality = 1.0
        else:
            long = 1.0 if acd is None else min(1.0, acd / settings.good_length)
            late = 0.0 if pdd is None else min(1.0, pdd / settings.bad_delay)
            quality = _ASR * asr + _ACD * long + _PDD * (1 - late)
        return Figures(gateway, round(self.calls, 3), asr, acd, pdd, quality)
