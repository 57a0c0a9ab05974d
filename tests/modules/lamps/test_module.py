"""Lamps (RFC 4235): the states of calls in order, a dialog for each phone, and what picking up needs."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.module import Use
from sansip.module.xml import read_xml
from sansip.modules.calls import Calls
from sansip.modules.events import Events, EventsSettings
from sansip.modules.lamps import Lamps, LampsSettings
from sansip.routing.trust import TrustedPeer
from sansip.testing import check_module
from tests.modules.events.weather import Stored
from tests.modules.watching import Watcher
from tests.rig import ALICE, BOB, BOB_URI, CAROL, CAROL_URI, DAVE, Out, Rig, only, reply, request

BOB_AOR, ALICE_AOR = "sip:bob@biloxi.test", "sip:alice@biloxi.test"
NS = "{urn:ietf:params:xml:ns:dialog-info}"
CONTACT = ("Contact", "<sip:alice@192.0.2.1>")


def bench(**settings: Any) -> Stored:
    settings.setdefault("interval", 0.0)
    rig = Stored(
        modules=[Use(Calls), Use(Events, EventsSettings()), Use(Lamps, LampsSettings(**settings))],
        trusted=[TrustedPeer("192.0.2.0/24")],
    )
    rig.take(rig.stack.time_passed(rig.now))
    rig.register(BOB_URI)
    return rig


def watch(rig: Rig, aor: str = BOB_AOR, name: str = "w1", **options: Any) -> Watcher:
    """Dave's phone has a key for a user."""
    one = Watcher(rig, aor, "dialog", user="dave", source=DAVE, name=name, **options)
    assert one.subscribe() == 200
    return one


def states(message: Any) -> list[str]:
    return [one.findtext(f"{NS}state") for one in read_xml(message.body)]


def invite(rig: Rig, *watchers: Watcher, **options: Any) -> list[Out]:
    outs = rig.udp(request(headers=[CONTACT], **options))
    for one in watchers:
        one.take(outs)
    return outs


def answer(
    rig: Rig, to: Out, status: int, *watchers: Watcher, source: Any = BOB, **options: Any
) -> list[Out]:
    outs = rig.udp(reply(to, status, **options), source)
    for one in watchers:
        one.take(outs)
    return outs


def bye(rig: Rig, *watchers: Watcher) -> None:
    route = rig.route()
    data = request("BYE", BOB_URI, branch="z9hG4bKbye", to_tag="bob", cseq=2, headers=[("Route", route)])
    arrived = only(rig.udp(data), "BYE")
    answer(rig, arrived, 200, *watchers)


def test_contract() -> None:
    """What every module promises."""
    check_module(Lamps, others=[Use(Calls), Use(Events)])


def test_a_call_of_the_callee() -> None:
    """Trying, early, confirmed, terminated: each once, in order, partial, versions from 0."""
    rig = bench()
    one = watch(rig)
    # RFC 4235 4.1: the first is full.
    root = read_xml(one.last.body)
    assert (root.get("version"), root.get("state"), root.get("entity"), len(root)) == (
        "0",
        "full",
        BOB_AOR,
        0,
    )
    arrived = only(invite(rig, one), "INVITE")
    answer(rig, arrived, 180, one)
    answer(rig, arrived, 200, one, headers=[("Contact", "<sip:bob@192.0.2.2>")])
    bye(rig, one)
    assert [states(notify) for notify in one.notifies] == [
        [],
        ["trying"],
        ["early"],
        ["confirmed"],
        ["terminated"],
    ]
    versions = [
        (read_xml(notify.body).get("version"), read_xml(notify.body).get("state")) for notify in one.notifies
    ]
    assert versions == [("0", "full"), ("1", "partial"), ("2", "partial"), ("3", "partial"), ("4", "partial")]
    ids = {dialog.get("id") for notify in one.notifies for dialog in read_xml(notify.body)}
    assert len(ids) == 1


def test_what_picking_up_needs() -> None:
    """RFC 3891 3, RFC 4235 4.1.1: Call-ID, both tags of the ringing phone, direction, identities, targets."""
    rig = bench()
    one = watch(rig)
    arrived = only(invite(rig, one), "INVITE")
    answer(rig, arrived, 180, one, tag="ringing", headers=[("Contact", "<sip:bob@192.0.2.2:5062>")])
    (dialog,) = read_xml(one.last.body)
    assert {name: dialog.get(name) for name in ("call-id", "local-tag", "remote-tag", "direction")} == {
        "call-id": "call@192.0.2.1",
        "local-tag": "ringing",
        "remote-tag": "alice",
        "direction": "recipient",
    }
    assert dialog.findtext(f"{NS}local/{NS}identity") == BOB_AOR
    assert dialog.find(f"{NS}local/{NS}target").get("uri") == "sip:bob@192.0.2.2:5062"
    assert dialog.findtext(f"{NS}remote/{NS}identity") == ALICE_AOR
    assert dialog.find(f"{NS}remote/{NS}target").get("uri") == "sip:alice@192.0.2.1"


def test_a_call_of_the_caller() -> None:
    """The caller's lamp: trying, early, confirmed with the callee's tag, and why it ended."""
    rig = bench()
    one = watch(rig, ALICE_AOR)
    arrived = only(invite(rig, one), "INVITE")
    answer(rig, arrived, 180, one)
    answer(rig, arrived, 200, one)
    bye(rig, one)
    assert [states(notify) for notify in one.notifies] == [
        [],
        ["trying"],
        ["early"],
        ["confirmed"],
        ["terminated"],
    ]
    (dialog,) = read_xml(one.notifies[3].body)
    assert (dialog.get("direction"), dialog.get("remote-tag")) == ("initiator", "bob")
    (dialog,) = read_xml(one.last.body)
    assert dialog.find(f"{NS}state").get("event") == "local-bye"


