"""The record of calls: its states, its end whatever is lost, limits, hanging up. On a virtual clock."""

from __future__ import annotations

import random
from typing import Any

import pytest

from sansip.errors import LocalProtocolError
from sansip.module import Module, Use
from sansip.modules.calls import CallAnswered, CallFinished, CallRang, Calls, CallsSettings, CallTried
from sansip.routing import IncomingRequest, sleep
from sansip.routing.default import route as default_route
from sansip.testing import check_module
from tests.rig import ALICE, BOB, BOB_URI, CAROL, CAROL_URI, Out, Rig, only, reply, request, what

CONTACT = ("Contact", "<sip:alice@192.0.2.1>")


def bench(route: Any = None, **settings: Any) -> tuple[Rig, Calls]:
    rig = Rig(route, modules=[Use(Calls, CallsSettings(**settings)), Use(Listening)])
    rig.register(BOB_URI)
    return rig, rig.stack.modules.get(Calls)


def invite(rig: Rig, *, headers: Any = (), **options: Any) -> Out:
    """Send an INVITE of Alice's; return what reaches Bob."""
    return only(rig.udp(request(headers=[CONTACT, *headers], **options)), "INVITE")


def within(rig: Rig, method: str, by: str = "caller", **options: Any) -> bytes:
    """Return a request within the dialog, of either side."""
    cseq = options.pop("cseq", 2)
    headers = options.pop("headers", [])
    if by == "caller":
        return request(
            method,
            BOB_URI,
            branch=f"z9hG4bK{method}{cseq}",
            to_tag=options.pop("to_tag", "bob"),
            cseq=cseq,
            headers=[("Route", rig.route()), *headers],
            **options,
        )
    return request(
        method,
        "sip:alice@192.0.2.1",
        source=BOB,
        branch=f"z9hG4bKb{method}{cseq}",
        sender="<sip:bob@biloxi.test>",
        from_tag="bob",
        to="<sip:alice@biloxi.test>",
        to_tag="alice",
        cseq=cseq,
        headers=[("Route", rig.callees_route()), *headers],
        **options,
    )


def talking(rig: Rig, **options: Any) -> None:
    """Set a call up."""
    arrived = invite(rig, **options)
    rig.udp(reply(arrived, 200, headers=options.pop("answer", ())), BOB)
    rig.udp(within(rig, "ACK", cseq=1))


class Listening(Module):
    """Another module, which hears of calls."""

    name = "listening"
    events = (CallTried, CallRang, CallAnswered, CallFinished)

    def start(self, core: Any, now: float) -> None:
        self.heard: list[type] = []

    def event_received(self, event: Any, now: float) -> None:
        self.heard.append(type(event))


def events(rig: Rig) -> list[type]:
    return rig.stack.modules.get(Listening).heard


def test_contract() -> None:
    """The contract of every module."""
    check_module(Calls)


def test_states() -> None:
    """Tried, ringing, answered, hung up: each once, in order, with its time."""
    rig, calls = bench()
    arrived = invite(rig)
    (call,) = calls
    assert (call.state, call.caller, call.callee) == (
        "calling",
        "sip:alice@biloxi.test",
        "sip:bob@biloxi.test",
    )
    rig.now += 1
    rig.udp(reply(arrived, 180), BOB)
    assert call.rang == 101.0
    rig.now += 2
    rig.udp(reply(arrived, 200), BOB)
    assert (call.state, call.answered) == ("answered", 103.0)
    rig.udp(within(rig, "ACK", cseq=1))
    rig.now += 7
    bye = only(rig.udp(within(rig, "BYE")), "BYE")
    assert len(calls) == 1, "a BYE that nobody has answered may be repeated"
    rig.udp(reply(bye, 200), BOB)
    assert (call.ended_by, call.why, call.duration) == ("caller", "hung up", 7.0)
    assert events(rig) == [CallTried, CallRang, CallAnswered, CallFinished]
    (said,) = [str(event) for event in rig.events if isinstance(event, CallFinished)]
    assert said == (
        f"call {call.id} from sip:alice@biloxi.test to sip:bob@biloxi.test: 7.000 s, hung up by the caller"
    )
    assert len(calls) == 0


