"""How many requests each source address sends: a token bucket for each.

Theory of operation: a bucket fills with ``source_rate`` tokens a second up to
``source_burst`` and each request takes one. The table of sources is bounded;
the oldest entry goes, and starts with a full bucket if it comes back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sansip.limits import Limits

__all__ = ["SharedRates", "SourceRates", "source_of"]


def source_of(host: str) -> str:
    """Return the unit that counts as one source: an IPv4 address, or the /64 of an IPv6 one (RFC 6177)."""
    if ":" not in host:
        return host
    if "." in host:
        # RFC 4291 2.5.5.2: an IPv4 client of a socket for both.
        return host.rpartition(":")[2]
    head, _, tail = host.partition("::")
    groups = head.split(":") if head else []
    if tail or host.endswith("::"):
        behind = tail.split(":") if tail else []
        groups += ["0"] * (8 - len(groups) - len(behind)) + behind
    # Written in one way, and as a network: operators read it (``sansip ctl bans``).
    return ":".join([f"{int(group, 16):x}" for group in groups[:4]]) + "::/64"


# A worker tells the others of this part of a burst at a time, so their sum is that exact.
_PART = 64


class SourceRates:
    """Token buckets by source address."""

    __slots__ = ("_buckets", "_burst", "_most", "_rate")

    def __init__(self, limits: Limits) -> None:
        # address -> [tokens, time of the last look]
        self._buckets: dict[str, list[float]] = {}
        self.bound(limits)

    def bound(self, limits: Limits) -> None:
        """Hold the sources to ``limits`` from now on."""
        self._rate = limits.source_rate
        self._burst = float(limits.source_burst)
        self._most = limits.sources

    def allow(self, source: str, now: float) -> bool:
        """Take a token of ``source``; return whether there was one."""
        bucket = self._buckets.get(source)
        if bucket is None:
            if len(self._buckets) >= self._most:
                del self._buckets[next(iter(self._buckets))]
            self._buckets[source] = [self._burst - 1.0, now]
            return True
        tokens = bucket[0] + (now - bucket[1]) * self._rate
        bucket[1] = now
        if tokens > self._burst:
            tokens = self._burst
        if tokens < 1.0:
            bucket[0] = tokens
            return False
        bucket[0] = tokens - 1.0
        return True


class SharedRates(SourceRates):
    """The same for one of several workers: ``tell(source, tokens)`` tells the others what was taken here."""

    __slots__ = ("_part", "_taken", "_tell")

    def __init__(self, limits: Limits, tell: Callable[[str, int], None]) -> None:
        self._tell = tell
        # source -> tokens that the others have not heard of
        self._taken: dict[str, int] = {}
        super().__init__(limits)

    def bound(self, limits: Limits) -> None:
        super().bound(limits)
        self._part = max(1, limits.source_burst // _PART)

    def allow(self, source: str, now: float) -> bool:
        allowed = super().allow(source, now)
        if allowed:
            taken = self._taken.get(source, 0) + 1
            if taken < self._part:
                if taken == 1 and len(self._taken) >= self._most:
                    del self._taken[next(iter(self._taken))]
                self._taken[source] = taken
            else:
                self._taken.pop(source, None)
                self._tell(source, taken)
        return allowed

    def take(self, source: str, tokens: int, now: float) -> None:
        """Take ``tokens`` of ``source`` that another worker has taken; there may be less than none then."""
        bucket = self._buckets.get(source)
        if bucket is None:
            if len(self._buckets) >= self._most:
                del self._buckets[next(iter(self._buckets))]
            bucket = self._buckets[source] = [self._burst, now]
        left = min(bucket[0] + (now - bucket[1]) * self._rate, self._burst)
        # However late it is told: a source is held back for one more burst at the most.
        bucket[:] = [max(left - tokens, -self._burst), now]
