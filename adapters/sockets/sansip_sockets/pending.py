"""A result that is still being computed: its caller sleeps until it is there.

Theory of operation: the answer to an operator is a generator. It yields a ``Pending`` if it needs that result
to go on. The pump that runs the generator waits with a bell, for as long as a limit allows. If no result
comes in this time, the pump throws ``Late`` into the generator.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Generic, TypeVar

__all__ = ["Late", "Pending"]

Value = TypeVar("Value")


class Late(Exception):
    """A result did not come in time; the text names the limit."""


class Pending(Generic[Value]):
    """One result. All of it belongs to the stack's thread."""

    __slots__ = ("_given", "_ring")

    def __init__(self) -> None:
        self._given: list[Value] = []
        self._ring: Callable[[], None] | None = None

    def give(self, value: Value) -> None:
        """The result is there. A second one is ignored."""
        if not self._given:
            self._given.append(value)
            if self._ring is not None:
                self._ring()

    def tell(self, ring: Callable[[], None]) -> None:
        """Have ``ring`` called when the result is there, at once if it is."""
        self._ring = ring
        if self._given:
            ring()

    def result(self) -> Generator[Pending[Value], None, Value]:
        """Wait for the result and return it: ``value = yield from pending.result()``."""
        while not self._given:
            yield self
        return self._given[0]
