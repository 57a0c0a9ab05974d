"""Questions to the outside: asked, answered, or given up.

Theory of operation: a question is an ``Ask`` action with a number; the callback of the asker gets the answer,
or an exception if no answer came in time. Their number and their time are bounded. Questions that the stack
answers itself are a file of their own (``inside``), for this one is compiled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sansip.actions import Action, Ask
from sansip.errors import LocalProtocolError
from sansip.inside import Callback

if TYPE_CHECKING:
    from sansip.clock import Timer, Timers
    from sansip.limits import Limits

__all__ = ["Questions"]


class Questions:
    """The questions of one stack. Actions are appended to ``out``."""

    __slots__ = ("_last", "_limits", "_out", "_table", "_timers")

    def __init__(self, timers: Timers, limits: Limits, out: list[Action]) -> None:
        self._timers = timers
        self._limits = limits
        self._out = out
        self._table: dict[int, tuple[Callback, Timer]] = {}
        self._last = 0

    def __len__(self) -> int:
        """Return how many are open."""
        return len(self._table)

    def ask(self, subject: Any, callback: Callback, now: float, within: float | None = None) -> None:
        """Put ``subject`` to the outside; ``callback(result, now)`` gets the answer.

        After ``within`` seconds, at the most ``limits.answer_time``, it gets a ``TimeoutError``.
        """
        if len(self._table) >= self._limits.questions:
            callback(LocalProtocolError("too many open questions (limits.questions)"), now)
            return
        self._last += 1
        longest = self._limits.answer_time
        timer = self._timers.start(now, longest if within is None else min(within, longest), self, self._last)
        self._table[self._last] = (callback, timer)
        self._out.append(Ask(self._last, subject))

    def waits(self, number: int) -> bool:
        """Return whether somebody waits for the answer to question ``number``."""
        return number in self._table

    def answer(self, number: int, result: Any, now: float) -> None:
        """Take the answer to question ``number``; an unknown number is ignored."""
        asked = self._table.pop(number, None)
        if asked is not None:
            callback, timer = asked
            timer.cancel()
            callback(result, now)

    def timer_fired(self, number: int, now: float) -> None:
        """Give up waiting."""
        asked = self._table.pop(number, None)
        if asked is not None:
            asked[0](TimeoutError("no answer in time (within=, or limits.answer_time)"), now)
