"""Calls and requests of our own, out of coroutines: answered, forked, cancelled, refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sansip.routing.tasks import begin
from sansip.ua import CallRefused
from tests.ua.phones import ANSWER, OFFER, SDP, Bench, times_of


def during(bench: Bench, work: Callable[[Any], Any]) -> list[Any]:
    """Run ``work(ua)`` as a module would; returns a list that its result comes into."""
    done: list[Any] = []
    stack = bench.server.stack
    begin(stack, work(stack.ua), lambda result, now: done.append(result), bench.network.now)
    bench.server.flush()
    return done


def test_a_request() -> None:
    """``await ua.request`` is the final response, a failure as well; without one it is a 408 of ours."""
    bench = Bench()

    async def work(ua: Any) -> list[int]:
        first = await ua.request("OPTIONS", "sip:bob@192.0.2.2")
        second = await ua.request("MESSAGE", "sip:bob@192.0.2.2", [("Content-Type", "text/plain")], b"hi")
        third = await ua.request("OPTIONS", "sip:carol@192.0.2.3", within=3)
        return [first.status, second.status, third.status]

    done = during(bench, work)
    asked = bench.bob.expect("OPTIONS")
    assert str(asked.from_.uri) == "sip:biloxi.test"
    bench.bob.reply(asked, 200)
    bench.bob.reply(bench.bob.expect("MESSAGE"), 415)
    bench.network.run(5)
    assert done == [[200, 415, 408]]


def test_a_call() -> None:
    """RFC 3261 13.2: INVITE with Contact, progress, 2xx, ACK at once; info, hold and BYE follow."""
    bench = Bench()
    progress: list[int] = []

    async def work(ua: Any) -> str:
        call = await ua.invite(
            "sip:bob@192.0.2.2",
            OFFER,
            on_progress=lambda call, response, now: progress.append(response.status),
        )
        await call.info(b"5", "application/dtmf")
        held = await call.hold()
        assert held.status == 200
        await call.bye()
        return str(call.ended)

    done = during(bench, work)
    bob = bench.bob
    invite = bob.expect("INVITE")
    assert invite.get("contact") == "<sip:192.0.2.10:5060>"
    assert invite.body == OFFER
    bob.reply(invite, 180)
    bob.reply(invite, 200, None, [SDP], body=ANSWER)
    assert bob.expect("ACK").cseq.number == invite.cseq.number
    bob.reply(bob.expect("INFO"), 200)
    hold = bob.expect("INVITE")
    assert b"a=sendonly" in hold.body
    bob.reply(hold, 200, None, [SDP], body=ANSWER)
    bob.expect("ACK")
    bob.reply(bob.expect("BYE"), 200)
    bench.network.run(70)
    assert (done, progress) == (["hung up"], [180])
    assert bench.at_rest()


def test_a_repeated_2xx_is_acknowledged_again() -> None:
    """RFC 3261 13.2.2.4: its sender has not seen the ACK."""
    bench = Bench()

    async def work(ua: Any) -> Any:
        return await ua.invite("sip:bob@192.0.2.2", OFFER)

    during(bench, work)
    bob = bench.bob
    invite = bob.expect("INVITE")
    for _ in range(3):
        bob.reply(invite, 200, None, [SDP], body=ANSWER)
        bob.expect("ACK")


def test_the_first_2xx_wins() -> None:
    """RFC 3261 13.2.2.4: a fork answered twice; the second call is acknowledged and hung up."""
    bench = Bench()

    async def work(ua: Any) -> str:
        call = await ua.invite("sip:bob@192.0.2.2", OFFER)
        return str(call.remote_tag)

    done = during(bench, work)
    bob = bench.bob
    invite = bob.expect("INVITE")
    bob.reply(invite, 180, tag="one")
    bob.reply(invite, 180, tag="two")
    bob.reply(invite, 200, None, [SDP], body=ANSWER, tag="one")
    bob.reply(invite, 200, None, [SDP], body=ANSWER, tag="two")
    acks = [bob.expect("ACK"), bob.expect("ACK")]
    assert {ack.to_tag for ack in acks} == {"one", "two"}
    bye = bob.expect("BYE")
    assert bye.to_tag == "two"
    bob.reply(bye, 200)
    bench.network.run(40)
    assert done == ["one"]
    assert [call.remote_tag for call in bench.ua.calls.values()] == ["one"]


def test_refused() -> None:
    """The exception has the response."""
    bench = Bench()

    async def work(ua: Any) -> Any:
        try:
            await ua.invite("sip:bob@192.0.2.2", OFFER)
        except CallRefused as error:
            return error.status

    done = during(bench, work)
    bench.bob.reply(bench.bob.expect("INVITE"), 486)
    bench.bob.expect("ACK")
    bench.network.run(40)
    assert done == [486]
    assert bench.at_rest()


def test_given_up() -> None:
    """RFC 3261 9.1: after ``within`` seconds the phone that rings gets a CANCEL."""
    bench = Bench()

    async def work(ua: Any) -> Any:
        try:
            await ua.invite("sip:bob@192.0.2.2", OFFER, within=5)
        except CallRefused as error:
            return error.status

    done = during(bench, work)
    bob = bench.bob
    invite = bob.expect("INVITE")
    bob.reply(invite, 180)
    cancel = bob.expect("CANCEL", within=6)
    bob.reply(cancel, 200)
    bob.reply(invite, 487)
    bob.expect("ACK")
    bench.network.run(40)
    assert done == [408]
    assert bench.at_rest()


def test_a_2xx_that_crosses_the_cancel() -> None:
    """RFC 3261 9.1, 15: the phone was answered after all: it gets ACK and BYE."""
    bench = Bench()
    calls: list[Any] = []

    async def work(ua: Any) -> Any:
        calls.append(ua.invite("sip:bob@192.0.2.2", OFFER))
        try:
            await calls[0]
        except CallRefused as error:
            return error.status

    done = during(bench, work)
    bob = bench.bob
    invite = bob.expect("INVITE")
    bob.reply(invite, 180)
    bench.network.run(0.1)
    calls[0].cancel()
    bench.server.flush()
    bob.expect("CANCEL")
    bob.reply(invite, 200, None, [SDP], body=ANSWER)
    bob.expect("ACK")
    bob.reply(bob.expect("BYE"), 200)
    bench.network.run(70)
    assert done
    assert bench.at_rest()


def test_the_phone_hangs_up() -> None:
    """``call.over`` awaits it."""
    bench = Bench()

    async def work(ua: Any) -> Any:
        call = await ua.invite("sip:bob@192.0.2.2", OFFER)
        return await call.over

    done = during(bench, work)
    bob = bench.bob
    bob.reply(bob.expect("INVITE"), 200, None, [SDP], body=ANSWER)
    bob.expect("ACK")
    bob.request("BYE")
    bob.expect("200")
    assert done == ["BYE"]


def test_reliable_ringing() -> None:
    """RFC 3262: a reliable 183 gets a PRACK, a repeated one another, and is told once."""
    bench = Bench()
    progress: list[int] = []

    async def work(ua: Any) -> Any:
        return await ua.invite(
            "sip:bob@192.0.2.2",
            OFFER,
            on_progress=lambda call, response, now: progress.append(response.status),
        )

    during(bench, work)
    bob = bench.bob
    invite = bob.expect("INVITE")
    assert "100rel" in invite.supported
    bob.reply(invite, 183, None, [("Require", "100rel"), ("RSeq", "7"), SDP], body=ANSWER)
    prack = bob.expect("PRACK")
    assert prack.get("rack") == f"7 {invite.cseq.number} INVITE"
    bob.reply(prack, 200)
    bob.reply(invite, 200)
    bob.expect("ACK")
    assert progress == [183]


def test_forks_are_bounded() -> None:
    """limits.forks_per_call: a hostile callee makes no more dialogs than that."""
    bench = Bench(limits={"forks_per_call": 3})

    async def work(ua: Any) -> Any:
        return await ua.invite("sip:bob@192.0.2.2", OFFER)

    during(bench, work)
    invite = bench.bob.expect("INVITE")
    for number in range(20):
        bench.bob.reply(invite, 180, tag=f"t{number}")
    bench.network.run(0.1)
    assert len(bench.ua.calls) == 3
    assert any(getattr(event, "name", "") == "forks_per_call" for event in bench.server.events)
    assert not times_of(bench.bob, "BYE")


@pytest.mark.parametrize("rings", [True, False])
def test_a_2xx_after_patience(rings: bool) -> None:
    """RFC 3261 13.2.2.4: given up by ``within``, answered all the same: acknowledged and hung up."""
    bench = Bench()

    async def work(ua: Any) -> Any:
        try:
            return await ua.invite("sip:bob@192.0.2.2", OFFER, within=2)
        except CallRefused as refused:
            return refused.status

    done = during(bench, work)
    bob = bench.bob
    invite = bob.expect("INVITE")
    if rings:
        bob.reply(invite, 180)
        bench.network.run(3)
        bob.expect("CANCEL")
    else:
        bench.network.run(3)
    assert done == [408]
    bob.reply(invite, 200, None, [SDP], body=ANSWER)
    bob.expect("ACK")
    bob.reply(bob.expect("BYE"), 200)
    bench.network.run(70)
    assert bench.at_rest()
    assert not bench.ua.numbered


def test_an_old_2xx_is_acknowledged_again() -> None:
    """RFC 5407 3.1.4, RFC 3261 13.2.2.4: a re-INVITE followed the ACK that was lost; each 2xx has its own."""
    bench = Bench()

    async def work(ua: Any) -> Any:
        call = await ua.invite("sip:bob@192.0.2.2", OFFER)
        await call.hold()

    during(bench, work)
    bob = bench.bob
    answer = bob.reply(bob.expect("INVITE"), 200, None, [SDP], body=ANSWER)
    first = bob.expect("ACK")
    bob.reply(bob.expect("INVITE"), 200, None, [SDP], body=ANSWER)
    bob.expect("ACK")
    bob.send(answer)
    again = bob.expect("ACK")
    assert again.to_bytes() == first.to_bytes()
