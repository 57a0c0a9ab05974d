"""Remembered users: never older than a second, never of another generation."""

from __future__ import annotations

from sansip.auth import Lookup
from sansip_server.known import KnownUsers

ALICE = Lookup("alice", "biloxi.test")
KEYS = {"MD5": "a" * 32}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_known_for_a_second() -> None:
    """After a second without a look at the store it is asked again."""
    clock = Clock()
    known = KnownUsers(10, clock)
    assert known.recall(ALICE) is None
    known.learn(1, [ALICE], [KEYS])
    assert known.recall(ALICE) == KEYS
    assert known.recall(Lookup("alice", "other.test")) is None
    clock.now = 1.1
    assert known.recall(ALICE) is None
    assert known.aging
    assert known.last(ALICE) == KEYS


def test_a_look_at_the_store_is_enough() -> None:
    """If the generation is the same, the known keys are good for another second."""
    clock = Clock()
    known = KnownUsers(10, clock)
    known.learn(1, [ALICE], [KEYS])
    clock.now = 1.5
    known.learn(1, [], [])
    assert known.recall(ALICE) == KEYS


def test_a_change_forgets_all() -> None:
    """Another generation means that some password was changed, and not which."""
    known = KnownUsers(10, Clock())
    known.learn(1, [ALICE], [KEYS])
    known.learn(2, [], [])
    assert known.recall(ALICE) is None


def test_older_generation_teaches_nothing() -> None:
    """A thread that was slow must not bring back what another one knows to be changed."""
    known = KnownUsers(10, Clock())
    known.learn(2, [], [])
    known.learn(1, [ALICE], [KEYS])
    assert known.recall(ALICE) is None
    # Another database was put in place: its count is the one from now on.
    known.learn(1, [ALICE], [KEYS])
    assert known.recall(ALICE) == KEYS


def test_users_known_is_a_limit() -> None:
    """limits.users_known: the oldest goes."""
    known = KnownUsers(2, Clock())
    for name in ("a", "b", "c"):
        known.learn(1, [Lookup(name, "r")], [KEYS])
    assert len(known) == 2
    assert known.recall(Lookup("a", "r")) is None
    assert known.recall(Lookup("c", "r")) == KEYS


def test_users_that_do_not_exist_are_not_kept() -> None:
    """A guesser could fill the memory with them."""
    known = KnownUsers(2, Clock())
    known.learn(1, [ALICE], [None])
    assert len(known) == 0


def test_clear() -> None:
    """A reload asks for everybody anew."""
    known = KnownUsers(10, Clock())
    known.learn(1, [ALICE], [KEYS])
    known.clear()
    assert known.recall(ALICE) is None
    assert known.last(ALICE) is None
