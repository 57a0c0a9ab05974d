"""Calls that pass as octets are the same to the module, to its listeners and to the phones as others are."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.module import PASS, Module, Use
from sansip.modules.calls import CallAnswered, CallFinished, CallRang, Calls, CallTried
from sansip.modules.calls.ride import Ride
from sansip.modules.events import Events
from sansip.modules.publications import Publications
from sansip.modules.watches import Watches
from sansip.proxy.pair import Pair
from sansip.routing import openings, passages
from sansip.testing import check_module
from sansip.wire import Request
from tests.modules.calls.calling import invite, within
from tests.rig import BOB, BOB_URI, Out, Rig, only, reply, request

# Longer than what is remembered of a tag as it is (``proxy.ringing``).
LONG = "b" * 65


class Heard(Module):
    """Another module, which hears of calls."""

    name = "heard"
    events = (CallTried, CallRang, CallAnswered, CallFinished)

    def start(self, core: Any, now: float) -> None:
        self.said: list[Any] = []

    def event_received(self, event: Any, now: float) -> None:
        call = event.call
        row = call.state, call.caller, call.callee, call.target, call.asked, call.source
        times = call.began, call.rang, call.answered, call.ended
        self.said.append((type(event).__name__, row, times, call.status, call.ended_by, call.why))


class Looks(Module):
    """A module with a hook, which no call may pass by."""

    name = "looks"

    def branch_ended(self, request: Any, branch: Any, status: int) -> None: ...


def bench(*more: type[Module]) -> tuple[Rig, Calls]:
    rig = Rig(modules=[Use(Calls), Use(Heard), *map(Use, more)])
    rig.register(BOB_URI)
    return rig, rig.stack.modules.get(Calls)


def end(rig: Rig, by: str, status: int = 200) -> list[Out]:
    cseq, source, other = (2, ("192.0.2.1", 5060), BOB) if by == "caller" else (1, BOB, ("192.0.2.1", 5060))
    bye = only(rig.udp(within(rig, "BYE", by, cseq=cseq), source), "BYE")
    return rig.udp(reply(bye, status), other)


def talk(rig: Rig) -> Out:
    arrived = invite(rig)
    for status in (180, 200):
        rig.now += 1
        rig.udp(reply(arrived, status), BOB)
    rig.udp(within(rig, "ACK", cseq=1))
    return arrived


def stop(rig: Rig) -> None:
    """Hang up, as an operator."""
    rig.take(rig.stack.command("calls.hangup", {"id": "call@192.0.2.1"}, rig.now, lambda *_: None))


def hung_up(rig: Rig) -> None:
    talk(rig)
    rig.now += 5
    end(rig, "caller")


def hung_up_by_the_callee(rig: Rig) -> None:
    talk(rig)
    end(rig, "callee")


def refused(rig: Rig) -> None:
    rig.udp(reply(invite(rig), 486), BOB)


def given_up(rig: Rig) -> None:
    arrived = invite(rig)
    rig.udp(reply(arrived, 180), BOB)
    rig.udp(request("CANCEL"))
    rig.udp(reply(arrived, 487), BOB)


def silent(rig: Rig) -> None:
    invite(rig)
    rig.wait(40.0)


def not_acknowledged(rig: Rig) -> None:
    rig.udp(reply(invite(rig), 200), BOB)
    rig.wait(100.0)


def a_silent_bye(rig: Rig) -> None:
    talk(rig)
    rig.udp(within(rig, "BYE"))
    rig.wait(40.0)


def ended_by_the_operator(rig: Rig) -> None:
    talk(rig)
    stop(rig)


def ringing_ended_by_the_operator(rig: Rig) -> None:
    arrived = invite(rig)
    rig.udp(reply(arrived, 180), BOB)
    stop(rig)
    rig.udp(reply(arrived, 487), BOB)


def spelled_in_another_way(rig: Rig) -> None:
    """RFC 3261 7.3.1: a callee that writes ``record-route`` has our value: its call is watched to its end."""
    answer = reply(invite(rig), 200).replace(b"Record-Route: ", b"record-route:")
    rig.udp(answer, BOB)
    rig.udp(within(rig, "ACK", cseq=1))
    rig.now += 5
    end(rig, "caller")


def not_recorded(rig: Rig) -> None:
    """We are not on its path, whatever its body says."""
    answer = reply(invite(rig), 200, body=b"\r\nRecord-Route: <sip:192.0.2.10;lr>\r\n")
    head, empty, body = answer.partition(b"\r\n\r\n")
    rig.udp(head.replace(b"Record-Route: ", b"X-Route: ") + empty + body, BOB)


def recorded_by_another(rig: Rig) -> None:
    """The callee, or a proxy on its side, took our value away and wrote its own: we are not on its path."""
    answer = reply(invite(rig), 200)
    at = answer.index(b"Record-Route: ")
    line = answer[at : answer.index(b"\r\n", at)]
    rig.udp(answer.replace(line, b"Record-Route: <sip:203.0.113.9;lr>"), BOB)


def accepted(rig: Rig) -> None:
    """RFC 3261 16.7: any 2xx; the record has the one that it was."""
    rig.udp(reply(invite(rig), 202), BOB)
    end(rig, "caller")


def forked(rig: Rig) -> None:
    arrived = talk(rig)
    rig.udp(reply(arrived, 200, tag="other"), BOB)
    bye = only(rig.udp(within(rig, "BYE", to_tag="other")), "BYE")
    rig.udp(reply(bye, 200), BOB)


def answered_without_a_tag(rig: Rig) -> None:
    """RFC 3261 12.1.2, 12.2.1.1: a phone of RFC 2543 puts none into its answer."""
    rig.udp(reply(invite(rig), 200, tag=None), BOB)
    bye = only(rig.udp(within(rig, "BYE", to_tag=None)), "BYE")
    rig.udp(reply(bye, 200, tag=None), BOB)


def answered_with_a_long_tag(rig: Rig) -> None:
    """A tag has any length: the relay remembers a hash of it, and the BYE has all of it."""
    rig.udp(reply(invite(rig), 200, tag=LONG), BOB)
    bye = only(rig.udp(within(rig, "BYE", to_tag=LONG)), "BYE")
    rig.udp(reply(bye, 200), BOB)


PLAYS = (
    answered_without_a_tag,
    answered_with_a_long_tag,
    hung_up,
    hung_up_by_the_callee,
    refused,
    given_up,
    silent,
    not_acknowledged,
    a_silent_bye,
    ended_by_the_operator,
    ringing_ended_by_the_operator,
    forked,
    spelled_in_another_way,
    not_recorded,
    recorded_by_another,
    accepted,
)


@pytest.mark.parametrize("play", PLAYS, ids=lambda one: one.__name__)
def test_it_is_the_same_with_and_without_hooks(play: Any) -> None:
    """RFC 3261 16: the way that messages take changes nothing for phones and for who hears of calls."""
    found = []
    for more in ((), (Looks,)):
        rig, calls = bench(*more)
        assert rig.stack.modules.rides is not bool(more)
        play(rig)
        heard = rig.stack.modules.get(Heard)
        # Branches and tags of ours are random; the order of what left is not.
        left = [(one.what, one.to, one.time) for one in rig.log]
        found.append((heard.said, left, len(calls), len(calls._talks), len(calls._strangers)))
    assert found[0] == found[1]


def test_a_plain_call_rides() -> None:
    """Otherwise the comparison above would prove nothing."""
    rig, calls = bench()
    invite(rig)
    (call,) = calls
    assert type(call.request) is Ride
    assert call.request.message.call_id == call.call_id


@pytest.mark.parametrize("name", ["Session-Expires", "x", "SESSION-EXPIRES"])
def test_session_timers_are_looked_at(name: str) -> None:
    """RFC 4028 8.1: too short a session gets 422, however its field is spelled."""
    rig, _ = bench()
    outs = rig.udp(
        request(headers=[("Contact", "<sip:alice@192.0.2.1>"), (name, "30"), ("Supported", "timer")])
    )
    assert [one.what for one in outs if one.what != "100"] == ["422"]


def test_the_answer_may_have_a_timer() -> None:
    """RFC 4028 9: the callee may begin one by itself; the record ends when nobody refreshes the session."""
    rig, calls = bench()
    arrived = invite(rig)
    rig.udp(reply(arrived, 200, headers=[("Session-Expires", "100;refresher=uas")]), BOB)
    rig.udp(within(rig, "ACK", cseq=1))
    (call,) = calls
    rig.wait(101.0)
    assert call.why == "session expired"


def test_contract() -> None:
    """The contract of every module holds for calls of this kind."""
    check_module(Calls)


@pytest.mark.parametrize("lazy", [True, False])
@pytest.mark.parametrize(
    "kinds", [(Events,), (Events, Publications), (Watches,), (Calls, Events, Publications)]
)
def test_modules_of_other_methods_leave_calls_alone(
    kinds: tuple[type[Module], ...], lazy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server with presence relays its calls by one object, in the compiled build (not ``lazy``) as well."""
    for place in (openings, passages):
        monkeypatch.setattr(place, "LAZY", lazy)
    rig = Rig(modules=[Use(kind) for kind in kinds])
    rig.register(BOB_URI)
    arrived = invite(rig)
    rig.udp(reply(arrived, 180), BOB)
    rig.udp(reply(arrived, 200), BOB)
    rig.udp(within(rig, "ACK", cseq=1))
    bye = only(rig.udp(within(rig, "BYE")), "BYE")
    rig.udp(reply(bye, 200), BOB)
    kinds_of = [type(one) for one in rig.stack.transactions.servers.values() if one.method != "REGISTER"]
    assert kinds_of == [Pair, Pair]


