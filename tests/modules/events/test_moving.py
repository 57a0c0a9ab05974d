"""A 200 to a NOTIFY that names another Contact: it moves the target, and aims at nobody many times."""

from __future__ import annotations

from sansip.module import Use
from sansip.modules.events import Events, EventsSettings
from sansip.routing.trust import TrustedPeer
from tests.modules.events.weather import Reports, Stored
from tests.modules.watching import Watcher
from tests.rig import ALICE, reply

VICTIM = ("192.0.2.99", 5060)
MOST = 3


def rig() -> Stored:
    """A server that trusts the addresses of the test network, so that its senders are who they say."""
    return Stored(
        modules=[Use(Events, EventsSettings(unanswered=MOST)), Use(Reports)],
        trusted=[TrustedPeer("192.0.2.0/24")],
    )


def test_the_target_moves() -> None:
    """RFC 3261 12.2.1.2: the remote target is the Contact of the 2xx."""
    one = rig()
    watcher = Watcher(one, event="weather", answer=None)
    watcher.subscribe()
    one.udp(reply(watcher.last, 200, tag=None, headers=[("Contact", "<sip:alice@192.0.2.1:5070>")]), ALICE)
    watcher.answer = 200
    assert watcher.subscribe(0) == 200
    # The refresh named its own Contact again (RFC 3261 12.2.2).
    assert str(watcher.last.uri) == "sip:alice@192.0.2.1:5060"


def test_a_crowd_is_not_aimed_at_a_victim() -> None:
    """Of many subscriptions that a watcher moves, only ``unanswered`` tell the new address at a time."""
    one = rig()
    engine = one.stack.modules.get(Events)
    assert engine is not None
    watchers = []
    for number in range(MOST * 4):
        watcher = Watcher(one, event="weather", name=f"w{number}", answer=None)
        watcher.subscribe()
        moved = f"<sip:alice@{VICTIM[0]}>"
        one.udp(reply(watcher.last, 200, tag=None, headers=[("Contact", moved)]), ALICE)
        watchers.append(watcher)
    for subscription in engine.of("weather", "sip:bob@biloxi.test"):
        assert str(subscription.usage.dialog.remote_target) == f"sip:alice@{VICTIM[0]}"
    engine.changed("weather", "sip:bob@biloxi.test", one.now)
    outs = one.take(one.stack._take(one.now)) + one.wait(30)
    aimed = {out.message.call_id for out in outs if out.to == VICTIM and out.message is not None}
    assert len(aimed) == MOST


def test_a_contact_that_is_none() -> None:
    """RFC 3261 8.2, 21.4.1: a refresh whose Contact cannot be read gets a 400, and raises nothing."""
    rig = Stored(modules=[Use(Events, EventsSettings(open=True)), Use(Reports)])
    watcher = Watcher(rig, event="weather")
    assert watcher.subscribe() == 200
    watcher.contact = "asip:alice@192.0.2.1>"
    assert watcher.subscribe() == 400
    watcher.contact = "<sip:alice@192.0.2.1>"
    assert watcher.subscribe() == 200
