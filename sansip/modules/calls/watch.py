"""When each call is looked at next: a heap whose entries may be out of date.

Theory of operation: a call has one ``due``. An earlier one is pushed beside the old entry, which is dropped
when it comes up; a heap of mostly such entries is made anew, so it is bounded by the calls that there are.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sansip.modules.calls.call import Call

__all__ = ["Watch"]

# Entries beyond twice the calls, from which the heap is made anew.
_STALE: Final = 1_000


class Watch:
    """Calls by the time at which they are looked at; ``tell`` hears at once of one before all others."""

    __slots__ = ("_heap", "tell")

    def __init__(self) -> None:
        self.tell: Callable[[float], None] | None = None
        self._heap: list[tuple[float, str, Call]] = []

    def look(self, call: Call, due: float | None, calls: int) -> None:
        """Look at ``call`` at ``due``, and not before; None: not at all. ``calls``: how many there are."""
        if due is None or call.due == due:
            call.due = due
            return
        call.due = due
        heap = self._heap
        if len(heap) > 2 * calls + _STALE:
            heap[:] = [entry for entry in heap if entry[2].due == entry[0] and not entry[2].over]
            heapq.heapify(heap)
        heapq.heappush(heap, (due, call.id, call))
        if self.tell is not None and heap[0][2] is call:
            # Nothing is due before that.
            self.tell(due)

    def next_due(self) -> float | None:
        """Return when ``passed`` has something to do."""
        return self._heap[0][0] if self._heap else None

    def passed(self, now: float) -> Iterator[Call]:
        """Return the calls that are due, each once."""
        heap = self._heap
        while heap and heap[0][0] <= now:
            due, _, call = heapq.heappop(heap)
            if call.due == due and not call.over:
                call.due = None
                yield call

    def __len__(self) -> int:
        return len(self._heap)
