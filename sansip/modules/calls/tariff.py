"""What a call costs: set by who chose its gateway (``lcr``, or a route), read by accounts and limits.

Theory of operation: prices are whole numbers of a hundred-millionth of the currency's unit, so that sums are
exact. A tariff is plain data: it is kept with the call in rows, and lives through a restart.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Final

__all__ = ["UNIT", "Tariff"]

UNIT: Final = 100_000_000


@dataclass(frozen=True, slots=True)
class Tariff:
    """The price of one call.

    Attributes:
        minute: what sixty seconds cost.
        setup: what an answered call costs beside.
        minimum: seconds that are charged at least.
        increment: seconds by which it is charged.
        currency: three letters, or "".
    """

    minute: int
    setup: int = 0
    minimum: int = 0
    increment: int = 1
    currency: str = ""

    def cost(self, seconds: float) -> int:
        """Return what an answered call of ``seconds`` costs."""
        # To the microsecond, as records have it: the difference of two times may be 60.00000000000001.
        charged = max(ceil(round(seconds, 6)), self.minimum)
        step = max(self.increment, 1)
        charged = -(-charged // step) * step
        return self.setup + self.minute * charged // 60
