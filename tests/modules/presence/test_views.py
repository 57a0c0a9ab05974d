"""Watchers who may see the same are sent the same octets, which are written once; nobody else is."""

from __future__ import annotations

import pytest

from sansip.modules.events import Content, Package, Subscription, Verdict
from sansip.modules.presence import views
from sansip.modules.presence.rules import EVERYTHING, NOTHING, Shows
from sansip.modules.presence.views import Seen, View, Views

BOB = "sip:bob@biloxi.test"
WRITTEN = Content("application/pidf+xml", b"<presence/>")


def watcher(shows: Shows = EVERYTHING) -> Subscription:
    one = Subscription("e-1", Package(), BOB, "sip:alice@biloxi.test")
    one.memo = Seen(shows)
    one.accept = ("application/pidf+xml",)
    return one


def written() -> Views:
    found = Views()
    view = View([])
    view.shows, view.content = EVERYTHING, WRITTEN
    found.put(BOB, view)
    return found


def test_who_sees_the_same() -> None:
    """It is the same document, until the state changes."""
    found = written()
    assert found.known(watcher()) is WRITTEN
    found.pop(BOB)
    assert found.known(watcher()) is None
    found.pop(BOB)
    assert found.get(BOB) is None


def test_who_sees_another() -> None:
    """RFC 5025 3.2: nobody gets what was written for others."""
    found = written()
    assert found.known(watcher(NOTHING)) is None
    for verdict in (Verdict.POLITE, Verdict.CONFIRM, Verdict.BLOCK):
        one = watcher()
        one.verdict = verdict
        assert found.known(one) is None
    one = watcher()
    # RFC 5263: a difference is this watcher's own.
    one.accept = ("application/pidf+xml", "application/pidf-diff+xml")
    assert found.known(one) is None
    one = watcher()
    # Restored: nobody has judged it yet.
    one.memo = None
    assert found.known(one) is None


def test_as_many_as_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest goes."""
    monkeypatch.setattr(views, "_MOST", 2)
    found = written()
    found.put("sip:a@b", View([]))
    assert found.get(BOB) is not None
    found.put("sip:c@b", View([]))
    assert found.get(BOB) is None
