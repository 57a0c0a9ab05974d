"""A rate as a look-up has it: whole numbers, and what is asked of a caller and a moment."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sansip.modules.lcr.schedule import Schedule
    from sansip.patterns import Pattern

__all__ = ["Offer"]


@dataclass(slots=True)
class Offer:
    """A rate. Prices are of ``sansip.modules.lcr.money``; 0 stands for no moment.

    ``said`` is what calls are told of it (``measuring.note``), None before the first.
    """

    prefix: str
    gateway: str
    price: int
    currency: str
    setup: int
    minimum: int
    increment: int
    valid_from: int
    valid_to: int
    schedule: Schedule | None
    caller: Pattern | None
    priority: int
    weight: int
    stopper: bool
    enabled: bool
    strip: int
    add: str
    said: Any = field(default=None, compare=False, repr=False)

    def cost(self, seconds: int) -> int:
        """Return what a call of ``seconds`` costs."""
        charged = max(seconds, self.minimum)
        charged = -(-charged // self.increment) * self.increment
        return self.setup + self.price * charged // 60

    def obstacle(self, caller: str, unix: float) -> str:
        """Return why it does not hold for ``caller`` at ``unix``, "" where it does."""
        if not self.enabled:
            return "not enabled"
        if self.valid_from and unix < self.valid_from:
            return "not valid yet"
        if self.valid_to and unix >= self.valid_to:
            return "not valid any more"
        if self.schedule is not None and not self.schedule.holds(unix):
            return f"outside {self.schedule.text}"
        if self.caller is not None and self.caller.search(caller) is None:
            return f"not for this caller ({self.caller.text})"
        return ""
