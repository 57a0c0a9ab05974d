"""Rates of a module, by key: how many of something may happen in a while.

Theory of operation: a token bucket for each key, as for the requests of one source (``sansip.sources``). The
table is bounded: the key that was counted least lately goes first, and begins anew if it comes back. The
functions are ``async`` so that the owner of a key may be another process; one that serves alone is the owner.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Generator
from typing import Any

from sansip.questions import Callback, Inside
from sansip.routing.awaitables import Question

__all__ = ["Limited", "Rates"]


class Rates:
    """Token buckets by key; at most ``most`` keys are remembered."""

    __slots__ = ("_buckets", "_most")

    def __init__(self, most: int) -> None:
        # key -> (tokens, time of the last look)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._most = most

    def __len__(self) -> int:
        return len(self._buckets)

    def allow(self, key: str, count: float, per: float, now: float) -> bool:
        """Count one more of ``key``; return whether there are at most ``count`` in ``per`` seconds.

        The bucket holds ``count`` tokens, and fills again evenly.
        """
        tokens, looked = self._buckets.pop(key, (count, now))
        now = max(now, looked)
        tokens = min(count, tokens + max(now - looked, 0.0) * count / per)
        allowed = tokens >= 1.0 - 1e-9
        self._buckets[key] = (tokens - 1.0 if allowed else tokens, now)
        if len(self._buckets) > self._most:
            self._buckets.popitem(last=False)
        return allowed


class Limited(Inside):
    """An awaitable for ``Rates.allow``."""

    __slots__ = ("_count", "_key", "_per", "_rates")

    def __init__(self, rates: Rates, key: str, count: float, per: float) -> None:
        self._rates = rates
        self._key = key
        self._count = count
        self._per = per

    def __await__(self) -> Generator[Any, Any, bool]:
        allowed: bool = yield from Question(self).__await__()
        return allowed

    def put(self, callback: Callback, now: float) -> None:
        callback(self._rates.allow(self._key, self._count, self._per, now), now)
