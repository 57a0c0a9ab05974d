"""Followers of events: in order, bounded, and no text of a stranger grows."""

from __future__ import annotations

import json
from typing import Any

from sansip.events import LimitReached, RouteFailed
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
