"""NOTIFYs of a subscription: their order and pace, and what the answers mean."""

from __future__ import annotations

import pytest

from sansip.modules.events import (
    Verdict,
)
from tests.modules.events.weather import RESOURCE, Reports, bench, body, change, engine, watcher, weather
from tests.rig import reply


def test_changes_in_order_and_the_newest_last() -> None:
    """One NOTIFY is under way; what changes meanwhile is told once, as it is then."""
    rig = bench()
    one = watcher(rig, answer=None)
    one.subscribe(600)
    for word in ("rain", "snow", "hail"):
        change(rig, word, one)
    assert len(one.notifies) == 1
    rig.now += 6
    one.answer = 200
    one.take(rig.udp(reply(one.last, 200, tag=None)))
    assert [body(notify) for notify in one.notifies] == ["0 sun", "1 hail"]


def test_the_interval() -> None:
    """A watcher is told at most once in the package's interval, and then the newest state."""
    rig = bench()
    one = watcher(rig)
    one.subscribe(600)
    change(rig, "rain", one)
    change(rig, "snow", one)
    assert len(one.notifies) == 1
    assert [body(notify) for notify in one.wait(5)] == ["1 snow"]
    assert one.wait(100) == []


def test_max_rate() -> None:
    """RFC 6446 5.2: the watcher's own rate is obeyed, and reflected in Subscription-State."""
    rig = bench()
    one = watcher(rig, headers=[("Event", "weather;max-rate=0.01")])
    one.subscribe(600)
    assert one.state == "active;expires=600;max-rate=0.01"
    change(rig, "rain", one)
    assert one.wait(99) == []
    assert [body(notify) for notify in one.wait(1)] == ["1 rain"]


def test_min_rate() -> None:
    """RFC 6446 6.2: something is told at least so often."""
    rig = bench()
    one = watcher(rig, headers=[("Event", "weather;min-rate=0.1")])
    one.subscribe(3600)
    assert len(one.wait(100)) == 10


def test_each_transition() -> None:
    """Where each transition counts none is lost while a NOTIFY has no answer, and none overtakes."""
    rig = bench()
    one = watcher(rig, event="steps", answer=None)
    one.subscribe(600)
    one.answer = 200
    for key, value in (("a", "early"), ("b", "early"), ("a", "confirmed"), ("a", "terminated")):
        engine(rig).changed("steps", RESOURCE, rig.now, key, value)
    one.take(rig.udp(reply(one.last, 200, tag=None)))
    assert [body(notify) for notify in one.notifies] == [
        "all",
        "a=early,b=early",
        "a=confirmed",
        "a=terminated",
    ]


def test_too_many_transitions() -> None:
    """A watcher that falls far behind gets the whole state, and no memory without bounds."""
    rig = bench()
    one = watcher(rig, event="steps", answer=None)
    one.subscribe(600)
    for number in range(1000):
        engine(rig).changed("steps", RESOURCE, rig.now, "a", str(number))
    (sub,) = engine(rig).of("steps", RESOURCE)
    assert len(sub.changes) <= 64
    one.answer = 200
    one.take(rig.udp(reply(one.last, 200, tag=None)))
    assert body(one.last) == "all"


@pytest.mark.parametrize("status", [404, 405, 410, 416, 480, 481, 482, 483, 484, 485, 489, 501, 604])
def test_answers_that_end_it(status: int) -> None:
    """RFC 6665 4.2.2: these answers to a NOTIFY remove the subscription."""
    rig = bench()
    one = watcher(rig, answer=status)
    one.subscribe(600)
    assert len(engine(rig)) == 0
    assert rig.rows.count(engine(rig).tables[0]) == 0
    assert len(one.notifies) == 1
    assert rig.stack.modules.get(Reports).heard == ["subscribe", "giveup"]


@pytest.mark.parametrize("status", [500, 503, 600])
def test_answers_that_keep_it(status: int) -> None:
    """RFC 6665 4.2.2: any other failure keeps it, and the state is told again later."""
    rig = bench()
    one = watcher(rig, answer=status)
    one.subscribe(600)
    assert len(engine(rig)) == 1
    one.answer = 200
    (again,) = one.wait(20)
    assert body(again) == "1 sun"


def test_retry_after() -> None:
    """RFC 3261 20.33: the watcher says when it can be told."""
    rig = bench()
    one = watcher(rig, answer=None)
    one.subscribe(600)
    rig.udp(reply(one.last, 503, tag=None, headers=[("Retry-After", "100")]))
    one.answer = 200
    assert one.wait(99) == []
    assert len(one.wait(2)) == 1


def test_silence_ends_it() -> None:
    """RFC 6665 4.2.2: a NOTIFY without an answer ends the subscription when Timer F fires."""
    rig = bench()
    one = watcher(rig, answer=None)
    one.subscribe(600)
    rig.wait(31)
    assert len(engine(rig)) == 1
    rig.wait(2)
    assert len(engine(rig)) == 0


def test_the_watcher_moves() -> None:
    """RFC 6665 4.1.2.2: a SUBSCRIBE, and the answer to a NOTIFY, refresh the target."""
    rig = bench()
    one = watcher(rig)
    one.subscribe(600)
    one.contact = "<sip:alice@192.0.2.1:5070>"
    one.subscribe(600)
    assert one.last.uri_text == "sip:alice@192.0.2.1:5070"


def test_record_route() -> None:
    """RFC 3261 12.1.1: the answer has the recorded route, and NOTIFY follows it."""
    rig = bench()
    one = watcher(rig, headers=[("Record-Route", "<sip:192.0.2.1:5090;lr>")])
    one.subscribe(600)
    assert one.response is not None
    assert one.response.get("record-route") == "<sip:192.0.2.1:5090;lr>"
    assert one.last.get("route") == "<sip:192.0.2.1:5090;lr>"


def test_pending_then_approved() -> None:
    """RFC 6665 4.2.1.2: a 200 and a NOTIFY, pending and without state, then active with it."""
    rig = bench()
    weather(rig).verdicts["sip:alice@biloxi.test"] = Verdict.CONFIRM
    one = watcher(rig)
    assert one.subscribe(600) == 200
    assert (one.state, body(one.last)) == ("pending;expires=600", "")
    change(rig, "rain", one)
    weather(rig).verdicts.clear()
    engine(rig).judge("weather", rig.now)
    one.take(rig.take(rig.stack.time_passed(rig.now)))
    assert (one.state, body(one.last)) == ("active;expires=600", "0 rain")
    assert rig.stack.modules.get(Reports).heard == ["subscribe", "approved"]


def test_blocked() -> None:
    """RFC 6665 4.2.1.3: 403 at once; a watcher blocked later is told rejected, and its state no longer."""
    rig = bench()
    one = watcher(rig)
    one.subscribe(600)
    weather(rig).verdicts["sip:alice@biloxi.test"] = Verdict.BLOCK
    engine(rig).judge("weather", rig.now)
    one.take(rig.take(rig.stack.time_passed(rig.now)))
    assert (one.state, body(one.last)) == ("terminated;reason=rejected", "")
    assert watcher(rig, name="w2").subscribe(600) == 403
