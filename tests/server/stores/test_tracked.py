"""Which records are present: what Redis tells is believed, nothing else, and the memory is bounded."""

from __future__ import annotations

from typing import Any

import pytest

from sansip_server.stores.redis_location import Commands
from sansip_server.stores.tracked import Tracked

BOB = "sip:bob@biloxi.test"


@pytest.mark.parametrize("aor", [BOB, "sip:{b}%7D%@h", "sip:\udcff@h", "sip:ü@h"])
def test_a_key_that_changed(aor: str) -> None:
    """Braces and octets of a name come back from its key: else the node would call where the phone was."""
    tracked = Tracked("p", 10)
    tracked.note(aor, "1")
    tracked.note("sip:other@h", "2")
    tracked.told([b"invalidate", [Commands("p").key(aor)]])
    assert (tracked.versions, tracked.changes) == ({"sip:other@h": "2"}, 1)


@pytest.mark.parametrize("message", [[b"invalidate", None], [b"invalidate", b"?"]])
def test_all_of_them(message: list[Any]) -> None:
    """FLUSHALL changes every key."""
    tracked = Tracked("p", 10)
    tracked.note(BOB, "1")
    tracked.told(message)
    assert tracked.versions == {}


@pytest.mark.parametrize(
    "message", [[], [b"invalidate"], [b"pubsub", b"x"], 7, [b"invalidate", [7, b"other:{x}", None]]]
)
def test_other_messages(message: Any) -> None:
    """They say nothing of a record, and none of them is a fault."""
    tracked = Tracked("p", 10)
    tracked.note(BOB, "1")
    tracked.told(message)
    assert tracked.versions == {BOB: "1"}


def test_its_memory_is_bounded() -> None:
    """What does not fit costs a trip."""
    tracked = Tracked("p", 1)
    tracked.note(BOB, "1")
    tracked.note("sip:ann@h", "1")
    tracked.note(BOB, "2")
    assert tracked.versions == {BOB: "2"}
    tracked.forget(BOB)
    tracked.forget(BOB)
    tracked.note("sip:ann@h", "1")
    tracked.clear()
    assert (tracked.versions, tracked.changes) == ({}, 1)
