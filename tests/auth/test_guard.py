"""Guessing is counted where it comes from; honest users never pay for it."""

from __future__ import annotations

from sansip.auth.guard import Guard


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