class Guards(Module):
    """A module that looks at all that arrives."""

    name = "guards"

    def start(self, core: Any, now: float) -> None:
        self.seen: list[str] = []

    def message_arrived(self, message: Any, flow: Any, now: float) -> Any:
        if isinstance(message, Request):
            self.seen.append(message.method)
        return PASS


def test_who_sees_what_arrives_sees_calls_that_ride() -> None:
    """A ban or a bound of floods holds for calls that are octets, and takes none off their way."""
    rig, _ = bench(Guards)
    talk(rig)
    end(rig, "caller")
    seen = rig.stack.modules.get(Guards).seen
    assert [one for one in seen if one in ("INVITE", "ACK", "BYE")] == ["INVITE", "ACK", "BYE"]
    assert Pair in [type(one) for one in rig.stack.transactions.servers.values()]


@pytest.mark.parametrize("play", PLAYS, ids=lambda one: one.__name__)
def test_it_is_the_same_before_who_sees_what_arrives(play: Any) -> None:
    """Responses are shown, and go back as they would have."""
    found = []
    for more in ((), (Guards,)):
        rig, calls = bench(*more)
        play(rig)
        left = [(one.what, one.to, one.time) for one in rig.log]
        found.append((rig.stack.modules.get(Heard).said, left, len(calls), len(calls._talks)))
    assert found[0] == found[1]
