"""Modules that a reload took away: they serve what began with them, and then they go.

Theory of operation: from the reload on no new request, event, command or timer reaches such a module; its
``stop`` is called, as when the server drains. Requests that began before pass its hooks, and may use its
sockets, until they end: at the most ``limits.retire_time``, as for a listener that was taken away. After
that all that it has is let go.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sansip.clock import Timers
    from sansip.limits import Limits
    from sansip.module.base import Module

__all__ = ["Departures"]


class Departures:
    """The modules of one stack that are on their way out. ``over()`` is called when none is any more."""

    __slots__ = ("_gone", "_limits", "_number", "_timers", "over")

    def __init__(self, timers: Timers, limits: Limits, over: Callable[[], None]) -> None:
        self._timers = timers
        self._limits = limits
        self.over = over
        self._number = 0
        self._gone: dict[int, list[Module]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._gone.values()))

    def begin(self, modules: Sequence[Module], now: float) -> None:
        """Let ``modules``, which were stopped, serve what runs, and then go."""
        self._number += 1
        self._gone[self._number] = list(modules)
        self._timers.start(now, self._limits.retire_time, self, self._number)

    def timer_fired(self, number: int, now: float) -> None:
        """Their time is over: no work of these modules runs any more."""
        for module in reversed(self._gone.pop(number)):
            module.core.end(now)
        if not self._gone:
            self.over()
