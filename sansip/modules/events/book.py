"""All subscriptions: by id, by resource, by watcher, and by the time at which they are looked at.

Theory of operation: counts are the sizes of sets of subscriptions that exist, so none can drift. The heap may
hold entries that are out of date; they are dropped as they come up, and a heap of mostly such is made anew.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sansip.modules.events.subscription import Subscription

__all__ = ["Book"]

_STALE: Final = 1_000
_NONE: Final[dict[str, Subscription]] = {}


class Book:
    """The subscriptions of one server."""

    __slots__ = ("_by_resource", "_by_watcher", "_coming", "_heap", "_number", "_unanswered", "ids", "tell")

    def __init__(self) -> None:
        self.ids: dict[str, Subscription] = {}
        # (event, resource) -> id -> subscription
        self._by_resource: dict[tuple[str, str], dict[str, Subscription]] = {}
        self._by_watcher: dict[str, int] = {}
        # Those whose rows are being written: in all, by watcher, and by resource.
        self._coming: dict[tuple[str, ...], int] = {}
        self._unanswered: dict[str, int] = {}
        self._heap: list[tuple[float, int, Subscription]] = []
        self._number = 0
        # Hears when a subscription has to be looked at, as soon as that is known.
        self.tell: Callable[[float], None] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def of(self, event: str, resource: str) -> list[Subscription]:
        """Return the subscriptions to ``resource``, in the order in which they began."""
        return list(self._by_resource.get((event, resource), _NONE).values())

    def count(self) -> int:
        """Return how many there are, with those whose rows are being written."""
        return len(self.ids) + self._coming.get((), 0)

    def count_of(self, event: str, resource: str) -> int:
        there = len(self._by_resource.get((event, resource), _NONE))
        return there + self._coming.get((event, resource), 0)

    def count_of_watcher(self, watcher: str) -> int:
        return self._by_watcher.get(watcher, 0) + self._coming.get((watcher,), 0)

    def comes(self, one: Subscription) -> None:
        """The row of ``one`` is being written: its place is taken."""
        for key in _places(one):
            self._coming[key] = self._coming.get(key, 0) + 1

    def came(self, one: Subscription) -> None:
        """Its row is written, or will not be."""
        for key in _places(one):
            _less(self._coming, key)

    def resources(self, event: str) -> list[str]:
        """Return the resources of a package that somebody watches."""
        return [resource for name, resource in self._by_resource if name == event]

    def add(self, one: Subscription) -> None:
        self._number += 1
        one.number = self._number
        self.ids[one.id] = one
        one.counted = True
        self._by_resource.setdefault((one.package.event, one.resource), {})[one.id] = one
        self._by_watcher[one.source] = self._by_watcher.get(one.source, 0) + 1

    def remove(self, one: Subscription) -> bool:
        """Forget ``one``; return whether it was known. Its first NOTIFY still counts until its answer."""
        if not one.counted:
            return False
        one.counted = False
        del self.ids[one.id]
        key = (one.package.event, one.resource)
        rest = self._by_resource[key]
        del rest[one.id]
        if not rest:
            del self._by_resource[key]
        _less(self._by_watcher, one.source)
        return True

    # --- first NOTIFYs that have no answer

    def count_unanswered(self, key: str) -> int:
        return self._unanswered.get(key, 0)

    def asks(self, one: Subscription, key: str) -> None:
        """The first NOTIFY of ``one`` leaves."""
        one.unanswered = key
        self._unanswered[key] = self._unanswered.get(key, 0) + 1

    def answered(self, one: Subscription) -> None:
        """It has an answer, or never will have one (a made 408)."""
        if one.unanswered is not None:
            _less(self._unanswered, one.unanswered)
            one.unanswered = None

    # --- time

    def look(self, one: Subscription, due: float | None) -> None:
        """Look at ``one`` at ``due``, and not before; None: not at all."""
        if due is None or one.due == due:
            one.due = due
            return
        one.due = due
        heap = self._heap
        if len(heap) > 2 * len(self.ids) + _STALE:
            # One for each: the same time came and went, and each time left an entry.
            kept = {entry[1]: entry for entry in heap if entry[2].due == entry[0] and entry[2].counted}
            heap[:] = kept.values()
            heapq.heapify(heap)
        heapq.heappush(heap, (due, one.number, one))
        if self.tell is not None and heap[0][2] is one:
            # Before that something else is due, and then this is known (``next_due``).
            self.tell(due)

    def next_due(self) -> float | None:
        heap = self._heap
        while heap and (heap[0][2].due != heap[0][0] or not heap[0][2].counted):
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def passed(self, now: float, most: int) -> Iterator[Subscription]:
        """Return at most ``most`` subscriptions that are due, each once."""
        heap = self._heap
        while heap and heap[0][0] <= now and most > 0:
            due, _, one = heapq.heappop(heap)
            if one.due == due and one.counted:
                one.due = None
                most -= 1
                yield one


def _places(one: Subscription) -> tuple[tuple[str, ...], ...]:
    return (), (one.source,), (one.package.event, one.resource)


def _less(counts: dict[Any, int], key: Any) -> None:
    left = counts[key] - 1
    if left:
        counts[key] = left
    else:
        del counts[key]
