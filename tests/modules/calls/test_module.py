"""A record is made of each call, and goes from state to state with its messages. On a virtual clock."""

from __future__ import annotations

import pytest

from sansip.modules.calls import CallAnswered, CallFinished, CallRang, Calls, CallTried
from sansip.routing import IncomingRequest, sleep
from sansip.routing.default import route as default_route
from sansip.testing import check_module
from tests.modules.calls.calling import CONTACT, bench, events, invite, within
from tests.rig import BOB, only, reply, request


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


def test_table_full() -> None:
    """Calls beyond ``most`` pass without a record, and limited ones are refused."""
    rig, calls = bench(most=1)
    invite(rig)
    invite(rig, branch="z9hG4bKother", from_tag="two", call_id="two")
    assert len(calls) == 1


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
