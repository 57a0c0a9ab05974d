"""Limits that were reached, told once a second each.

Theory of operation: a flooder reaches a limit with every request, and one who
watches needs to hear of it once. The table holds the limits and sources of one
second; it is bounded as well, for a flood may have as many sources as it likes.
"""

from __future__ import annotations

from sansip.actions import Action, Notify
from sansip.events import LimitReached

__all__ = ["LimitNotices"]


class LimitNotices:
    """Appends ``LimitReached`` events to ``out``: ``most`` a second, one for each limit and source."""

    __slots__ = ("_out", "_second", "_told", "most")

    def __init__(self, out: list[Action], most: int) -> None:
        self._out = out
        self.most = most
        self._second = 0
        self._told: set[tuple[str, str]] = set()

    def reached(self, name: str, source: str, now: float) -> None:
        """Tell that ``source`` reached limit ``name``, unless that was told this second."""
        second = int(now)
        told = self._told
        if second != self._second:
            self._second = second
            told.clear()
        if len(told) < self.most and (name, source) not in told:
            told.add((name, source))
            self._out.append(Notify(LimitReached(name, source)))
