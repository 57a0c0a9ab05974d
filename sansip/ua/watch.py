"""When the usage of each call has something to do: a heap whose entries may be out of date.

Theory of operation: a call is in the heap at ``call.due``. A usage may put off its work without a word: then
the call is found too early, and put back. An entry that is not at ``call.due`` any more is dropped. The
time of the first entry is told when it changes, so that nobody has to ask.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from math import inf
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sansip.ua.call import Call

__all__ = ["Watch"]

# Entries of the heap beyond twice the calls, from which it is made anew.
_SLACK: Final = 1_000


class Watch:
    """Calls by the time at which the user agent looks at them.

    ``tell``: called with ``next_due`` each time that it has changed; ``math.inf`` is for None.
    """

    __slots__ = ("_earliest", "_heap", "tell")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Call]] = []
        self._earliest = inf
        self.tell: Callable[[float], None] | None = None

    def look(self, call: Call, calls: int) -> None:
        """Look at ``call`` again when its usage is due; ``calls``: how many there are."""
        due = call.usage.next_due()
        if due is None or (call.due is not None and call.due <= due):
            return
        call.due = due
        heap = self._heap
        if len(heap) > 2 * calls + _SLACK:
            # Calls that ended, or are looked at earlier now: a peer chooses how long a session lasts.
            kept = {(one.due, one.number): one for _, _, one in heap if _is_watched(one)}
            heap[:] = [(at, number, one) for (at, number), one in kept.items() if at is not None]
            heapq.heapify(heap)
        heapq.heappush(heap, (due, call.number, call))
        self._settle()

    def _settle(self) -> None:
        earliest = self._heap[0][0] if self._heap else inf
        if earliest != self._earliest:
            self._earliest = earliest
            if self.tell is not None:
                self.tell(earliest)

    def next_due(self) -> float | None:
        """Return a time before which nothing has to be done, None where nothing waits."""
        return self._heap[0][0] if self._heap else None

    def passed(self, now: float, calls: int) -> Iterator[Call]:
        """Return the calls whose usage is due, one by one: the work of one may move another."""
        heap = self._heap
        while heap and heap[0][0] <= now:
            due, _, call = heapq.heappop(heap)
            self._settle()
            if call.due != due:
                # It was looked at earlier.
                continue
            call.due = None
            wanted = call.usage.next_due()
            if wanted is not None and wanted <= now:
                yield call
            else:
                self.look(call, calls)

    def __len__(self) -> int:
        return len(self._heap)


def _is_watched(call: Call) -> bool:
    return call.due is not None and call.usage.next_due() is not None
