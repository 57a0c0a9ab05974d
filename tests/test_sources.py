"""sansip.sources: a token bucket for each source address."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sansip.limits import Limits
from sansip.sources import SharedRates, SourceRates, source_of


def rates(rate: int = 10, burst: int = 5, sources: int = 100) -> SourceRates:
    return SourceRates(Limits(source_rate=rate, source_burst=burst, sources=sources))


def test_a_burst_and_then_the_rate() -> None:
    """The bucket begins full; each request takes a token; they come back at the rate."""
    one = rates()
    assert [one.allow("a", 0.0) for _ in range(7)] == [True] * 5 + [False] * 2
    assert [one.allow("a", 0.25) for _ in range(3)] == [True] * 2 + [False]


def test_no_more_than_the_burst() -> None:
    """Silence is not saved up for ever."""
    one = rates()
    one.allow("a", 0.0)
    assert [one.allow("a", 1000.0) for _ in range(6)] == [True] * 5 + [False]


def test_sources_are_apart() -> None:
    """One that floods takes nothing from another."""
    one = rates()
    for _ in range(100):
        one.allow("a", 0.0)
    assert one.allow("b", 0.0)


def test_refusals_cost_nothing() -> None:
    """A source that keeps on asking is not locked out for longer than the rate says."""
    one = rates()
    for tick in range(1000):
        one.allow("a", tick / 1000)
    assert sum(one.allow("a", 1.0 + tick / 1000) for tick in range(1000)) in range(9, 12)


def test_a_bounded_table() -> None:
    """The oldest goes, and begins anew when it comes back."""
    one = rates(sources=3)
    for name in "abcd":
        assert one.allow(name, 0.0)
    assert len(one._buckets) == 3
    assert "a" not in one._buckets


@given(st.lists(st.floats(0, 0.5), max_size=200))
def test_never_above_the_rate(pauses: list[float]) -> None:
    """In any stretch of time no more passes than the burst and the rate allow."""
    one = rates()
    now, allowed = 0.0, 0
    for pause in pauses:
        now += pause
        allowed += one.allow("a", now)
    assert allowed <= 5 + now * 10 + 1e-6


@given(st.integers(0, 2**128 - 1), st.sampled_from(["compressed", "exploded"]))
def test_a_source_is_a_network_of_ipv6(number: int, form: str) -> None:
    """However an address is written, its first 64 bits are the source, written in one way."""
    address = ipaddress.IPv6Address(number)
    # Those are IPv4 addresses, and Python 3.13 writes them so.
    assume(address.ipv4_mapped is None)
    expected = ipaddress.IPv6Network((number >> 64 << 64, 64))
    assert ipaddress.ip_network(source_of(getattr(address, form))) == expected
    assert source_of(address.compressed) == source_of(address.exploded)


@pytest.mark.parametrize(
    ("host", "source"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::1", "0:0:0:0::/64"),
        ("::", "0:0:0:0::/64"),
        ("fe80::1%eth0", "fe80:0:0:0::/64"),
        ("2001:0DB8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
    ],
)
def test_sources(host: str, source: str) -> None:
    """RFC 4291 2.5.5.2: an IPv4 address is itself, however a socket for both shows it."""
    assert source_of(host) == source


def test_workers_tell_each_other() -> None:
    """A source that is heard by several workers has one burst and one rate, in steps that are told."""
    told: list[tuple[str, int]] = []
    one = SharedRates(Limits(source_rate=10, source_burst=128), lambda *what: told.append(what))
    for _ in range(5):
        assert one.allow("a", 0.0)
    # Two at a time: a 64th of the burst.
    assert told == [("a", 2), ("a", 2)]
    one.take("a", 123, 0.0)
    assert not one.allow("a", 0.0)
    # It is told late, so there may be less than none, but never more than one burst less.
    one.take("a", 10_000, 0.0)
    assert not one.allow("a", 12.0)
    assert one.allow("a", 13.0)
    one.take("b", 127, 0.0)
    assert [one.allow("b", 0.0), one.allow("b", 0.0)] == [True, False]
