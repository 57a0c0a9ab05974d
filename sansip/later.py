"""A value that comes later, such as an answer from the network.

Theory of operation: the promising side makes a ``Later`` and calls ``set`` once; callbacks given to ``then``
hear of it, at once where it is there already. ``await`` yields the object itself to the stepper
(``sansip.routing.stepper``), which resumes the coroutine with the value, so one coroutine runs in routes, in
modules and in tests. A caller need not await it: the action happens anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Generic, TypeVar

__all__ = ["Later"]

Value = TypeVar("Value", covariant=True)


class Later(Generic[Value]):
    """One value, or the exception in its place, and who waits for it."""

    __slots__ = ("_value", "_waiting", "done")

    def __init__(self) -> None:
        self.done = False
        self._value: Any = None
        self._waiting: list[Callable[[Any, float], None]] = []

    def set(self, value: Any, now: float) -> None:
        """Tell all that wait; ``await`` raises an ``Exception``. A second value is ignored."""
        if self.done:
            return
        self.done, self._value = True, value
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each(value, now)

    def then(self, told: Callable[[Any, float], None], now: float) -> None:
        """Call ``told(value or exception, time)`` when the value is there."""
        if self.done:
            told(self._value, now)
        else:
            self._waiting.append(told)

    @property
    def value(self) -> Value:
        """The value. Raises the exception in its place, or ``LookupError`` while there is neither."""
        if not self.done:
            raise LookupError("the value is not there yet; await it")
        if isinstance(self._value, Exception):
            raise self._value
        return self._value  # type: ignore[no-any-return]  # Any by design

    def __await__(self) -> Generator[Later[Value], Any, Value]:
        # Yielded also when it is done: the stepper counts what a coroutine awaits without end.
        return (yield self)  # type: ignore[no-any-return]  # Any by design
