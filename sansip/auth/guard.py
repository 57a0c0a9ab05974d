"""Guessing costs the guesser: failed attempts are counted where they come from.

Theory of operation: failures fill a bucket of the (source, user) pair and one of
the source alone; they leak with time. A full bucket refuses that source without
a look at its password. Nobody can lock out a user from elsewhere, because no
bucket belongs to a user alone; and a user who proved himself from a source is
judged there by his own bucket only, so that a guesser in the same office (behind
the same NAT) does not lock out his colleagues. Of an IPv6 address the network
counts (its first 64 bits), for that is what one customer has.
"""

from __future__ import annotations

__all__ = ["Guard"]


class Guard:
    """Counts failures; ``allowed`` before, ``failed`` after a wrong password.

    ``per_user`` and ``per_source``: failures that a pair and a source may have
    outstanding; ``recovery``: seconds after which one failure is forgotten;
    ``most``: buckets, and proven users, remembered.
    """

    __slots__ = ("_buckets", "_most", "_per_source", "_per_user", "_proven", "_recovery")

    def __init__(self, per_user: int, per_source: int, recovery: float, most: int) -> None:
        self._per_user = per_user
        self._per_source = per_source
        self._recovery = recovery
        self._most = most
        # key -> (failures outstanding, time of the last change)
        self._buckets: dict[tuple[str, str], tuple[float, float]] = {}
        # (source, user) that knew the password lately, in the order of use.
        self._proven: dict[tuple[str, str], None] = {}

    def __len__(self) -> int:
        return len(self._buckets)

    def allowed(self, source: str, user: str, now: float) -> bool:
        """Whether an attempt of ``source`` for ``user`` is looked at."""
        if self._level((source, user), now) >= self._per_user:
            return False
        return self._level((source, ""), now) < self._per_source or (source, user) in self._proven

    def failed(self, source: str, user: str, now: float) -> None:
        """Count a wrong password."""
        for key in ((source, user), (source, "")):
            level = self._level(key, now)
            self._buckets.pop(key, None)
            if len(self._buckets) >= self._most:
                del self._buckets[next(iter(self._buckets))]
            self._buckets[key] = (level + 1.0, now)

    def succeeded(self, source: str, user: str) -> None:
        """Forget the pair's failures: its user knows the password."""
        pair = (source, user)
        if self._buckets:
            self._buckets.pop(pair, None)
        self._proven.pop(pair, None)
        if len(self._proven) >= self._most:
            del self._proven[next(iter(self._proven))]
        self._proven[pair] = None

    def _level(self, key: tuple[str, str], now: float) -> float:
        bucket = self._buckets.get(key)
        if bucket is None:
            return 0.0
        return max(0.0, bucket[0] - (now - bucket[1]) / self._recovery)
