"""Kept messages in memory: never another answer than the store's, and never more than allowed."""

from __future__ import annotations

from sansip.modules.messages.recent import Recent
from sansip.modules.messages.row import Given, Kept

BOB, CAROL = "sip:bob@example.com", "sip:carol@example.com"


def kept(id: str, user: str = BOB, body: bytes = b"hello") -> Kept:
    return Kept(user, id, "<sip:a@example.com>", f"<{user}>", "", 1.0, 2.0, "[]", body)


def test_in_order_with_their_marks() -> None:
    """As the store gives them: by id, each with the devices that have it."""
    recent = Recent()
    recent.begin(BOB)
    recent.put(kept("2"), 10_000)
    recent.put(kept("1"), 10_000)
    recent.mark(Given(BOB, "1", "phone", 200))
    assert [one.id for one in recent.rows(BOB)] == ["1", "2"]
    assert [*recent.marks(BOB, "1")] == ["phone"]
    assert recent.marks(BOB, "2") == {}


def test_who_has_rows_in_the_store_alone() -> None:
    """A user with rows from before is read from the store, however many come now."""
    recent = Recent()
    recent.put(kept("1"), 10_000)
    recent.mark(Given(BOB, "1", "phone", 200))
    assert not recent.knows(BOB)
    assert recent.octets == 0


def test_the_first_users_go() -> None:
    """``messages.memory``: beyond it users are forgotten whole, for half of their rows would be wrong."""
    recent = Recent()
    for user in (BOB, CAROL):
        recent.begin(user)
        recent.put(kept("1", user), 1_000)
    assert recent.knows(BOB)
    recent.put(kept("2", CAROL, bytes(300)), 1_000)
    assert [recent.knows(BOB), recent.knows(CAROL)] == [False, False]
    assert recent.octets == 0


def test_octets_are_those_of_what_is_there() -> None:
    """A leak would forget users for ever."""
    recent = Recent()
    for _ in range(3):
        recent.begin(BOB)
        recent.put(kept("1"), 10_000)
        recent.mark(Given(BOB, "1", "phone", 0))
        recent.mark(Given(BOB, "1", "phone", 200))
        # Again without an end: what was there does not count on.
        recent.begin(BOB)
        recent.put(kept("2"), 10_000)
        recent.remove(BOB, "1")
        recent.remove(BOB, "2")
        assert recent.octets == 0
        assert not recent.knows(BOB)
