"""How a subscription begins, and which limits have no place for one more."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.modules.events import (
    EventsSettings,
    Verdict,
)
from tests.modules.events.weather import RESOURCE, Reports, bench, body, engine, watcher, weather
from tests.rig import BOB_URI, only, request, what


def test_the_200_and_a_notify_at_once() -> None:
    """RFC 6665 4.2.1.2: the 200 has Expires and our Contact, and a NOTIFY follows it immediately."""
    rig = bench()
    one = watcher(rig)
    # RFC 6665 4.2.1.1
    assert one.subscribe(600) == 200
    assert one.response is not None
    assert one.response.expires == 600
    # RFC 6665 4.5.1: a GRUU.
    assert ";gr=" in (one.response.get("contact") or "")
    (notify,) = one.notifies
    # RFC 6665 4.2.2: the state and the time that is left.
    assert one.state == "active;expires=600"
    assert (notify.get("event"), notify.get("content-type"), body(notify)) == (
        "weather",
        "text/weather",
        "0 sun",
    )
    assert notify.from_tag == one.tag
    assert notify.to_tag == "w1"
    assert rig.stack.modules.get(Reports).heard == ["subscribe"]


def test_a_fetch() -> None:
    """RFC 6665 4.4.3: Expires 0 is a poll: one NOTIFY, terminated, with the state; nothing is kept."""
    rig = bench()
    one = watcher(rig)
    assert one.subscribe(0) == 200
    assert one.state == "terminated;reason=timeout"
    assert body(one.last) == "0 sun"
    assert len(engine(rig)) == 0
    rig.run_out()
    assert rig.empty


@pytest.mark.parametrize(
    ("headers", "options", "status", "field"),
    [
        ([("Event", "nothing")], {}, 489, ("allow-events", "steps, weather")),
        ([("Event", "Weather")], {}, 489, ("allow-events", "steps, weather")),
        ([("Accept", "image/png")], {}, 406, ("accept", "text/weather, text/plain")),
        ([("Require", "magic")], {}, 420, ("unsupported", "magic")),
        ([("Content-Type", "text/odd")], {"body": b"x"}, 415, ("accept", "text/wanted")),
        ([("Content-Type", "text/wanted")], {"body": b"bad"}, 400, None),
        ([], {"expires": 30}, 423, ("min-expires", "60")),
        ([], {"uri": "sip:nobody@biloxi.test"}, 404, None),
        ([("Event", "weather;;")], {}, 400, None),
    ],
)
def test_refused(headers: Any, options: Any, status: int, field: Any) -> None:
    """Each fault has its status, and names what would have been accepted; nothing is kept of it."""
    rig = bench()
    one = watcher(rig)
    # RFC 6665 4.2.1.1, 8.3.2; RFC 3261 8.2.2.3, 8.2.3, 21.4.7
    assert one.subscribe(options.pop("expires", 3600), headers, **options) == status
    if field is not None:
        assert one.response is not None
        assert one.response.get(field[0]) == field[1]
    assert one.notifies == []
    assert len(engine(rig)) == 0


def test_an_hour_is_never_too_brief() -> None:
    """RFC 6665 4.2.1.1: a 423 only for less than an hour, whatever the configuration says."""
    with pytest.raises(ValueError, match="at most 3600"):
        EventsSettings(least=4000)


def test_no_event_at_all() -> None:
    """RFC 6665 4.2.3: a SUBSCRIBE without Event is a 489."""
    rig = bench()
    data = request("SUBSCRIBE", RESOURCE, headers=[("Contact", "<sip:alice@192.0.2.1>")])
    assert what(rig.udp(data)) == ["489"]


def test_unknown_packages_go_to_the_phone() -> None:
    """A package that the phones of the user serve is relayed to them, as without this module."""
    rig = bench()
    rig.register(BOB_URI)
    one = watcher(rig, event="conference")
    assert only(
        rig.udp(request("SUBSCRIBE", RESOURCE, headers=[("Event", "conference"), ("Contact", one.contact)])),
        "SUBSCRIBE",
    )


def test_longer_than_allowed() -> None:
    """RFC 6665 4.2.1.1: the server may shorten the interval, and never lengthens it."""
    rig = bench()
    assert watcher(rig).subscribe(10**9) == 200
    one = watcher(rig, name="w2")
    one.subscribe(10**9)
    assert one.response is not None
    assert one.response.expires == 7200
    two = watcher(rig, name="w3")
    two.subscribe(None)
    assert two.response is not None
    assert two.response.expires == 3600


def test_unanswered() -> None:
    """A source that answers no NOTIFY cannot have us send more and more of them."""
    rig = bench(unanswered=5)
    statuses = [watcher(rig, name=f"w{number}", answer=None).subscribe(600) for number in range(8)]
    assert statuses == [200] * 5 + [503] * 3
    assert any("events.unanswered" in str(event) for event in rig.events)
    rig.wait(33)
    assert watcher(rig, name="later").subscribe(600) == 200


def test_unanswered_polls() -> None:
    """A poll (RFC 6665 4.4.3) has one NOTIFY, which is repeated as others are: it counts until its answer."""
    rig = bench(unanswered=5)
    statuses = [watcher(rig, name=f"w{number}", answer=None).subscribe(0) for number in range(8)]
    assert statuses == [200] * 5 + [503] * 3
    rig.wait(33)
    assert watcher(rig, name="later").subscribe(0) == 200
    for number in range(8):
        assert watcher(rig, name=f"answers{number}").subscribe(0) == 200


def test_unanswered_and_ended() -> None:
    """The end of a subscription does not make its first NOTIFY answered."""
    rig = bench(unanswered=5)
    statuses = []
    for number in range(8):
        one = watcher(rig, name=f"w{number}", answer=None)
        statuses.append(one.subscribe(600))
        if statuses[-1] == 200:
            one.subscribe(0)
    assert statuses == [200] * 5 + [503] * 3


def test_unanswered_at_another_target() -> None:
    """RFC 6665 4.1.2.2: a refresh may name another Contact, which has answered no NOTIFY yet."""
    rig = bench(unanswered=5)
    watchers = [watcher(rig, name=f"w{number}") for number in range(8)]
    assert [one.subscribe(600) for one in watchers] == [200] * 8
    for one in watchers:
        one.answer, one.contact = None, "<sip:victim@192.0.2.99>"
    assert [one.subscribe(600) for one in watchers] == [200] * 5 + [503] * 3
    assert any("events.unanswered" in str(event) for event in rig.events)
    # The others go on as they were.
    for one in watchers[5:]:
        one.answer, one.contact = 200, watcher(rig).contact
        assert one.subscribe(600) == 200


def test_unanswered_while_the_store_is_slow() -> None:
    """Those whose row is being written count as well: a burst does not pass the limit."""
    rig = bench(unanswered=5)
    rig.holds = True
    watchers = [watcher(rig, name=f"w{number}", answer=None) for number in range(8)]
    for one in watchers:
        one.subscribe(600)
    outs = rig.release()
    for one in watchers:
        one.take(outs)
    assert [one.status for one in watchers] == [200] * 5 + [503] * 3


@pytest.mark.parametrize(
    ("limit", "status"), [("most", 503), ("most_of_watcher", 403), ("most_of_resource", 503)]
)
def test_limits(limit: str, status: int) -> None:
    """Each limit refuses one more, and says so."""
    rig = bench(**{limit: 2})
    found = [watcher(rig, name=f"w{number}").subscribe(600) for number in range(3)]
    assert found == [200, 200, status]
    assert any(f"events.{limit}" in str(event) for event in rig.events)


@pytest.mark.parametrize(
    ("limit", "status"), [("most", 503), ("most_of_watcher", 403), ("most_of_resource", 503)]
)
def test_limits_while_the_store_is_slow(limit: str, status: int) -> None:
    """Those whose row is being written count as well: a burst does not pass a limit."""
    rig = bench(**{limit: 2})
    rig.holds = True
    watchers = [watcher(rig, name=f"w{number}") for number in range(4)]
    for one in watchers:
        one.subscribe(600)
    outs = rig.release()
    for one in watchers:
        one.take(outs)
    assert [one.status for one in watchers[:2]] == [200, 200]
    assert len(engine(rig)) == 2
    # Each of them has one place, and gives it back.
    assert watchers[0].subscribe(0) == 200
    assert watcher(rig, name="later").subscribe(600) == 200
    assert watcher(rig, name="last").subscribe(600) == status


@pytest.mark.parametrize("event", ["weather", "weather;x=1"])
@pytest.mark.parametrize(("verdict", "status"), [(Verdict.BLOCK, 403), (Verdict.CONFIRM, 200)])
def test_judged_while_the_store_is_slow(event: str, verdict: Verdict, status: int) -> None:
    """Rules that change while its row is being written hold for it, whichever way it came."""
    rig = bench()
    rig.holds = True
    one = watcher(rig, event=event)
    one.subscribe(600)
    weather(rig).verdicts["sip:alice@biloxi.test"] = verdict
    engine(rig).judge("weather", rig.now, RESOURCE)
    one.take(rig.release())
    assert one.status == status
    if status == 403:
        assert one.notifies == []
        assert len(engine(rig)) == 0
        # Nothing of it comes back with a restart.
        assert len(engine(bench(rig.rows))) == 0
    else:
        assert one.state.startswith("pending")
        assert body(one.last) == ""


def test_size() -> None:
    """A subscription of many kilobytes is not kept: 513."""
    rig = bench()
    one = watcher(rig, headers=[("Record-Route", f"<sip:192.0.2.1;lr;x={'y' * 900}>")] * 10)
    assert one.subscribe(600) == 513
    assert len(engine(rig)) == 0


def test_merged() -> None:
    """RFC 3261 8.2.2.2: the copy that came another way is a 482."""
    rig = bench()
    one = watcher(rig)
    one.subscribe(600)
    copy = request(
        "SUBSCRIBE",
        RESOURCE,
        branch="z9hG4bKother",
        from_tag="w1",
        call_id="w1@192.0.2.1",
        headers=[("Event", "weather"), ("Contact", one.contact)],
    )
    assert what(rig.udp(copy)) == ["482"]
