"""Rows in memory, answered from the loop: what waits for nothing needs no thread.

Theory of operation: the hub gives each question as it performs the stack's actions. In the next turn all of
them are answered, in their order, and the answers enter the stack together. A thread between would cost more
than the answer: two changes of thread for each request that writes a row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sansip.actions import Ask
from sansip.rows import Write
from sansip_sockets.hub import Hub

__all__ = ["MemoryTurns"]


class MemoryTurns:
    """Answers questions of ``hub`` by ``handlers``, those of a ``RowService`` whose rows are in memory."""

    def __init__(self, hub: Hub, handlers: Mapping[type, Callable[..., Any]]) -> None:
        self._hub = hub
        self._handlers = handlers
        self._asks: list[Ask] = []
        for kind in handlers:
            hub.answering.ask_by(kind, self.ask)

    def ask(self, action: Ask) -> None:
        """Take a question; called while the hub performs actions."""
        if not self._asks:
            # Not now: the stack has not returned from the input that asked.
            self._hub.inbox.post(self._answer)
        self._asks.append(action)

    def _answer(self) -> None:
        asks, self._asks = self._asks, []
        self._hub.answer_all([(one.id, self._result(one.question)) for one in asks])

    def _result(self, question: Any) -> Any:
        kind = type(question)
        try:
            if kind is Write:
                # Its handler takes a batch.
                return self._handlers[kind]([question])[0]
            return self._handlers[kind](question)
        except Exception as error:
            return error
