"""Addresses that failed lately, and are tried last.

Theory of operation: where a name has several servers, each call would try the
dead one first and wait for it. An address that failed is remembered
for a while (RFC 3263 2 asks for just that) and stands behind all others; it is
never left out, so a memory that is wrong costs nothing where there is no choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sansip.transport.flow import Place

__all__ = ["Avoided"]


class Avoided:
    """Failed places; at most ``size`` of them."""

    __slots__ = ("_until", "size")

    def __init__(self, size: int) -> None:
        self._until: dict[Place, float] = {}
        self.size = size

    def __len__(self) -> int:
        return len(self._until)

    def note(self, place: Place, until: float) -> None:
        """Avoid ``place`` until the time ``until``."""
        self._until.pop(place, None)
        if self.size > 0:
            if len(self._until) >= self.size:
                del self._until[next(iter(self._until))]
            self._until[place] = until

    def forget(self, place: Place) -> None:
        """``place`` answered."""
        self._until.pop(place, None)

    def holds(self, place: Place, now: float) -> bool:
        """Whether to avoid ``place``."""
        return self._until.get(place, 0.0) > now

    def sort(self, places: Sequence[Place], now: float) -> list[Place]:
        """Return ``places`` with those to be avoided last, otherwise in their order."""
        until = self._until
        if not until:
            return list(places)
        return sorted(places, key=lambda place: until.get(place, 0.0) > now)
