"""Subscriptions, both ends, against RFC 6665 (and REFER, RFC 3515)."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.dialog import (
    Dialog,
    End,
    Notified,
    Notifier,
    Refusal,
    Respond,
    Send,
    Subscribed,
    Subscriber,
    Subscribing,
    SubscriptionEnded,
    Tell,
    duration,
    event_key,
    refer_event,
)
from sansip.dialog.subscription_table import NOTIFIER, SUBSCRIBER
from sansip.transaction import TimerValues
from sansip.transaction.table import IGNORE, IMPOSSIBLE
from sansip.wire import Request, parse_uri
from tests.dialog.messages import answer, invite

PRESENCE = [("Event", "presence"), ("Expires", "3600")]
PIDF = [("Content-Type", "application/pidf+xml")]


class Both:
    """Alice subscribes to Bob. What either usage wants sent is in ``wire``, the newest last."""

    def __init__(self, headers: Any = PRESENCE, *, expires: int = 3600, pending: bool = False) -> None:
        self.wire: list[Any] = []
        self.events: dict[str, list[Any]] = {"alice": [], "bob": []}
        self.gone: set[str] = set()
        self.subscribe = invite(headers=headers, method="SUBSCRIBE")
        self.subscribing = Subscribing(self.subscribe, 0.0, TimerValues())
        dialog = Dialog.from_uas(self.subscribe, "bobtag", parse_uri("sip:bob@192.0.2.4"))
        self.bob, effects = Notifier.accepted(
            self.subscribe,
            "owner",
            dialog,
            event="presence",
            expires=expires,
            now=0.0,
            body=b"<open/>",
            fields=PIDF,
            pending=pending,
        )
        self.do("bob", effects)
        self.alice: Any = None

    def do(self, name: str, effects: list[Any]) -> None:
        for effect in effects:
            match effect:
                case Send():
                    self.wire.append(effect.request)
                case Respond():
                    self.wire.append(effect.response)
                case Tell():
                    self.events[name].append(effect.event)
                case End():
                    self.gone.add(name)

    @property
    def last(self) -> Any:
        return self.wire[-1]

    def notified(self, now: float = 0.0) -> Request:
        """Deliver Bob's last NOTIFY to Alice, and her answer to Bob."""
        notify = self.last
        assert notify.method == "NOTIFY"
        if self.alice is None:
            assert self.subscribing.matches(notify, now)
            self.alice = self.subscribing.begin(notify, now)
        self.do("alice", self.alice.received(notify, "n", now))
        assert self.last.status == 200
        self.do("bob", self.bob.response_received(notify, self.last, now))
        return notify

    def subscribed(self, now: float) -> None:
        """Deliver Alice's last SUBSCRIBE to Bob, and Bob's answer to Alice."""
        request = self.last
        assert request.method == "SUBSCRIBE"
        at = len(self.wire)
        self.do("bob", self.bob.received(request, "s", now))
        self.do("alice", self.alice.response_received(request, self.wire[at], now))


@pytest.mark.parametrize("table", [SUBSCRIBER, NOTIFIER])
def test_the_tables_are_total(table: Any) -> None:
    """Each state has the same inputs, and each effect is a method."""
    assert len({frozenset(rows) for rows in table.values()}) == 1
    usage = Notifier if table is NOTIFIER else Subscriber
    for rows in table.values():
        for effect, _ in rows.values():
            assert effect in (IGNORE, IMPOSSIBLE) or callable(getattr(usage, effect))


def test_the_2xx_and_a_notify_at_once() -> None:
    """RFC 6665 4.2.1.2: whatever is known, in the dialog of the answer."""
    both = Both()
    accepted, notify = both.wire
    assert (accepted.status, accepted.get("expires"), accepted.get("contact")) == (
        200,
        "3600",
        "<sip:bob@192.0.2.4>",
    )
    assert notify.get("subscription-state") == "active;expires=3600"
    assert notify.get("event") == "presence"
    assert notify.body == b"<open/>"
    assert notify.cseq == (1, "NOTIFY")


def test_the_notify_begins_the_subscription() -> None:
    """RFC 6665 4.4.1: the NOTIFY may arrive before the 2xx, and its route set counts."""
    both = Both()
    both.last.append("Record-Route", "<sip:p2;lr>, <sip:p1;lr>")
    both.notified()
    assert both.alice.state == "active"
    assert [type(event) for event in both.events["alice"]] == [Notified]
    both.do("alice", both.alice.refresh(10.0))
    # In order, for the subscriber is the UAS of the NOTIFY.
    assert both.last.get_all("route") == ["<sip:p2;lr>", "<sip:p1;lr>"]
    assert both.last.cseq.number == 314160
    assert both.last.get("to") == "Bob <sip:bob@biloxi.com>;tag=bobtag"


