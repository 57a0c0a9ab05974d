"""The book of subscriptions: what it costs to know the time of each."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from sansip.modules.events.book import Book


def test_times_that_come_again_leave_one_entry() -> None:
    """A NOTIFY takes a subscription's end from the book, its answer puts the same end back, for hours.

    With an entry for each time, a book of 10,000 watchers was made anew at each change.
    """
    book = Book()
    subscriptions: list[Any] = [
        SimpleNamespace(number=number, due=None, counted=True) for number in range(100)
    ]
    for _ in range(50):
        for one in subscriptions:
            book.look(one, None)
            book.look(one, 3_600.0)
    # One for each, and as many again before the book is made anew.
    assert len(book._heap) <= 1_000 + 2 * len(subscriptions)
    assert [one.number for one in book.passed(3_600.0, 1_000)] == list(range(100))
