"""Places of a name: what the outside answers, bounded and in order (RFC 3263 4.2, 4.3)."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.client.places import Places
from sansip.limits import Limits
from sansip.transport.next_hop import NextHop

HOP = NextHop("tcp", "phone.test", 5070, False, True)
A, B = ("udp", "192.0.2.1", 5060), ("tcp", "192.0.2.2", 5060)


def places(**limits: Any) -> Places:
    return Places(lambda question, done, now: None, Limits(**limits))


@pytest.mark.parametrize("found", [None, [], LookupError("no such host")])
def test_nothing_was_found(found: Any) -> None:
    assert places().take(found, HOP, 0.0) == []


def test_who_knows_addresses_only() -> None:
    """The transport is that of the URI then."""
    assert places().take([("192.0.2.1", 5060), A], HOP, 0.0) == [("tcp", "192.0.2.1", 5060), A]


@pytest.mark.parametrize("spelled", ["::ffff:192.0.2.1", "::ffff:c000:201"])
def test_clothes(spelled: str) -> None:
    """A zone's AAAA with an IPv4 address (RFC 5118 4.9) is no other place: one is guarded as the other."""
    assert places().take([("tcp", spelled, 5060), (spelled, 5070)], HOP, 0.0) == [
        ("tcp", "192.0.2.1", 5060),
        ("tcp", "192.0.2.1", 5070),
    ]


def test_next_hops() -> None:
    """``limits.next_hops``: what a hostile zone can have us try."""
    assert places(next_hops=2).take([A, B, A, B], HOP, 0.0) == [A, B]


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [(None, 60.0), ("120", 120.0), ("18 (soon);duration=3", 18.0), ("99999", 3600.0), ("soon", 60.0)],
)
def test_a_place_that_failed_is_last(retry_after: str | None, seconds: float) -> None:
    """RFC 3261 21.5.4: for as long as its Retry-After asked, an hour at the most, else ``avoid_time``."""
    some = places(avoid_time=60.0)
    some.avoid(A, retry_after, 100.0)
    assert some.take([A, B], HOP, 100.0 + seconds - 0.1) == [B, A]
    assert some.take([A, B], HOP, 100.0 + seconds) == [A, B]
