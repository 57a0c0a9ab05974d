"""Nonce counts: a request that was seen must not be believed again.

Theory of operation: RFC 7616 3.4 makes a client count its uses of a nonce; the
highest count of each nonce is remembered until the nonce expires by itself.
The table is bounded; the oldest nonce goes first, and a client whose nonce was
forgotten is asked to use a new one.
"""

from __future__ import annotations

__all__ = ["NonceCounts"]


class NonceCounts:
    """The highest count seen for each nonce, for at most ``most`` nonces."""

    __slots__ = ("_counts", "_most")

    def __init__(self, most: int) -> None:
        self._counts: dict[str, int] = {}
        self._most = most

    def accept(self, nonce: str, count: int) -> bool:
        """Note ``count``; return False for one that was used, or whose beginning was forgotten."""
        last = self._counts.pop(nonce, None)
        if last is None:
            if count > 1 and len(self._counts) >= self._most:
                return False
            if len(self._counts) >= self._most:
                del self._counts[next(iter(self._counts))]
        elif count <= last:
            self._counts[nonce] = last
            return False
        # Put last: the table is ordered by use.
        self._counts[nonce] = count
        return True
