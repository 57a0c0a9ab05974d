"""When each call is looked at next: a heap whose entries may be out of date.

Theory of operation: a call has one ``due``, and an entry in the heap at that time or before. When the entry
comes up and the call is due later, it is entered anew. So a call that is put off, or ends, is not looked for
in the heap. Entries have the id of a call: the memory of a call that has ended is free at once. A heap whose
entries are mostly such is made anew, so it is bounded by the calls that there are.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sansip.modules.calls.call import Call

__all__ = ["Watch"]

# Entries beyond twice the calls, from which the heap is made anew.
_STALE: Final = 250


class Watch:
    """When ``calls``, by their ids, are looked at; ``tell`` hears at once of one before all others."""

    __slots__ = ("_calls", "_heap", "tell")

    def __init__(self, calls: dict[str, Call]) -> None:
        self.tell: Callable[[float], None] | None = None
        self._calls = calls
        self._heap: list[tuple[float, str]] = []

    def look(self, call: Call, due: float | None, first: float | None = None) -> None:
        """Look at ``call`` at ``due``, and not before; None: not at all.

        ``first``: from then on it may be due earlier than now known: one entry serves both.
        """
        call.due = due
        if due is None:
            return
        at = due if first is None or due < first else first
        entered = call.entered
        if entered is not None and entered <= at:
            return
        call.entered = at
        heap = self._heap
        if len(heap) > 2 * len(self._calls) + _STALE:
            self._sweep()
        heapq.heappush(heap, (at, call.id))
        if self.tell is not None and heap[0][0] == at:
            # Nothing is due before that.
            self.tell(at)

    def _sweep(self) -> None:
        calls = self._calls
        heap = self._heap
        kept = []
        for entry in heap:
            call = calls.get(entry[1])
            if call is not None and call.entered == entry[0]:
                kept.append(entry)
        heap[:] = kept
        heapq.heapify(heap)

    def next_due(self) -> float | None:
        """Return when ``passed`` has something to do."""
        return self._heap[0][0] if self._heap else None

    def passed(self, now: float) -> Iterator[Call]:
        """Return the calls that are due, each once."""
        heap = self._heap
        while heap and heap[0][0] <= now:
            at, name = heapq.heappop(heap)
            call = self._calls.get(name)
            if call is None or call.over or call.entered != at:
                continue
            call.entered = None
            due = call.due
            if due is not None and due > now:
                self.look(call, due)
            elif due is not None:
                call.due = None
                yield call

    def __len__(self) -> int:
        return len(self._heap)
