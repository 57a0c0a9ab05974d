"""When to look for expired bindings: one bucket per second, one entry per address-of-record.

Theory of operation: phones choose their own expiry times, so a queue per distinct duration would have no end
of queues, and a lazy heap would keep an entry for every refresh. Here an address-of-record stands in one
bucket only, that of the second after its earliest binding expires, and moves when that changes; a heap orders
the buckets, not their entries. So there is at most one entry per address-of-record, and every operation but
``pop_due`` of an emptied bucket is constant time. A sweep is up to a second late. This has no visible effect:
lookups compare the exact time themselves.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush

__all__ = ["ExpiryBuckets"]

# Numbers of emptied buckets may wait in the heap until they are the majority.
_SLACK = 64


class ExpiryBuckets:
    """Keys in buckets of whole seconds; ``None`` as a second stands for no bucket."""

    __slots__ = ("_buckets", "_order")

    def __init__(self) -> None:
        # A dict and not a set, for its order: a replay must give the same actions.
        self._buckets: dict[int, dict[str, None]] = {}
        # Every number in _buckets once or more, and some that are gone.
        self._order: list[int] = []

    def move(self, key: str, old: int | None, new: int | None) -> None:
        """Take ``key`` out of bucket ``old`` and put it in bucket ``new``."""
        if old == new:
            return
        if old is not None:
            bucket = self._buckets[old]
            del bucket[key]
            if not bucket:
                del self._buckets[old]
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
            else:
                bucket_or_none[key] = None

    def next_due(self) -> float | None:
        """Return the time of the earliest bucket, or None when all are empty."""
        order = self._order
        while order:
            if order[0] in self._buckets:
                return float(order[0])
            heappop(order)
        return None

    def pop_due(self, now: float) -> str | None:
        """Remove and return a key whose bucket is due at ``now``, or None.

        Within a bucket the latest key comes first: taking the first one out of
        a dict again and again would take quadratic time.
        """
        due = self.next_due()
        if due is None or due > now:
            return None
        second = self._order[0]
        bucket = self._buckets[second]
        key, _ = bucket.popitem()
        if not bucket:
            del self._buckets[second]
        return key

    def __len__(self) -> int:
        """Return how many numbers the heap holds, those of gone buckets included."""
        return len(self._order)
