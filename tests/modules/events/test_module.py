"""The engine of event packages against RFC 6665, with a package of one word, on a virtual clock."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.actions import Ask
from sansip.auth import AuthConfig
from sansip.errors import LocalProtocolError
from sansip.module import Module, Use
from sansip.modules.events import (
    Content,
    Events,
    EventsSettings,
    Package,
    Subscription,
    Verdict,
    WatcherChanged,
)
from sansip.rows import MemoryRows, Read, Scan, Write
from sansip.testing import check_module
from tests.modules.watching import Watcher
from tests.rig import BOB_URI, Out, Rig, only, reply, request, what

RESOURCE = "sip:bob@biloxi.test"


class Weather(Package):
    """One word for each resource."""

    event = "weather"
    types = ("text/weather", "text/plain")
    filters = ("text/wanted",)
    interval, burst = 5.0, 1

    def __init__(self) -> None:
        self.words: dict[str, str] = {}
        self.verdicts: dict[str, Verdict] = {}

    def serves(self, resource: str) -> bool:
        return resource != "sip:nobody@biloxi.test"

    def judge(self, subscription: Subscription, now: float) -> Verdict:
        return self.verdicts.get(subscription.watcher, Verdict.ALLOW)

    def check_filter(self, type: str, body: bytes) -> Any:
        if body == b"bad":
            raise ValueError("bad")
        return body

    def content(self, subscription: Subscription, now: float) -> Content:
        word = self.words.get(subscription.resource, "sun")
        return Content(subscription.accept[0], f"{subscription.next_version()} {word}".encode())


class Steps(Weather):
    """A package in which each transition counts."""

    event = "steps"
    each = True
    interval = 0.0

    def content(self, subscription: Subscription, now: float) -> Content:
        if subscription.full:
            return Content("text/weather", b"all")
        return Content(
            "text/weather", ",".join(f"{key}={value}" for key, value in subscription.take_changes()).encode()
        )


class Reports(Module):
    """The module of both packages."""

    name = "reports"
    requires = (Events,)
    events = (WatcherChanged,)

    def start(self, core: Any, now: float) -> None:
        self.heard: list[str] = []
        self.weather, self.steps = Weather(), Steps()
        engine = core.module(Events)
        engine.add(self.weather, now)
        engine.add(self.steps, now)

    def event_received(self, event: Any, now: float) -> None:
        self.heard.append(event.event)


class Stored(Rig):
    """A rig whose rows are in memory, and survive it."""

    def __init__(self, rows: MemoryRows | None = None, **options: Any) -> None:
        self.rows = MemoryRows() if rows is None else rows
        self.broken = False
        self.questions = 0
        # While True, questions to the store wait (``release``).
        self.holds = False
        self.held: list[Ask] = []
        super().__init__(**options)

    def take(self, actions: list[Any]) -> list[Out]:
        outs: list[Out] = []
        for action in actions:
            if isinstance(action, Ask) and isinstance(action.question, Read | Scan | Write):
                self.questions += 1
                if self.holds:
                    self.held.append(action)
                    continue
                answer = OSError("broken") if self.broken else self.rows.answer(action.question)
                outs += self.take(self.stack.answer(action.id, answer, self.now))
            else:
                outs += super().take([action])
        return outs

    def release(self) -> list[Out]:
        """Answer the questions that wait."""
        self.holds, held = False, self.held
        self.held = []
        return self.take(held)


def bench(rows: MemoryRows | None = None, now: float = 100.0, **settings: Any) -> Stored:
    settings.setdefault("open", True)
    rig = Stored(
        rows,
        modules=[Use(Events, EventsSettings(**settings)), Use(Reports)],
        now=now,
        wall_offset=1_000_000.0,
        secret=b"the same secret for every life",
    )
    rig.take(rig.stack.time_passed(rig.now))
    return rig


def weather(rig: Rig) -> Weather:
    return rig.stack.modules.get(Reports).weather


def engine(rig: Rig) -> Events:
    return rig.stack.modules.get(Events)


def change(rig: Rig, word: str, *watchers: Watcher) -> None:
    weather(rig).words[RESOURCE] = word
    engine(rig).changed("weather", RESOURCE, rig.now)
    outs = rig.take(rig.stack.time_passed(rig.now))
    for one in watchers:
        one.take(outs)


def watcher(rig: Rig, **options: Any) -> Watcher:
    return Watcher(rig, RESOURCE, options.pop("event", "weather"), **options)


def body(message: Any) -> str:
    return message.body.decode()


def test_contract() -> None:
    """The contract of every module."""
    check_module(Events)


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


def test_refresh_and_end() -> None:
    """RFC 6665 4.2.1.4: a refresh has a new time and a NOTIFY; Expires 0 ends it with a last NOTIFY."""
    rig = bench()
    one = watcher(rig)
    one.subscribe(600)
    one.wait(500)
    assert one.subscribe(600) == 200
    assert (one.state, body(one.last)) == ("active;expires=600", "1 sun")
    assert one.subscribe(0) == 200
    assert one.state == "terminated;reason=timeout"
    assert len(engine(rig)) == 0
    assert rig.rows.count(engine(rig).tables[0]) == 0
    # RFC 6665 4.1.2.2
    assert one.subscribe(600) == 481
    rig.run_out()
    assert rig.empty


def test_it_expires() -> None:
    """RFC 6665 4.2.1.4: without a refresh it ends with a NOTIFY, reason timeout."""
    rig = bench()
    one = watcher(rig)
    one.subscribe(60)
    (notify,) = one.wait(60)
    assert (notify.get("subscription-state"), len(engine(rig))) == ("terminated;reason=timeout", 0)
    assert rig.stack.modules.get(Reports).heard == ["subscribe", "timeout"]


def test_a_refresh_out_of_order() -> None:
    """RFC 3261 12.2.2: a lower CSeq is refused and changes nothing."""
    rig = bench()
    one = watcher(rig)
    one.subscribe(600, cseq=10)
    assert one.subscribe(60, cseq=9) == 500
    (sub,) = engine(rig).of("weather", RESOURCE)
    assert sub.usage.expires_at == rig.now + 600


@pytest.mark.parametrize("tag", ["e-" + "0" * 32, "e-short", "other"])
def test_forged_tags(tag: str) -> None:
    """RFC 3261 12.2.2: a dialog that never was is a 481, and the store is not asked for it."""
    rig = bench()
    before = rig.questions
    one = watcher(rig)
    assert one.subscribe(600, to_tag=tag, uri="sip:192.0.2.10:5060") == 481
    assert rig.questions == before


def test_other_methods_in_the_dialog() -> None:
    """RFC 3261 8.2.1: only SUBSCRIBE makes sense in it."""
    rig = bench()
    one = watcher(rig)
    one.subscribe(600)
    assert one.subscribe(600, method="INFO") == 405
    assert one.response is not None
    assert one.response.get("allow") == "SUBSCRIBE"


def test_another_event_in_the_dialog() -> None:
    """RFC 6665 4.5.2: one subscription for a dialog; another event finds none."""
    rig = bench()
    one = watcher(rig)
    one.subscribe(600)
    assert one.subscribe(600, [("Event", "weather;id=2")]) == 481


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


# --- strangers, and floods


def test_strangers() -> None:
    """A sender that has proved nothing gets 403, no NOTIFY, and is not remembered."""
    rig = bench(open=False)
    one = watcher(rig)
    assert one.subscribe(600) == 403
    assert one.notifies == []
    rig.run_out()
    assert rig.empty


def test_a_forged_contact() -> None:
    """A stranger's NOTIFYs go where its SUBSCRIBE came from, whatever its Contact and Record-Route say."""
    rig = bench()
    one = watcher(
        rig, contact="<sip:victim@198.51.100.7>", headers=[("Record-Route", "<sip:198.51.100.8;lr>")]
    )
    one.subscribe(600)
    notify = only(rig.log, "NOTIFY")
    assert notify.to == one.source