def test_callee_hangs_up() -> None:
    """The BYE of the other side ends it as well, and the record says whose it was."""
    rig, calls = bench()
    talking(rig)
    (call,) = calls
    bye = only(rig.udp(within(rig, "BYE", "callee", cseq=1), BOB), "BYE")
    rig.udp(reply(bye, 200))
    assert (call.over, call.ended_by) == (True, "callee")


@pytest.mark.parametrize("status", [486, 603])
def test_refused(status: int) -> None:
    """A failure ends the call when the caller has it."""
    rig, calls = bench()
    arrived = invite(rig)
    (call,) = calls
    rig.udp(reply(arrived, status), BOB)
    assert (call.state, call.status, call.ended_by) == ("ended", status, "callee")
    assert events(rig) == [CallTried, CallFinished]


def test_cancelled() -> None:
    """RFC 3261 9: the caller's CANCEL ends it with the 487."""
    rig, calls = bench()
    arrived = invite(rig)
    rig.udp(reply(arrived, 180), BOB)
    (call,) = calls
    rig.udp(request("CANCEL"))
    rig.udp(reply(arrived, 487), BOB)
    assert (call.state, call.status, call.ended_by) == ("ended", 487, "caller")


def test_a_bye_that_is_challenged() -> None:
    """RFC 3261 22: its sender sends it again with credentials, so the call goes on."""
    rig, calls = bench()
    talking(rig)
    bye = only(rig.udp(within(rig, "BYE")), "BYE")
    rig.udp(reply(bye, 407, headers=[("Proxy-Authenticate", 'Digest realm="x", nonce="1"')]), BOB)
    assert len(calls) == 1


def test_a_forged_bye() -> None:
    """Tags and Call-ID alone, without the mark in Route, end no record."""
    rig, calls = bench()
    talking(rig)
    rig.udp(
        request("BYE", BOB_URI, source=("203.0.113.9", 5060), to_tag="bob", cseq=9), ("203.0.113.9", 5060)
    )
    assert len(calls) == 1


def test_one_dialog_twice() -> None:
    """A phone that answers with the tags of another call has a dialog of the same name: its BYE ends its own.

    The record of a dear call, its price and its limits would end while it goes on.
    """
    rig, calls = bench()
    rig.register(CAROL_URI, CAROL, "sip:carol@biloxi.test")
    talking(rig)
    (dear,) = calls
    mine = {"to_tag": "bob", "headers": [("Route", rig.route())]}
    to = "sip:carol@biloxi.test"
    copy = rig.udp(request(uri=to, to=f"<{to}>", branch="z9hG4bKcopy", cseq=2, headers=[CONTACT]))
    rig.udp(reply(only(copy, "INVITE"), 200, tag="bob"), CAROL)
    ends = {"to": f"<{to}>", "to_tag": "bob", "headers": [("Route", rig.route())]}
    rig.udp(request("ACK", CAROL_URI, branch="z9hG4bKa2", cseq=2, **ends))
    bye = only(rig.udp(request("BYE", CAROL_URI, branch="z9hG4bKb2", cseq=3, **ends)), "BYE")
    assert bye.to == CAROL
    rig.udp(reply(bye, 200), CAROL)
    assert list(calls) == [dear]
    rig.udp(
        reply(only(rig.udp(request("BYE", BOB_URI, branch="z9hG4bKb3", cseq=4, **mine)), "BYE"), 200), BOB
    )
    assert list(calls) == []
    assert not calls._talks._copies
    assert len(calls._talks) == 0


@pytest.mark.parametrize(("method", "status"), [("BYE", 200), ("INVITE", 481)])
def test_one_dialog_the_other_way_round(method: str, status: int) -> None:
    """Who calls with the callee's tag of another call, and has the caller's in the answer, holds up no BYE.

    The record of the other call would go on, and its price, when its callee has hung up.
    """
    rig, calls = bench()
    rig.register(CAROL_URI, CAROL, "sip:carol@biloxi.test")
    talking(rig)
    (dear,) = calls
    bye = within(rig, method, "callee", headers=[("Contact", f"<{BOB_URI}>")])
    to = "sip:carol@biloxi.test"
    copy = rig.udp(request(uri=to, to=f"<{to}>", branch="z9hG4bKcopy", from_tag="bob", headers=[CONTACT]))
    rig.udp(reply(only(copy, "INVITE"), 200, tag="alice"), CAROL)
    assert len(calls) == 2
    rig.udp(reply(only(rig.udp(bye, BOB), method), status), ALICE)
    assert dear not in list(calls)
    assert len(calls) == 1


