"""Followers of events: in order, bounded, and no text of a stranger grows."""

from __future__ import annotations

import json
from typing import Any

from sansip.events import LimitReached, RouteFailed
from sansip.modules.calls import Call, CallFinished
from sansip_server.followers import TEXT, Followers, described


def test_in_order_and_bounded() -> None:
    """A follower that does not fetch keeps the newest events, and hears how many it missed.

    The bell rings once.
    """
    logged: list[Any] = []
    rung: list[int] = []
    followers = Followers(logged.append)
    follower = followers.add(lambda: rung.append(1), 3)
    for number in range(5):
        followers(LimitReached(f"limit{number}", "192.0.2.1"))
    assert (len(logged), rung) == (5, [1])
    assert follower.next() == {"event": "LimitReached", "name": "limit2", "source": "192.0.2.1", "missed": 2}
    assert follower.next() == {"event": "LimitReached", "name": "limit3", "source": "192.0.2.1"}
    followers.remove(follower)
    followers(LimitReached("other", "192.0.2.1"))
    assert (follower.next() or {})["name"] == "limit4"
    assert follower.next() is None


def test_what_an_event_shows() -> None:
    """Exceptions become their text; all of it is JSON, and no text is longer than a bound."""
    shown = described(RouteFailed("INVITE", "sip:" + "a" * 5_000, ValueError("no\udcff")))
    assert shown["error"] == "ValueError: no\udcff"
    assert len(shown["uri"]) == TEXT
    json.dumps(shown)


def test_what_a_call_shows() -> None:
    """The URIs of both sides, and the values that modules keep with it: not how the call keeps them."""
    caller, callee = "From: Alice <sip:alice@biloxi.test>;tag=a", "To: <sip:bob@biloxi.test>"
    call = Call("c1", "call", "a", caller, callee, "sip:bob@biloxi.test", "192.0.2.1", 1.0, lines=True)
    call.said = {"lcr.gateway": "gw"}
    shown = described(CallFinished(call))["call"]
    assert (shown["caller"], shown["callee"]) == ("sip:alice@biloxi.test", "sip:bob@biloxi.test")
    assert shown["variables"] == {"lcr.gateway": "gw"}
    assert (shown["state"], shown["over"], shown["ended_by"]) == ("calling", False, "")
    assert not [name for name in shown if name.startswith("_")]
    json.dumps(shown)