def test_passwords() -> None:
    """RFC 6665 4.2.1.3: a user of ours is asked by a 401, never a 407."""
    rig = Stored(modules=[Use(Events), Use(Reports)], auth=AuthConfig(), users=lambda lookup: None)
    rig.take(rig.stack.time_passed(rig.now))
    one = watcher(rig)
    assert one.subscribe(600) == 401
    assert one.response is not None
    assert one.response.has("www-authenticate")


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


def test_a_refresh_while_the_row_is_deleted() -> None:
    """RFC 6665 4.1.2.2: a subscription that has ended is not taken over by the row that is still there."""
    rig = bench()
    one = watcher(rig, answer=None)
    assert one.subscribe(600) == 200
    rig.holds = True
    rig.udp(reply(one.last, 481, tag=None), one.source)
    assert len(engine(rig)) == 0
    one.subscribe(600)
    # The store is quicker to read than to delete.
    rig.held.reverse()
    one.take(rig.release())
    assert one.status == 481


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


def test_many_watchers_in_groups() -> None:
    """A change with many watchers is told in groups: what else arrives is served between them."""
    rig = bench(unanswered=10_000)
    watchers = [watcher(rig, name=f"w{number}", user=f"u{number}") for number in range(100)]
    for one in watchers:
        one.subscribe(600)
    rig.now += 10
    weather(rig).words[RESOURCE] = "rain"
    engine(rig).changed("weather", RESOURCE, rig.now)
    first = rig.take(rig.stack.time_passed(rig.now))
    assert len([out for out in first if out.what == "NOTIFY"]) <= 64
    assert rig.stack.next_deadline() == rig.now
    for out in (first, rig.wait(0.1)):
        for one in watchers:
            one.take(out)
    assert {body(one.last) for one in watchers} == {"1 rain"}


