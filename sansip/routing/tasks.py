"""Work that waits and is no route: a coroutine of a module or of a bridge, stepped by the core.

Theory of operation: it awaits what a route awaits (questions, rows, a pause) and is stepped as a route is.
Its return value, or the exception that ended it, goes to the caller of ``begin``.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from sansip.routing.stepper import Running, run

if TYPE_CHECKING:
    from sansip.routing.core import Core

__all__ = ["Done", "Task", "begin"]

# Told the result, or the exception, and the time.
Done = Callable[[Any, float], None]


class Task:
    """A coroutine under way. ``now`` is the time of its present step."""

    __slots__ = ("_done", "_ended", "_result", "_steps", "core", "now")

    def __init__(self, core: Core, done: Done, now: float) -> None:
        self.core = core
        self.now = now
        self._done = done
        self._steps = 0
        self._ended = False
        self._result: Any = None

    async def hold(self, work: Coroutine[Any, Any, Any]) -> None:
        """Do ``work`` and keep its result."""
        self._result = await work

    # The methods that the stepper needs of a request.

    def takes_too_many_steps(self) -> bool:
        self._steps += 1
        return self._steps > self.core.limits.route_steps

    def waiting(self, now: float) -> None:
        """No caller waits for a 100."""

    def route_ended(self, now: float) -> None:
        self._end(self._result, now)

    def route_failed(self, error: BaseException, now: float) -> None:
        self._end(error, now)

    def _end(self, result: Any, now: float) -> None:
        if not self._ended:
            self._ended = True
            self._done(result, now)


def begin(core: Core, work: Coroutine[Any, Any, Any], done: Done, now: float) -> Running:
    """Step ``work`` until it first waits; ``done`` hears how it ends, unless it is stopped."""
    task = Task(core, done, now)
    running = run(lambda _: task.hold(work), task, now)
    assert running is not None
    return running
