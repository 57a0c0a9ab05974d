"""Guessing is counted where it comes from; honest users never pay for it."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansip.auth.guard import Guard, source_of


@given(st.integers(0, 2**128 - 1), st.sampled_from(["compressed", "exploded"]))
def test_a_source_is_a_network_of_ipv6(number: int, form: str) -> None:
    """However an address is written, its first 64 bits are the source."""
    address = ipaddress.IPv6Address(number)
    expected = ipaddress.IPv6Network((number >> 64 << 64, 64)).network_address
    groups = source_of(getattr(address, form)).split(":")
    assert [int(group, 16) for group in groups] == [
        int(group, 16) for group in expected.exploded.split(":")[:4]
    ]


@pytest.mark.parametrize(
    ("host", "source"),
    [("192.0.2.1", "192.0.2.1"), ("::1", "0:0:0:0"), ("::ffff:192.0.2.1", "0:0:0:0"), ("::", "0:0:0:0")],
)
def test_sources(host: str, source: str) -> None:
    assert source_of(host) == source


def test_colleagues_of_a_guesser() -> None:
    """Behind one NAT: who proved himself goes on, who is new has to wait, the guesser is barred."""
    guard = Guard(3, 5, 30.0, 100)
    guard.succeeded("nat", "alice")
    for number in range(5):
        guard.failed("nat", f"guess{number}", 0.0)
    assert guard.allowed("nat", "alice", 0.0)
    assert not guard.allowed("nat", "bob", 0.0)
    assert guard.allowed("elsewhere", "bob", 0.0)
    assert guard.allowed("nat", "bob", 31.0)


def test_a_colleague_that_is_guessed_at() -> None:
    """The pair's own bucket counts for the proven as well: else one right guess would allow all others."""
    guard = Guard(3, 5, 30.0, 100)
    guard.succeeded("nat", "alice")
    for _ in range(3):
        guard.failed("nat", "alice", 0.0)
    assert not guard.allowed("nat", "alice", 0.0)


def test_memory_is_bounded() -> None:
    """``most`` buckets and proven users; the oldest goes."""
    guard = Guard(3, 5, 30.0, 10)
    for number in range(100):
        guard.failed(f"10.0.0.{number}", "alice", 0.0)
        guard.succeeded(f"10.0.1.{number}", "alice")
    assert len(guard) == 10
    assert len(guard._proven) == 10