# --- rows


def test_a_restart() -> None:
    """An acknowledged subscription lives on in the next process: CSeq and version rise, the state is told."""
    rig = bench()
    one = watcher(rig)
    one.subscribe(600)
    rig = bench(rig.rows, now=150.0)
    weather(rig).words[RESOURCE] = "rain"
    before = one.last.cseq.number
    one.rig = rig
    (notify,) = one.wait(5)
    assert notify.cseq.number > before
    assert (notify.from_tag, body(notify).split()[1]) == (one.tag, "rain")
    # The 50 s of the process before count.
    assert 540 <= int(one.state.partition("expires=")[2]) <= 550
    assert one.subscribe(600) == 200
    assert one.subscribe(0) == 200
    assert rig.rows.count(engine(rig).tables[0]) == 0


def test_a_refresh_elsewhere() -> None:
    """Another node with the same rows takes the refresh of a subscription that it has never seen."""
    rig = bench()
    other = bench(rig.rows)
    one = watcher(rig)
    one.subscribe(600)
    one.rig = other
    assert one.subscribe(600) == 200
    assert one.state.startswith("active")


def test_nothing_is_acknowledged_that_is_not_stored() -> None:
    """RFC 3261 21.5.4: while the store is down there is a 503, and no subscription."""
    rig = bench()
    rig.broken = True
    one = watcher(rig)
    assert one.subscribe(600) == 503
    assert len(engine(rig)) == 0
    assert one.notifies == []
    rig.broken = False
    assert one.subscribe(600) == 200


def test_a_store_that_is_down_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was acknowledged is served as soon as the rows can be read."""
    rig = bench()
    one = watcher(rig)
    one.subscribe(600)
    monkeypatch.setattr(MemoryRows, "answer", lambda self, question: OSError("down"))
    rig = one.rig = bench(rig.rows, now=150.0)
    monkeypatch.undo()
    assert len(engine(rig)) == 0
    one.wait(10)
    assert len(engine(rig)) == 1


def test_commands() -> None:
    """An operator sees subscriptions, and ends one."""
    rig = bench()
    one = watcher(rig)
    one.subscribe(600)
    results: list[Any] = []

    def do(name: str, **given: Any) -> Any:
        one.take(
            rig.take(rig.stack.command(name, given, rig.now, lambda result, now: results.append(result)))
        )
        return results[-1]

    (row,) = do("events.list", resource=RESOURCE)
    assert (row["event"], row["watcher"], row["state"]) == ("weather", "sip:alice@biloxi.test", "active")
    assert do("events.count") == {"weather": 1, "steps": 0}
    assert do("events.end", id=row["id"]) is True
    # RFC 6665 4.1.3
    assert one.state == "terminated;reason=deactivated"
    assert "no subscription" in str(do("events.end", id="x"))


def test_the_pace_never_stands_still() -> None:
    """A time that is rounded down does not make the engine wait for it again and again."""
    rig = bench()
    one = watcher(rig)
    one.subscribe(3600)
    for number in range(200):
        rig.now += 0.1 + number / 997
        change(rig, str(number), one)
        # Each deadline makes progress: without that this would not end.
        one.wait(5.3)
        assert body(one.last).endswith(f" {number}")


def test_a_module_comes_back() -> None:
    """A reload that takes a package's module away and brings it back goes on with the same subscriptions."""
    rig = bench()
    one = watcher(rig)
    one.subscribe(3600)
    again = Weather()
    again.words[RESOURCE] = "fog"
    engine(rig).add(again, rig.now)
    engine(rig).changed("weather", RESOURCE, rig.now)
    one.wait(6)
    assert body(one.last).endswith(" fog")
    with pytest.raises(LocalProtocolError, match="two modules"):
        engine(rig).add(Other(), rig.now)


class Other(Weather):
    """Another package of the same name."""
