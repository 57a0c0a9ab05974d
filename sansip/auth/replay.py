"""Nonce counts: this node must not believe the same request twice.

Theory of operation: RFC 7616 3.4 makes a client count its uses of a nonce; the highest count of each nonce is
remembered until the nonce expires by itself. The table is bounded, and it begins empty with each process. So
if a nonce is not in the table, its uses may have been forgotten. This node refuses such a nonce if it is no
younger than the newest nonce that was forgotten. It also refuses one of another process (another node, or
this server before a restart) that is no younger than this process. It tells those clients to use a new nonce.
"""

from __future__ import annotations

from typing import Final

from sansip.auth.nonce import Nonce

__all__ = ["AHEAD", "OLDER", "ONCE", "USED", "NonceCounts"]

# Seconds by which another node's clock may be ahead of ours. A nonce from further in the future was made
# before our clock was set back.
AHEAD: Final = 30
# The count of an answer without one (RFC 2069): no later answer has a higher one.
ONCE: Final = 0x1_0000_0000
# Why a nonce is refused, for people.
USED: Final = "the nonce was used before"
OLDER: Final = "the nonce is older than what is known of its uses"


class NonceCounts:
    """The highest count seen for each nonce, for at most ``most``.

    ``life``: that of our own nonces; ``began``: the Unix time since which this process sees
    how nonces are used, None for that of the first ``look``.
    """

    __slots__ = ("_began", "_counts", "_life", "_lost_before", "_lost_tick", "most", "own_only")

    def __init__(self, life: bytes, most: int, began: float | None = None) -> None:
        # text of a nonce -> count, in the order of use
        self._counts: dict[bytes, int] = {}
        self._life = life
        self.most = most
        # Workers of one server: each believes its own nonces alone, or a count might be believed by two.
        self.own_only = False
        self._began = None if began is None else int(began)
        # The newest that were forgotten: of our own by its tick, of others by the second.
        self._lost_tick = -1
        self._lost_before = -1

    def __len__(self) -> int:
        return len(self._counts)

    def look(self, unix: float) -> None:
        """Note that it is Unix time ``unix``: after a clock was set back, a process begins anew."""
        if self._began is None or unix + AHEAD < self._began:
            self._began = int(unix)
            self._lost_before = min(self._lost_before, self._began)

    def objection(self, nonce: Nonce, count: int) -> str:
        """Return what speaks against ``count`` uses of ``nonce``: ``USED``, ``OLDER``, or "" for nothing."""
        known = self._counts.get(nonce.text)
        if known is not None:
            return USED if count <= known else ""
        if nonce.life == self._life:
            return OLDER if nonce.tick <= self._lost_tick else ""
        if self.own_only:
            return OLDER
        # Within one second their order is unknown.
        if self._began is None or nonce.made <= self._began or nonce.made <= self._lost_before:
            return OLDER
        return ""

    def accept(self, nonce: Nonce, count: int) -> bool:
        """Note ``count``; return False, and note nothing, where there is an ``objection``."""
        if self.objection(nonce, count):
            return False
        counts = self._counts
        # Put last: the table is ordered by use.
        if counts.pop(nonce.text, None) is None and len(counts) >= self.most:
            oldest = Nonce.of(next(iter(counts)))
            del counts[oldest.text]
            if oldest.life == self._life:
                self._lost_tick = max(self._lost_tick, oldest.tick)
            else:
                self._lost_before = max(self._lost_before, oldest.made)
        counts[nonce.text] = count
        return True