def test_lost_bye() -> None:
    """A BYE without an answer ends the record after Timer F."""
    rig, calls = bench()
    talking(rig)
    rig.udp(within(rig, "BYE"))
    rig.wait(33)
    assert len(calls) == 0


def test_a_reinvite_with_481() -> None:
    """RFC 3261 12.2.1.2: the other side does not know the dialog any more."""
    rig, calls = bench()
    talking(rig)
    again = only(rig.udp(within(rig, "INVITE", headers=[CONTACT])), "INVITE")
    rig.udp(reply(again, 481), BOB)
    assert len(calls) == 0


def test_two_phones_answer() -> None:
    """RFC 3261 13.2.2.4: each 2xx is a dialog; the call ends with the last."""
    rig, calls = bench()
    arrived = invite(rig)
    rig.udp(reply(arrived, 200), BOB)
    route = rig.route()
    rig.udp(reply(arrived, 200, tag="robert"), BOB)
    (call,) = calls
    assert set(call.talks) == {"bob", "robert"}
    first = only(rig.udp(within(rig, "BYE", to_tag="robert")), "BYE")
    rig.udp(reply(first, 200), BOB)
    assert len(calls) == 1
    bye = request("BYE", BOB_URI, branch="z9hG4bKsecond", to_tag="bob", cseq=3, headers=[("Route", route)])
    second = only(rig.udp(bye), "BYE")
    rig.udp(reply(second, 200), BOB)
    assert len(calls) == 0


def test_not_on_the_path() -> None:
    """Without Record-Route the dialog goes on from phone to phone, and nothing of it is seen."""

    async def route(asked: IncomingRequest) -> None:
        if asked.method == "REGISTER":
            await asked.register()
        else:
            asked.relay(await asked.locate())

    rig, calls = bench(route)
    arrived = invite(rig)
    (call,) = calls
    rig.udp(reply(arrived, 200), BOB)
    assert (len(calls), call.why) == (0, "goes on without this server")


# --- limits


async def two_at_most(asked: IncomingRequest, calls: Calls) -> None:
    if asked.method == "INVITE" and not asked.in_dialog and not await calls.limit(asked, "bob", 2):
        asked.reply(486)
    else:
        await default_route(asked)


def test_limit() -> None:
    """Of twelve at once two pass; a call that ends makes room for one."""
    rig, calls = bench(two_at_most)
    outs = []
    for number in range(12):
        outs += rig.udp(
            request(
                branch=f"z9hG4bKn{number}", from_tag=f"t{number}", call_id=f"c{number}", headers=[CONTACT]
            )
        )
    arrived = [out for out in outs if out.what == "INVITE"]
    assert len(arrived) == 2
    assert calls.count("bob") == 2
    rig.udp(reply(arrived[0], 486), BOB)
    assert calls.count("bob") == 1
    assert rig.stack.modules.commands["calls.count"].call({}, rig.now) == {"bob": 1}


def test_counts_return_to_zero() -> None:
    """In any order, with any message lost, in the end nothing is counted and nothing is kept."""
    chance = random.Random(7)
    for _ in range(60):
        rig, calls = bench(two_at_most, max_duration=3_000)
        waiting: list[tuple[bytes, Any]] = []
        for number in range(4):
            call_id, tag, branch = f"c{number}", f"t{number}", f"z9hG4bKn{number}"
            data = request(branch=branch, from_tag=tag, call_id=call_id, headers=[CONTACT])
            waiting.append((data, ALICE))
            waiting.append((request("CANCEL", branch=branch, from_tag=tag, call_id=call_id), ALICE))
        while waiting:
            data, source = waiting.pop(chance.randrange(len(waiting)))
            if chance.random() < 0.2:
                continue
            for out in rig.udp(data, source):
                if out.what == "INVITE":
                    waiting += [
                        (reply(out, status), BOB) for status in chance.sample((180, 200, 486, 487, 200), 2)
                    ]
                elif out.what in ("CANCEL", "BYE"):
                    waiting.append((reply(out, 200), BOB))
                elif out.what == "200" and out.message.cseq.method == "INVITE" and out.to == ALICE:
                    names = {"from_tag": out.message.from_tag, "call_id": out.message.call_id}
                    waiting.append((within(rig, "BYE", **names), ALICE))
            rig.wait(chance.choice((0, 0.3, 40)))
        rig.wait(5_000)
        assert len(calls) == 0
        assert len(calls._counts) == 0
        assert len(calls._talks) == 0
        assert events(rig).count(CallFinished) == events(rig).count(CallTried)


