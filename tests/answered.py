"""A rig whose questions are answered at once: those about rows out of memory, others as a test has it.

Theory of operation: what one input leads to leaves first, then each question gets its answer, and so on until
none is open. The rows outlive the rig: the next one over the same ``store`` is the next process.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sansip.rows import MemoryRows, Read, Scan, Write
from tests.rig import Out, Rig

__all__ = ["Answered"]


class Answered(Rig):
    """A rig over ``store``. While ``broken``, the store cannot be reached."""

    def __init__(
        self, route: Callable[..., Any] | None = None, *, store: MemoryRows | None = None, **options: Any
    ) -> None:
        self.store = MemoryRows() if store is None else store
        self.broken = False
        super().__init__(route, **options)

    def answer_to(self, question: Any) -> Any:
        """Return the answer to a question of a module; an exception is a failed one."""
        assert isinstance(question, Read | Scan | Write), question
        return OSError("away") if self.broken else self.store.answer(question)

    def take(self, actions: list[Any]) -> list[Out]:
        outs = super().take(actions)
        while self.asks:
            ask = self.asks.pop(0)
            outs += super().take(self.stack.answer(ask.id, self.answer_to(ask.question), self.now))
        return outs

    def command(self, name: str, /, **given: Any) -> Any:
        """Return the result of an operator's command."""
        results: list[Any] = []
        self.take(self.stack.command(name, given, self.now, lambda result, now: results.append(result)))
        if not results:
            # It sleeps between two looks.
            self.wait(0.2)
        return results[0]
