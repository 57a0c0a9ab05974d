"""When to look for expired bindings: one bucket per second, one entry per address-of-record.

Theory of operation: phones choose their own expiry times, so a queue per distinct duration would have no end
of queues, and a lazy heap would keep an entry for every refresh. Here an address-of-record stands in one
bucket only, that of the second after its earliest binding expires, and moves when that changes; a heap orders
the buckets, not their entries. So there is at most one entry per address-of-record, and every operation but
the end of the earliest bucket is constant time. A sweep is up to a second late. This has no visible effect:
lookups compare the exact time themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from math import inf

__all__ = ["ExpiryBuckets"]

# Numbers of emptied buckets may wait in the heap until they are the majority.
_SLACK = 64


class ExpiryBuckets:
    """Keys in buckets of whole seconds; ``None`` as a second stands for no bucket.

    Attributes:
        earliest: the second of the earliest bucket, ``math.inf`` where all are empty.
        tell: called with ``earliest`` each time that it has changed.
    """

    __slots__ = ("_buckets", "_order", "earliest", "tell")

    def __init__(self) -> None:
        # A dict and not a set, for its order: a replay must give the same actions.
        self._buckets: dict[int, dict[str, None]] = {}
        # Every number in _buckets once or more, and some that are gone; the first is none of those.
        self._order: list[int] = []
        self.earliest = inf
        self.tell: Callable[[float], None] | None = None

    def move(self, key: str, old: int | None, new: int | None) -> None:
        """Take ``key`` out of bucket ``old`` and put it in bucket ``new``."""
        if old == new:
            return
        if old is not None:
            bucket = self._buckets[old]
            del bucket[key]
            if not bucket:
                del self._buckets[old]
                if old == self.earliest:
                    self._settle()
        if new is not None:
            bucket_or_none = self._buckets.get(new)
            if bucket_or_none is None:
                self._buckets[new] = {key: None}
                heappush(self._order, new)
                # Peers make buckets come and go, so the numbers of the gone ones
                # are dropped before they outnumber the others.
                if len(self._order) > 2 * len(self._buckets) + _SLACK:
                    self._order = list(self._buckets)
                    heapify(self._order)
                if new < self.earliest:
                    self._settle()
            else:
                bucket_or_none[key] = None

    def next_due(self) -> float | None:
        """Return the time of the earliest bucket, or None when all are empty."""
        return None if self.earliest == inf else self.earliest

    def _settle(self) -> None:
        order = self._order
        while order and order[0] not in self._buckets:
            heappop(order)
        self.earliest = float(order[0]) if order else inf
        if self.tell is not None:
            self.tell(self.earliest)

    def pop_due(self, now: float) -> str | None:
        """Remove and return a key whose bucket is due at ``now``, or None.

        Within a bucket the latest key comes first: taking the first one out of
        a dict again and again would take quadratic time.
        """
        if self.earliest == inf or self.earliest > now:
            return None
        second = self._order[0]
        bucket = self._buckets[second]
        key, _ = bucket.popitem()
        if not bucket:
            del self._buckets[second]
            self._settle()
        return key

    def __len__(self) -> int:
        """Return how many numbers the heap holds, those of gone buckets included."""
        return len(self._order)