def test_table_full() -> None:
    """Calls beyond ``most`` pass without a record, and limited ones are refused."""
    rig, calls = bench(most=1)
    invite(rig)
    invite(rig, branch="z9hG4bKother", from_tag="two", call_id="two")
    assert len(calls) == 1


# --- time


def test_an_invite_that_is_left() -> None:
    """Without an answer or a CANCEL the record ends with ``limits.ring_time``."""
    rig, calls = bench()
    invite(rig)
    rig.wait(1_000)
    assert len(calls) == 0


def test_max_duration() -> None:
    """Both sides get a BYE with the tags, CSeq and Route values of the other (RFC 3261 12.2.1.1)."""
    rig, calls = bench(max_duration=60)
    arrived = invite(rig, headers=[("Record-Route", "<sip:near.test;lr>")], source=ALICE)
    rig.udp(reply(arrived, 200), BOB)
    (call,) = calls
    call.talks["bob"].caller.routes = ()
    rig.wait(61)
    byes = [out for out in rig.log if out.what == "BYE" and out.time <= 160.1]
    assert {out.to for out in byes} == {ALICE, BOB}
    to_bob = next(out.message for out in byes if out.to == BOB)
    assert (to_bob.from_tag, to_bob.to_tag, to_bob.cseq.number) == ("alice", "bob", 2)
    assert to_bob.uri_text == BOB_URI
    to_alice = next(out.message for out in byes if out.to == ALICE)
    assert (to_alice.from_tag, to_alice.to_tag, to_alice.uri_text) == ("bob", "alice", "sip:alice@192.0.2.1")
    assert "max_duration" in (to_alice.get("reason") or "")
    assert len(calls) == 0


def test_session_timer_runs_out() -> None:
    """RFC 4028 8.3: state goes when the session has expired, and the proxy sends no BYE."""
    rig, calls = bench()
    arrived = invite(rig)
    rig.udp(
        reply(arrived, 200, headers=[("Session-Expires", "100;refresher=uac"), ("Require", "timer")]), BOB
    )
    rig.udp(within(rig, "ACK", cseq=1))
    rig.wait(90)
    again = only(rig.udp(within(rig, "UPDATE", headers=[("Session-Expires", "100;refresher=uac")])), "UPDATE")
    rig.udp(reply(again, 200, headers=[("Session-Expires", "100;refresher=uac")]), BOB)
    rig.wait(90)
    assert len(calls) == 1
    rig.wait(20)
    assert len(calls) == 0
    assert "BYE" not in what(rig.log)


def test_a_timer_of_the_caller_alone() -> None:
    """A caller that lets its session expire talks on at a gateway without timers: its record does, too."""
    rig, calls = bench()
    timer = [("Session-Expires", "90"), ("Supported", "timer")]
    talking(rig, headers=timer)
    (call,) = calls
    assert call.talks["bob"].expires is not None
    rig.wait(91)
    asked = [out for out in rig.log if out.what == "OPTIONS"]
    assert {out.to for out in asked} == {ALICE, BOB}
    for out in asked:
        rig.udp(reply(out, 200), out.to)
    rig.wait(80)
    assert list(calls) == [call]
    # Both are gone: neither answers.
    rig.wait(45)
    assert list(calls) == []
    assert "BYE" in what(rig.log)


def test_probe() -> None:
    """A side that does not know the dialog ends it for the other, too."""
    rig, calls = bench(probe=30)
    talking(rig)
    rig.wait(30)
    asked = [out for out in rig.log if out.what == "OPTIONS"]
    assert {out.to for out in asked} == {ALICE, BOB}
    # RFC 3261 12.2.2: a lower number than the last is refused, so a probe takes none of the phone's.
    assert {out.message.cseq.number for out in asked} == {0, 1}
    outs = []
    for out in asked:
        outs += rig.udp(reply(out, 200 if out.to == ALICE else 481), out.to)
    assert {out.to for out in outs if out.what == "BYE"} == {ALICE, BOB}
    assert len(calls) == 0


