"""What modules of several workers have in common: their words, and their counts.

Theory of operation: a module tells its other processes a word under a key (``Core.announce``); the last one
stands here, for workers that start later. Its counts (``sansip.module.tally``) are kept by worker, so that
those of a worker that dies go with it; so do its words about itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sansip.limits import Limits

__all__ = ["Boards"]

# Words of one message where a worker is told all of them.
_CHUNK = 500

Fact = tuple[Any, ...]


class Boards:
    """The words and the counts of all workers; at most ``limits.shared_values`` words.

    Of a worker's words about itself the names are kept beyond that: as many as its modules hold.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        # (module, key) -> its last word
        self._said: dict[tuple[str, str], Any] = {}
        # Worker -> those that are about itself, until it takes them back.
        self._own: dict[int, dict[tuple[str, str], None]] = {}
        # Worker -> key -> how many it counts; and the sums.
        self._held: dict[int, dict[str, int]] = {}
        self._sums: dict[str, int] = {}

    def note(self, number: int, fact: Fact) -> None:
        """Take a fact of worker ``number``."""
        match fact:
            case ("held", key, change):
                self._count(number, key, change)
            case ("said" | "own" as kind, module, key, word):
                if kind == "own":
                    own = self._own.setdefault(number, {})
                    own[module, key] = None
                    if word is None:
                        del own[module, key]
                self._said.pop((module, key), None)
                if word is not None:
                    self._said[module, key] = word
                if len(self._said) > self._limits.shared_values:
                    del self._said[next(iter(self._said))]

    def admit(self, number: int, key: str, most: int) -> bool:
        """Count one more of ``key`` for a worker where all have fewer than ``most``; return whether."""
        if self._sums.get(key, 0) >= most:
            return False
        self._count(number, key, 1)
        return True

    def _count(self, number: int, key: str, change: int) -> None:
        for counts in (self._held.setdefault(number, {}), self._sums):
            left = counts.get(key, 0) + change
            if left > 0:
                counts[key] = left
            else:
                counts.pop(key, None)

    def gone(self, number: int) -> list[Fact]:
        """Worker ``number`` is dead; return the facts that take back its counts, and the words about it."""
        counts = self._held.pop(number, {})
        for key, count in counts.items():
            left = self._sums[key] - count
            if left > 0:
                self._sums[key] = left
            else:
                del self._sums[key]
        words = self._own.pop(number, {})
        for place in words:
            # It may not stand here any more (``limits.shared_values``), but the others have it.
            self._said.pop(place, None)
        return [
            *(("held", key, -count) for key, count in counts.items()),
            *(("said", *place, None) for place in words),
        ]

    def counts(self) -> list[Fact]:
        """Return the facts that tell a new worker how many the others count at this moment."""
        return [("held", key, count) for key, count in self._sums.items()]

    def words(self) -> Iterator[list[Fact]]:
        """Yield the facts that tell a new worker what was said, each as it stands when it is read."""
        places = list(self._said)
        for begin in range(0, len(places), _CHUNK):
            chunk = places[begin : begin + _CHUNK]
            yield [("said", *place, self._said[place]) for place in chunk if place in self._said]
