"""Guessing is counted where it comes from; honest users never pay for it."""

from __future__ import annotations

import pytest

from sansip.auth.guard import Guard
from sansip.bans import Bans


def make(per_user: int = 3, per_source: int = 5, recovery: float = 30.0, most: int = 100) -> Guard:
    return Guard(Bans(1000), per_user, per_source, recovery, most)


def test_colleagues_of_a_guesser() -> None:
    """Behind one NAT: a user who proved the password goes on, a new one waits, the guesser is barred."""
    guard = make()
    guard.succeeded("nat", "alice")
    for number in range(5):
        guard.failed("nat", f"guess{number}", number, 0.0)
    assert guard.barred("nat", "alice", 0.0) is None
    assert guard.barred("nat", "bob", 0.0)
    assert guard.barred("elsewhere", "bob", 0.0) is None
    assert guard.barred("nat", "bob", 31.0) is None


def test_a_colleague_that_is_guessed_at() -> None:
    """The pair's own bucket counts for the proven as well: else one right guess would allow all others."""
    guard = make()
    guard.succeeded("nat", "alice")
    for number in range(3):
        guard.failed("nat", "alice", number, 0.0)
    assert guard.barred("nat", "alice", 0.0)


def test_until_there_is_room_for_one_more() -> None:
    """A bar ends when one failure is forgotten; the next one begins another, and the log can say when."""
    guard = make()
    assert [guard.failed("there", "alice", number, 100.0) for number in range(2)] == [None, None]
    ban = guard.failed("there", "alice", 2, 100.0)
    assert ban is not None
    assert (ban.user, ban.until) == ("alice", 130.0)
    assert guard.barred("there", "alice", 129.9) is ban
    assert guard.barred("there", "alice", 130.0) is None
    again = guard.failed("there", "alice", 3, 130.0)
    assert again is not None
    assert again.until == 160.0
    # All that leaked away is forgotten.
    assert guard.failed("there", "alice", 4, 1000.0) is None


def test_the_same_answer_again() -> None:
    """A repeated wrong answer is no guess: neither its phone nor a recorder of it fills the bucket."""
    guard = make(per_user=3)
    for _ in range(50):
        for answer in (1, 2):
            assert guard.failed("there", "alice", answer, 0.0) is None
    assert guard.failed("there", "alice", 3, 0.0)
    # The bucket of the source counts as the pair's does.
    for _ in range(50):
        assert guard.failed("there", "bob", 1, 0.0) is None
    assert guard.barred("there", "carol", 0.0) is None


@pytest.mark.parametrize("room", [1, 2, 10])
def test_answers_that_are_remembered(room: int) -> None:
    """A bucket holds a bounded number of answers of a guesser."""
    guard = make(per_user=room, per_source=1000)
    for number in range(100):
        guard.failed("there", "alice", number, number * 1000.0)
    assert len(guard._buckets["there", "alice"].seen) == room


def test_memory_is_bounded() -> None:
    """``most`` buckets and proven users; the oldest goes."""
    guard = make(most=10)
    for number in range(100):
        guard.failed(f"10.0.0.{number}", "alice", 0, 0.0)
        guard.succeeded(f"10.0.1.{number}", "alice")
    assert len(guard) == 10
    assert len(guard._proven) == 10


def test_a_ban_that_an_operator_lifts() -> None:
    """Its failures are forgotten with it: else the next typing mistake would bar the phone for longer."""
    bans = Bans(10)
    guard = Guard(bans, 3, 100, 30.0, 10)
    for number in range(3):
        guard.failed("there", "alice", number, 0.0)
    assert [ban.user for ban in bans.lift("there")] == ["alice"]
    assert guard.barred("there", "alice", 0.0) is None
    assert [guard.failed("there", "alice", number, 1.0) for number in range(2)] == [None, None]
