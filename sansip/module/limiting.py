"""Rates of a module, by key: how many of something may happen in a while.

Theory of operation: a token bucket for each key, as for the requests of one source (``sansip.sources``). The
table is bounded: the key that was counted least lately goes first, and begins anew if it comes back. Where
nodes share a Redis that counts for all of them (``sansip.module.sharing``).
"""

from __future__ import annotations

from collections import OrderedDict

__all__ = ["Rates"]


class Rates:
    """Token buckets by key; at most ``most`` keys are remembered."""

    __slots__ = ("_buckets", "_most")

    def __init__(self, most: int) -> None:
        # key -> (tokens, time of the last look)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._most = most

    def __len__(self) -> int:
        return len(self._buckets)

    def allow(self, key: str, count: float, per: float, now: float, cost: float = 1.0) -> bool:
        """Count one more of ``key``; return whether there are at most ``count`` in ``per`` seconds.

        The bucket holds ``count`` tokens, and fills again evenly. A ``cost`` above ``count`` passes while the
        bucket is full; then nothing passes until it has filled from below zero.
        """
        tokens, looked = self._buckets.pop(key, (count, now))
        now = max(now, looked)
        tokens = min(count, tokens + max(now - looked, 0.0) * count / per)
        allowed = tokens >= min(cost, count) - 1e-9
        self._buckets[key] = (tokens - cost if allowed else tokens, now)
        if len(self._buckets) > self._most:
            self._buckets.popitem(last=False)
        return allowed
