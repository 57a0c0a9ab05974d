"""Calls of senders that proved nothing, by source: one address must not fill the table of calls.

Theory of operation: a call takes one when its record begins and gives it back when the record ends.
"""

from __future__ import annotations

from typing import Any

__all__ = ["Strangers"]


class Strangers:
    """How many calls each source has; a source is what ``sansip.sources.source_of`` returns."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: dict[Any, int] = {}

    def take(self, source: Any, most: int) -> bool:
        """Count one more call of ``source``, None for a sender that is known; False if it has ``most``."""
        if source is None:
            return True
        count = self._counts.get(source, 0)
        if count >= most:
            return False
        self._counts[source] = count + 1
        return True

    def has_room(self, source: Any, most: int) -> bool:
        """Whether ``take`` would count one more."""
        return source is None or self._counts.get(source, 0) < most

    def give_back(self, source: Any) -> None:
        """One call of ``source`` has ended."""
        left = self._counts.get(source, 1) - 1
        if left > 0:
            self._counts[source] = left
        else:
            self._counts.pop(source, None)

    def __len__(self) -> int:
        return len(self._counts)
