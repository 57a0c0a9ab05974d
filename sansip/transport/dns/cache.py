"""The answers of name servers, each for as long as its time to live.

Theory of operation: a dictionary in the order of insertion, bounded: the entry that came first leaves first.
Time to live is the server's, within bounds. The cache also remembers that a name has no records (RFC 2308)
and, for a few seconds, that no server answered. So the calls to a dead name fail, without one look-up for
each.
"""

from __future__ import annotations

from sansip.transport.dns.records import LookupFailed, Record

__all__ = ["FAILURE_TTL", "Cache", "Found"]

Found = list[Record] | LookupFailed

# RFC 1035 lets a record live for 68 years; a mistake should not.
MAX_TTL = 3_600.0
# RFC 2308 5 suggests hours. A number that has just been provisioned should work sooner.
MAX_NEGATIVE_TTL = 300.0
# RFC 2308 7: five minutes at the most, for servers that fail or keep silent.
FAILURE_TTL = 5.0


class Cache:
    """Answers by (name, type); at most ``size`` of them."""

    __slots__ = ("_entries", "_size")

    def __init__(self, size: int) -> None:
        self._entries: dict[tuple[str, str], tuple[float, Found]] = {}
        self._size = size

    def bound(self, size: int) -> None:
        """Hold at most ``size`` answers from now on."""
        self._size = size
        while len(self._entries) > max(size, 0):
            del self._entries[next(iter(self._entries))]

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, name: str, kind: str, now: float) -> Found | None:
        """Return the known records, or None. The list must not be changed."""
        entry = self._entries.get((name, kind))
        if entry is None:
            return None
        if entry[0] <= now:
            del self._entries[name, kind]
            return None
        return entry[1]

    def left(self, name: str, kind: str, now: float) -> float:
        """Return for how many seconds more the known records hold."""
        entry = self._entries.get((name, kind))
        return 0.0 if entry is None else entry[0] - now

    def put(self, name: str, kind: str, found: Found, ttl: float, now: float) -> None:
        """Remember ``found`` for ``ttl`` seconds, or less."""
        most = FAILURE_TTL if isinstance(found, LookupFailed) else MAX_TTL if found else MAX_NEGATIVE_TTL
        ttl = min(ttl, most)
        # RFC 1035 3.2.1: zero is for the question under way only.
        if ttl <= 0 or self._size <= 0:
            return
        key = (name, kind)
        self._entries.pop(key, None)
        if len(self._entries) >= self._size:
            del self._entries[next(iter(self._entries))]
        self._entries[key] = (now + ttl, found)

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