def test_a_phone_that_loses() -> None:
    """Each phone has a dialog of its own: the CANCEL of a loser does not end the call of the winner."""
    rig = bench()
    rig.register(CAROL_URI, CAROL)
    one = watch(rig)
    first, second = [out for out in invite(rig, one) if out.what == "INVITE"]
    sources = {BOB[0]: BOB, CAROL[0]: CAROL}
    for out in (first, second):
        answer(rig, out, 180, one, source=sources[out.to[0]], tag=f"t{out.to[0][-1]}")
    cancel = only(
        answer(rig, first, 200, one, source=sources[first.to[0]], tag=f"t{first.to[0][-1]}"), "CANCEL"
    )
    answer(rig, cancel, 200, one, source=sources[second.to[0]])
    answer(rig, second, 487, one, source=sources[second.to[0]], tag=f"t{second.to[0][-1]}")
    ended: dict[str, str] = {}
    for notify in one.notifies:
        for dialog in read_xml(notify.body):
            ended[dialog.get("local-tag")] = dialog.findtext(f"{NS}state")
    winner, loser = f"t{first.to[0][-1]}", f"t{second.to[0][-1]}"
    assert (ended[winner], ended[loser]) == ("confirmed", "terminated")
    two = watch(rig, name="w2")
    # RFC 4235 4.1: a new watcher sees the one that goes on.
    assert states(two.last) == ["confirmed"]


@pytest.mark.parametrize(("status", "event", "code"), [(486, "rejected", "486"), (603, "rejected", "603")])
def test_refused(status: int, event: str, code: str) -> None:
    """RFC 4235 4.1.2: why it ended."""
    rig = bench()
    one = watch(rig)
    arrived = only(invite(rig, one), "INVITE")
    answer(rig, arrived, status, one)
    (dialog,) = read_xml(one.last.body)
    state = dialog.find(f"{NS}state")
    assert (state.text, state.get("event"), state.get("code")) == ("terminated", event, code)


def test_nothing_early_after_the_end() -> None:
    """A provisional response that comes late, or twice, shows nothing; terminated comes last."""
    rig = bench()
    one = watch(rig)
    arrived = only(invite(rig, one), "INVITE")
    answer(rig, arrived, 180, one)
    answer(rig, arrived, 486, one)
    count = len(one.notifies)
    answer(rig, arrived, 180, one)
    answer(rig, arrived, 183, one)
    assert len(one.notifies) == count
    assert states(one.last) == ["terminated"]


def test_a_slow_watcher_misses_nothing() -> None:
    """States wait while a NOTIFY has no answer: confirmed does not vanish."""
    rig = bench()
    one = watch(rig)
    one.answer = None
    arrived = only(invite(rig, one), "INVITE")
    answer(rig, arrived, 180)
    answer(rig, arrived, 200)
    bye(rig)
    one.answer = 200
    one.take(rig.udp(reply(one.last, 200, tag=None), DAVE))
    assert [states(notify) for notify in one.notifies[1:]] == [
        ["trying"],
        ["early"],
        ["confirmed"],
        ["terminated"],
    ]


def test_nothing_old_after_the_whole_state() -> None:
    """A refresh while a NOTIFY has no answer: the whole state comes next, and nothing older after it."""
    rig = bench()
    one = watch(rig)
    one.answer = None
    arrived = only(invite(rig, one), "INVITE")
    answer(rig, arrived, 180)
    answer(rig, arrived, 200)
    bye(rig)
    waits = one.last
    one.subscribe()
    one.answer = 200
    one.take(rig.udp(reply(waits, 200, tag=None), DAVE))
    assert [states(notify) for notify in one.notifies[1:]] == [["trying"], []]


def test_full_documents() -> None:
    """`partial = false`: each NOTIFY has all dialogs, for phones that need that."""
    rig = bench(partial=False)
    one = watch(rig)
    arrived = only(invite(rig, one), "INVITE")
    answer(rig, arrived, 180, one)
    other = invite(rig, one, branch="z9hG4bKa2", call_id="two@192.0.2.1")
    answer(rig, only(other, "INVITE"), 180, one)
    root = read_xml(one.last.body)
    assert (root.get("state"), sorted(states(one.last))) == ("full", ["early", "early"])


@pytest.mark.parametrize(
    ("who", "user", "status"),
    [
        ("users", "dave", 200),
        ("self", "dave", 403),
        ("self", "bob", 200),
        ("everyone", "dave", 200),
    ],
)
def test_who_may_watch(who: Any, user: str, status: int) -> None:
    """The setting says who sees with which parties a user speaks."""
    rig = bench(watchers=who)
    assert Watcher(rig, BOB_AOR, "dialog", user=user, source=DAVE).subscribe() == status


def test_the_operator_sees() -> None:
    """`lamps.list` shows the dialogs that go on."""
    rig = bench()
    answer(rig, only(invite(rig), "INVITE"), 180)
    results: list[Any] = []
    rig.take(
        rig.stack.command(
            "lamps.list", {"user": BOB_AOR}, rig.now, lambda result, now: results.append(result)
        )
    )
    ((row,),) = results
    assert (row["state"], row["remote"], row["direction"]) == ("early", ALICE_AOR, "recipient")


def test_nothing_is_left() -> None:
    """When all calls are over, no lamp is held."""
    rig = bench()
    for number in range(3):
        arrived = only(invite(rig, branch=f"z9hG4bKx{number}", call_id=f"x{number}", source=ALICE), "INVITE")
        answer(rig, arrived, 486)
    rig.wait(40)
    assert rig.stack.modules.get(Lamps).figures() == {"now": 0}
