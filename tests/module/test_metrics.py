"""Figures of modules: counted in the core, bounded whatever a peer makes of the labels."""

from __future__ import annotations

from sansip.module import Counter, Histogram


def test_counter() -> None:
    """One number for each set of labels."""
    counter = Counter("calls", "Calls", ("gateway",))
    counter.add("a")
    counter.add("a", by=2)
    counter.add("b")
    assert counter.values == {("a",): 3, ("b",): 1}


def test_labels_are_bounded() -> None:
    """From some number on, labels that a stranger chooses are counted under "other"."""
    counter = Counter("calls", "Calls", ("user",))
    for number in range(2_000):
        counter.add(str(number))
    assert len(counter.values) == 1_001
    assert counter.values["other",] == 1_000


def test_histogram() -> None:
    """How many were at most each bound."""
    histogram = Histogram("latency", "Latency", (1, 0.1))
    for value in (0.1, 0.5, 3.0):
        histogram.observe(value)
    assert (histogram.bounds, histogram.buckets, histogram.count, histogram.sum) == (
        (0.1, 1),
        [1, 1, 1],
        3,
        3.6,
    )
