"""All publications: by resource and entity-tag, and by the time at which they end."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from sansip.modules.publications.publication import Publication

__all__ = ["Shelf"]

_STALE: Final = 1_000


class Shelf:
    """The publications of one server."""

    __slots__ = ("_by_resource", "_heap", "_number", "_size", "latest", "tell")

    def __init__(self) -> None:
        # Hears when a publication ends, as soon as that is known.
        self.tell: Callable[[float], None] | None = None
        self._by_resource: dict[tuple[str, str], dict[str, Publication]] = {}
        self._heap: list[tuple[float, int, Publication]] = []
        self._number = 0
        self._size = 0
        # The largest serial.
        self.latest = 0.0

    def __len__(self) -> int:
        return self._size

    def of(self, event: str, resource: str) -> list[Publication]:
        """Return the publications for ``resource``, the newest first."""
        found = self._by_resource.get((event, resource))
        if found is None:
            return []
        held = list(found.values())
        return held if len(held) == 1 else sorted(held, key=lambda one: -one.serial)

    def all(self, event: str) -> list[Publication]:
        """Return all publications of a package."""
        return [
            one for (name, _), found in self._by_resource.items() if name == event for one in found.values()
        ]

    def find(self, event: str, resource: str, etag: str) -> Publication | None:
        return self._by_resource.get((event, resource), {}).get(etag)

    def has(self, one: Publication) -> bool:
        """Whether ``one`` is the publication of its entity-tag."""
        return self.find(one.event, one.resource, one.etag) is one

    def put(self, one: Publication) -> None:
        """Add a publication."""
        found = self._by_resource.setdefault((one.event, one.resource), {})
        assert one.etag not in found
        found[one.etag] = one
        self._size += 1
        self._number += 1
        heap = self._heap
        if len(heap) > 2 * self._size + _STALE:
            heap[:] = [entry for entry in heap if self._ends(entry)]
            heapq.heapify(heap)
        heapq.heappush(heap, (one.expires_at, self._number, one))
        if self.tell is not None and heap[0][2] is one:
            # Before that another one ends, and then this is known (``next_due``).
            self.tell(one.expires_at)

    def remove(self, one: Publication) -> None:
        """Take a publication away; harmless where it is gone."""
        key = (one.event, one.resource)
        found = self._by_resource.get(key, {})
        if found.get(one.etag) is one:
            del found[one.etag]
            self._size -= 1
            if not found:
                del self._by_resource[key]

    def replace(self, before: Publication | None, after: Publication | None) -> bool:
        """``after`` takes the place of ``before``; return whether that had ended meanwhile."""
        ended = before is not None and not self.has(before)
        if before is not None:
            self.remove(before)
        if after is not None:
            twin = self.find(after.event, after.resource, after.etag)
            if twin is not None:
                # The row was read before the answer to the write came.
                self.remove(twin)
            self.put(after)
        return ended

    def serial(self, before: Publication | None, says: bool, unix: float) -> float:
        """Return the serial of what takes the place of ``before``; ``says``: it has a body."""
        self.latest = max(self.latest + 1e-6, unix)
        # A refresh changes nothing, so it is not newer than what others have published since.
        return self.latest if before is None or says else before.serial

    def _ends(self, entry: tuple[float, int, Publication]) -> bool:
        return entry[2].expires_at == entry[0] and self.has(entry[2])

    def next_due(self) -> float | None:
        """Return when the next one ends."""
        heap = self._heap
        while heap and not self._ends(heap[0]):
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def ended(self, now: float, most: int) -> list[Publication]:
        """Return at most ``most`` publications that have ended, and take them away."""
        heap = self._heap
        found: list[Publication] = []
        while heap and heap[0][0] <= now and len(found) < most:
            entry = heapq.heappop(heap)
            if self._ends(entry):
                self.remove(entry[2])
                found.append(entry[2])
        return found