def test_a_fork_makes_several() -> None:
    """RFC 6665 4.1.4, 4.4.1: each with a dialog of its own, until Timer N."""
    both = Both()
    both.notified()
    other = Dialog.from_uas(both.subscribe, "other", parse_uri("sip:bob@192.0.2.5"))
    notify = other.make("NOTIFY", [("Event", "presence"), ("Subscription-State", "pending;expires=60")])
    assert both.subscribing.matches(notify, 31.0)
    assert both.subscribing.begin(notify, 31.0).dialog.id != both.alice.dialog.id
    # RFC 6665 4.1.2.4: 481 from then on.
    assert not both.subscribing.matches(notify, 32.0)
    notify.set("Event", "presence;id=2")
    assert not both.subscribing.matches(notify, 31.0)


def test_refresh_before_the_end_and_unsubscribe() -> None:
    """RFC 6665 4.1.2.2, 4.1.2.3: and the last NOTIFY says "terminated"."""
    both = Both()
    both.notified()
    assert both.alice.next_due() == 3300.0
    both.do("alice", both.alice.time_passed(3300.0))
    both.subscribed(3300.0)
    assert isinstance(both.events["bob"][-1], Subscribed)
    both.notified(3300.0)
    assert both.alice.next_due() == 6600.0
    both.do("alice", both.alice.unsubscribe(4000.0))
    assert both.last.get("expires") == "0"
    both.subscribed(4000.0)
    assert both.last.get("subscription-state") == "terminated;reason=timeout"
    both.notified(4000.0)
    assert both.gone == {"alice", "bob"}
    assert both.events["alice"][-1].reason == "timeout"


def test_a_refresh_without_a_notify() -> None:
    """RFC 6665 4.1.2.2: Timer N; the notifier is gone."""
    both = Both()
    both.notified()
    both.do("alice", both.alice.time_passed(3300.0))
    assert both.alice.next_due() == 3332.0
    both.do("alice", both.alice.time_passed(3332.0))
    assert both.events["alice"][-1] == SubscriptionEnded("no NOTIFY", 0)


@pytest.mark.parametrize("status", [404, 405, 410, 416, 480, 481, 482, 483, 484, 485, 489, 501, 604])
def test_what_ends_it_at_either_end(status: int) -> None:
    """RFC 6665 4.1.2.2, 4.2.2."""
    both = Both()
    both.notified()
    both.do("alice", both.alice.refresh(1.0))
    both.do("alice", both.alice.response_received(both.last, answer(both.last, status), 1.0))
    assert both.events["alice"][-1].reason == "refused"
    both.do("bob", both.bob.change(b"<closed/>", PIDF, 2.0))
    both.do("bob", both.bob.response_received(both.last, answer(both.last, status), 2.0))
    assert both.events["bob"][-1].reason == "lost"
    assert both.gone == {"alice", "bob"}


@pytest.mark.parametrize("status", [408, 500, 503])
def test_what_does_not_end_it(status: int) -> None:
    """RFC 6665 4.1.2.2: it lasts as long as was known. RFC 6665 4.2.2: silence ends it at the notifier."""
    both = Both()
    both.notified()
    both.do("alice", both.alice.refresh(1.0))
    both.do("alice", both.alice.response_received(both.last, answer(both.last, status), 1.0))
    assert both.alice.state == "active"
    assert both.alice.expires_at == 3600.0
    both.do("bob", both.bob.change(b"<closed/>", PIDF, 2.0))
    both.do("bob", both.bob.response_received(both.last, answer(both.last, status), 2.0))
    assert ("bob" in both.gone) is (status == 408)


def test_one_notify_at_a_time_and_the_newest_state() -> None:
    """Two under way may overtake each other, and the older would be refused (RFC 3261 12.2.2)."""
    both = Both()
    first = both.last
    for body in (b"1", b"2", b"3"):
        both.do("bob", both.bob.change(body, PIDF, 1.0))
    assert both.last is first
    both.notified(1.0)
    assert both.last.body == b"3"
    both.notified(1.0)
    assert [one.method for one in both.wire if isinstance(one, Request)] == ["NOTIFY", "NOTIFY"]


def test_pending_and_granted() -> None:
    """RFC 6665 4.2.1.3: 200 and NOTIFY in any case; "active" when somebody allows it."""
    both = Both(pending=True)
    assert both.last.get("subscription-state") == "pending;expires=3600"
    both.notified()
    assert both.alice.state == "pending"
    both.do("bob", both.bob.grant(10.0, b"<open/>", PIDF))
    assert both.last.get("subscription-state") == "active;expires=3590"
    both.notified(10.0)
    assert both.alice.state == "active"


