"""Figures that a module counts: for `sansip ctl stats`, and for whatever exports them.

Theory of operation: plain numbers, changed in the stack's thread and read from anywhere. Labels are values in
the order of the names that the figure was made with; how many there may be is bounded, for a label that a
peer chooses must not fill the memory.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

__all__ = ["Counter", "Histogram"]

# Sets of labels of one figure; further sets are counted under "other".
_MOST = 1_000


class Counter:
    """A number that rises, one for each set of labels."""

    __slots__ = ("help", "labels", "name", "values")

    def __init__(self, name: str, help: str, labels: Sequence[str] = ()) -> None:
        self.name = name
        self.help = help
        self.labels = tuple(labels)
        self.values: dict[tuple[str, ...], float] = {}

    def add(self, *labels: str, by: float = 1) -> None:
        """Count ``by`` more."""
        values = self.values
        before = values.get(labels)
        if before is None and len(values) >= _MOST:
            labels = ("other",) * len(self.labels)
            before = values.get(labels)
        values[labels] = by if before is None else before + by


class Histogram:
    """How values are spread: how many were at most each of ``bounds``, with their sum and number."""

    __slots__ = ("bounds", "buckets", "count", "help", "name", "sum")

    def __init__(self, name: str, help: str, bounds: Sequence[float]) -> None:
        self.name = name
        self.help = help
        self.bounds = tuple(sorted(bounds))
        self.buckets = [0] * (len(self.bounds) + 1)
        self.count = 0
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count ``value``."""
        self.buckets[bisect_left(self.bounds, value)] += 1
        self.count += 1
        self.sum += value
