"""The pace of one subscription, and the transitions that wait for it."""

from __future__ import annotations

import pytest

from sansip.modules.events import Package, Subscription
from sansip.modules.events.subscription import rate_of


class Each(Package):
    event = "each"
    each = True


def subscription() -> Subscription:
    return Subscription("e-1", Each(), "sip:bob@biloxi.test", "sip:alice@biloxi.test")


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("1", 1.0),
        ("0.05", 0.05),
        (None, None),
        ("", None),
        ("0", None),
        ("-1", None),
        ("nan", None),
        ("1e3", None),
        ("100", None),
        ("9" * 1000, None),
        ("١", None),
    ],
)
def test_rates(text: str | None, rate: float | None) -> None:
    """RFC 6446 9.2: a positive decimal number within bounds; anything else is as if it were not there."""
    assert rate_of(text) == rate


def test_the_first_of_each_key() -> None:
    """A NOTIFY tells one transition of each thing; the later ones wait, in their order."""
    one = subscription()
    one.full = False
    for key, value in (("a", 1), ("a", 2), ("b", 1), ("a", 3)):
        one.note(key, value)
    assert one.take_changes() == [("a", 1), ("b", 1)]
    assert one.take_changes() == [("a", 2)]
    assert one.take_changes() == [("a", 3)]
    assert one.take_changes() == []


def test_a_full_document_needs_no_transitions() -> None:
    """While the whole state is to be told anyway, nothing is queued."""
    one = subscription()
    one.note("a", 1)
    assert one.dirty
    assert not one.changes


def test_versions() -> None:
    """RFC 4235 4.1, RFC 3858 4: from 0 on, one more each time."""
    one = subscription()
    assert [one.next_version() for _ in range(3)] == [0, 1, 2]