# --- operators


def test_hangup_by_command() -> None:
    """`calls.hangup`: by id or Call-ID; the rows say what there is."""
    rig, calls = bench()
    talking(rig)
    results: list[Any] = []
    rig.take(rig.stack.command("calls.list", {}, rig.now, lambda result, now: results.append(result)))
    ((row,),) = results
    assert (row["state"], row["call_id"]) == ("answered", "call@192.0.2.1")
    outs = rig.take(rig.stack.command("calls.hangup", {"id": row["id"]}, rig.now, lambda *_: None))
    assert [out.to for out in outs if out.what == "BYE"] == [ALICE, BOB]
    assert len(calls) == 0


def test_hangup_while_it_rings() -> None:
    """The phone gets a CANCEL, the caller a 487."""
    rig, calls = bench()
    arrived = invite(rig)
    rig.udp(reply(arrived, 180), BOB)
    outs = rig.take(rig.stack.command("calls.hangup", {"id": "call@192.0.2.1"}, rig.now, lambda *_: None))
    assert "CANCEL" in what(outs)
    assert "487" in what(rig.udp(reply(arrived, 487), BOB))
    assert len(calls) == 0


def test_unknown_call() -> None:
    """The error names the way to a right one."""
    rig, _ = bench()
    results: list[Any] = []
    rig.take(
        rig.stack.command("calls.hangup", {"id": "x"}, rig.now, lambda result, now: results.append(result))
    )
    assert "calls.list" in str(results[0])


@pytest.mark.parametrize(
    "settings", [{"min_se": 0}, {"session_expires": 60}, {"max_duration": -1.0}, {"most": 0}]
)
def test_bad_settings(settings: dict[str, Any]) -> None:
    """Said before the server starts, with the key."""
    with pytest.raises(LocalProtocolError, match=next(iter(settings))):
        bench(**settings)


# --- what peers may try


def test_dialogs_that_nobody_wanted() -> None:
    """RFC 3261 13.3.1.4: 2xx of tags that the caller does not acknowledge keep no call open."""
    rig, calls = bench()
    arrived = invite(rig)
    rig.udp(reply(arrived, 200), BOB)
    rig.udp(within(rig, "ACK", cseq=1))
    route = rig.route()
    for number in range(200):
        rig.udp(reply(arrived, 200, tag=f"more{number}"), BOB)
    (call,) = calls
    assert len(call.talks) <= 64
    rig.wait(65)
    assert set(call.talks) == {"bob"}
    bye = request("BYE", BOB_URI, branch="z9hG4bKend", to_tag="bob", cseq=2, headers=[("Route", route)])
    rig.udp(reply(only(rig.udp(bye), "BYE"), 200), BOB)
    assert (len(calls), call.ended_by) == (0, "caller")


def test_an_ack_of_the_callees_own() -> None:
    """The callee knows all tags, and not the caller's Route value: it cannot acknowledge for the caller."""
    rig, calls = bench()
    arrived = invite(rig)
    rig.udp(reply(arrived, 200), BOB)
    forged = request("ACK", BOB_URI, source=BOB, branch="z9hG4bKforged", to_tag="bob", cseq=1,
                     headers=[("Route", rig.callees_route())])  # fmt: skip
    rig.udp(forged, BOB)
    rig.wait(65)
    assert len(calls) == 0


@pytest.mark.parametrize("status", [420, 483, 500, 503])
def test_a_bye_that_is_refused(status: int) -> None:
    """A stale CSeq, an unknown extension: the callee talks on, and so does the record."""
    rig, calls = bench()
    talking(rig)
    rig.udp(reply(only(rig.udp(within(rig, "BYE")), "BYE"), status), BOB)
    assert len(calls) == 1


def test_a_call_that_rang_out_counts_for_nothing() -> None:
    """A route that goes on after the end of its call cannot count it any more."""

    async def route(asked: IncomingRequest, calls: Calls) -> None:
        if asked.method == "INVITE":
            asked.record_route()
            await asked.relay(await asked.locate())
            calls.hold(asked, "late")
        else:
            await default_route(asked)

    rig, calls = bench(route)
    arrived = invite(rig)
    for _ in range(6):
        rig.wait(110)
        rig.udp(reply(arrived, 180), BOB)
    rig.wait(100)
    assert (len(calls), calls.count("late")) == (0, 0)


