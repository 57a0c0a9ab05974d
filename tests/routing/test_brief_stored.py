"""A REGISTER whose binding a store has to take first is answered from its octets, as on the long way."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.actions import Ask, SendDatagram
from tests.routing.twice_answered import CONFIGS, CONTACT, Pair, message


def ok(pair: Pair, actions: list[Any]) -> bool:
    """Whether the actions, and what follows the answers of the store, have a 200."""
    return any(getattr(one, "data", b"").startswith(b"SIP/2.0 200") for one in pair.answer(actions))


@pytest.mark.parametrize("name", ["durable", "shared"])
def test_a_store_has_a_say(name: str) -> None:
    """The 200 leaves after the store has the binding, made of the octets that came."""
    pair = Pair(CONFIGS[name])
    pair.store.faults = False
    for number in range(1, 4):
        pair.feed(message(more=(CONTACT, "Expires: 600"), number=number, branch=f"z9hG4bK{number}"))
    assert pair.briefs.count == 3
    assert pair.store.writes == 3
    assert pair.brief.location.lookup("sip:bob@biloxi.test", pair.now)[0].cseq == 3


@pytest.mark.parametrize("name", ["durable", "shared"])
def test_retransmitted_while_the_store_is_asked(name: str) -> None:
    """RFC 3261 17.2.2: it is absorbed; a 100 after a while (RFC 4320 4.1), then the 200."""
    pair = Pair(CONFIGS[name])
    pair.store.faults = False
    data = message(more=(CONTACT,))
    answer, pair.answer = pair.answer, lambda actions: actions  # type: ignore[method-assign]  # the test's own in its place
    (asked,) = [one for one in pair.feed(data) if isinstance(one, Ask)]
    assert pair.feed(data, after=0.5) == []
    late = pair.feed(message("OPTIONS", branch="z9hG4bK9"), after=5.0)
    assert late
    assert pair.brief.snapshot()["server_transactions"] == 1
    pair.answer = answer  # type: ignore[method-assign]  # its own again
    assert ok(pair, [asked])
    assert [type(one) for one in pair.feed(data)] == [SendDatagram]