@pytest.mark.parametrize(
    ("reason", "retry_after", "again"),
    [
        # RFC 6665 4.1.3
        ("deactivated", 30, 0),
        ("probation", 30, 30),
        ("rejected", 30, None),
        ("timeout", 30, 0),
        ("giveup", 30, 30),
        ("noresource", 30, None),
        ("invariant", 31536000, None),
        ("unheard-of", 7, 7),
    ],
)
def test_when_to_try_again(reason: str, retry_after: int, again: int | None) -> None:
    """A client that asks again after "rejected" asks for ever."""
    both = Both()
    both.notified()
    both.do("bob", both.bob.end(reason, 5.0, retry_after))
    both.notified(5.0)
    ended = both.events["alice"][-1]
    assert (ended.reason, ended.retry_after) == (reason, again)
    assert both.gone == {"alice", "bob"}


def test_expiry_at_the_notifier() -> None:
    """RFC 6665 4.2.1.4: NOTIFY with terminated;reason=timeout; a later SUBSCRIBE gets 481."""
    both = Both()
    both.notified()
    both.do("bob", both.bob.time_passed(3600.0))
    assert both.last.get("subscription-state") == "terminated;reason=timeout"
    both.do("alice", both.alice.refresh(3600.0))
    both.do("bob", both.bob.received(both.last, "s", 3600.0))
    assert both.last.status == 481


def test_a_poll() -> None:
    """RFC 6665 4.4.3: Expires: 0, one NOTIFY with the state, and nothing remains."""
    both = Both([("Event", "presence"), ("Expires", "0")], expires=0)
    assert both.last.get("subscription-state") == "terminated;reason=timeout"
    assert both.last.body == b"<open/>"
    both.notified()
    assert both.gone == {"alice", "bob"}


def test_a_notify_that_does_not_say_how_things_stand() -> None:
    """RFC 6665 4.1.3: Subscription-State is a MUST."""
    both = Both()
    both.notified()
    for value in (None, ";;"):
        notify = both.bob.dialog.make(
            "NOTIFY", [("Event", "presence"), *([("Subscription-State", value)] if value else [])]
        )
        both.do("alice", both.alice.received(notify, "n", 1.0))
        assert both.last.status == 400
    assert both.alice.state == "active"


@pytest.mark.parametrize(
    ("expires", "granted"),
    [("0", 0), ("30", 423), ("60", 60), ("7200", 7200), ("999999", 86_400), (None, 3600)],
)
def test_duration(expires: str | None, granted: int) -> None:
    """RFC 6665 4.2.1.1: shortened, never lengthened; 423 for one too brief, never for 0 nor an hour."""
    request = invite(method="SUBSCRIBE", headers=[("Expires", expires)] if expires else [])
    wanted = duration(request, default=3600, least=60, most=86_400)
    assert (wanted.status if isinstance(wanted, Refusal) else wanted) == granted
    if isinstance(wanted, Refusal):
        assert wanted.headers == (("Min-Expires", "60"),)


def test_an_hour_is_never_too_brief() -> None:
    """RFC 6665 4.2.1.1."""
    request = invite(method="SUBSCRIBE", headers=[("Expires", "3600")])
    assert duration(request, default=3600, least=7200, most=86_400) == 3600


def test_events_are_compared_octet_by_octet() -> None:
    """RFC 6665 8.2.1: type and id, and nothing else."""

    def key(text: str) -> Any:
        return event_key(invite(method="SUBSCRIBE", headers=[("Event", text)]))

    assert key("foo; id=1234") == key("foo; param=abcd; id=1234")
    assert key("foo; id=1234") != key("foo")
    assert key("Foo; id=1234") != key("foo; id=1234")


def test_refer() -> None:
    """RFC 3515 2.4.4, 2.4.6: 202, NOTIFY with a sipfrag; a second REFER has its number as id."""
    refer = invite(method="REFER", headers=[("Refer-To", "<sip:carol@chicago.com>")])
    dialog = Dialog.from_uas(refer, "t", parse_uri("sip:bob@192.0.2.4"))
    fields = [("Content-Type", "message/sipfrag;version=2.0")]
    usage, effects = Notifier.accepted(
        refer,
        "o",
        dialog,
        event=refer_event(refer, first=True),
        expires=180,
        now=0.0,
        body=b"SIP/2.0 100 Trying",
        fields=fields,
    )
    accepted, notify = effects
    assert accepted.response.status == 202
    assert notify.request.get("event") == "refer"
    assert refer_event(refer, first=False) == "refer;id=314159"
    usage.response_received(notify.request, answer(notify.request), 0.1)
    usage.change(b"SIP/2.0 200 OK", fields, 1.0)
    (last, _told) = usage.end("noresource", 1.0)
    assert last.request.body == b"SIP/2.0 200 OK"
    assert last.request.get("subscription-state") == "terminated;reason=noresource"