def test_a_cancelled_call_is_not_begun() -> None:
    """The CANCEL comes while a route waits: the route's later work makes no record."""

    async def route(asked: IncomingRequest, calls: Calls) -> None:
        if asked.method == "INVITE":
            await sleep(0.1)
            assert not await calls.limit(asked, "all", 3)
        else:
            await default_route(asked)

    rig, calls = bench(route)
    rig.udp(request(headers=[CONTACT]))
    rig.udp(request("CANCEL"))
    rig.wait(1)
    assert (len(calls), calls.count("all")) == (0, 0)


def test_a_spiral_is_one_call() -> None:
    """A request that comes back here for another user (RFC 3261 16.6 step 8) is counted once."""
    rig, calls = bench()
    rig.register("sip:carol@192.0.2.3", ("192.0.2.3", 5060), aor="sip:carol@biloxi.test")
    arrived = invite(rig)
    vias = ", ".join(["SIP/2.0/UDP 192.0.2.2;branch=z9hG4bKback", *arrived.message.values("via")])
    back = request(uri="sip:carol@biloxi.test", via=vias, source=BOB, headers=[CONTACT])
    assert only(rig.udp(back, BOB), "INVITE").to == ("192.0.2.3", 5060)
    assert len(calls) == 1
    # The callee knows our branch; another INVITE of its own is another call all the same.
    other = request(uri="sip:carol@biloxi.test", via=vias.replace("back", "own"), source=BOB, from_tag="x",
                    call_id="own", headers=[CONTACT])  # fmt: skip
    rig.udp(other, BOB)
    assert len(calls) == 2


def test_strangers_have_their_share() -> None:
    """One address of which nothing is known fills no table."""
    rig, calls = bench(most_of_stranger=2)
    for number in range(4):
        names = {"branch": f"z9hG4bKn{number}", "from_tag": f"t{number}", "call_id": f"c{number}"}
        rig.udp(request(headers=[CONTACT], **names))
    assert len(calls) == 2


def test_requests_of_ours_go_to_who_called() -> None:
    """No stranger has BYEs of ours sent to an address that it only names."""
    rig, _ = bench(max_duration=60)
    arrived = only(rig.udp(request(headers=[("Contact", "<sip:v@203.0.113.7>")])), "INVITE")
    rig.udp(reply(arrived, 200), BOB)
    rig.udp(within(rig, "ACK", cseq=1))
    rig.wait(61)
    assert {out.to for out in rig.log if out.what == "BYE"} == {ALICE, BOB}


def test_a_refresh_does_not_fill_the_heap() -> None:
    """Phones that refresh all the time cost one entry."""
    rig, calls = bench()
    talking(rig)
    for number in range(50):
        again = only(rig.udp(within(rig, "UPDATE", cseq=2 + number)), "UPDATE")
        rig.udp(reply(again, 200), BOB)
    assert len(calls._watch) < 10


def test_a_2xx_that_crosses_the_hang_up() -> None:
    """The operator ended it, the phone answered: both get a BYE (RFC 3261 9.1)."""
    rig, calls = bench()
    arrived = invite(rig)
    rig.udp(reply(arrived, 180), BOB)
    rig.take(rig.stack.command("calls.hangup", {"id": "call@192.0.2.1"}, rig.now, lambda *_: None))
    outs = rig.udp(reply(arrived, 200), BOB)
    assert {out.to for out in outs if out.what == "BYE"} == {ALICE, BOB}
    assert len(calls) == 0


def test_the_last_sequence_number() -> None:
    """RFC 3261 8.1.1.5: nothing of ours has a CSeq of 2**31; the other side is hung up all the same."""
    rig, _ = bench()
    talking(rig)
    info = only(rig.udp(within(rig, "INFO", cseq=2**31 - 1)), "INFO")
    rig.udp(reply(info, 200), BOB)
    outs = rig.take(rig.stack.command("calls.hangup", {"id": "call@192.0.2.1"}, rig.now, lambda *_: None))
    assert [out.to for out in outs if out.what == "BYE"] == [ALICE]
