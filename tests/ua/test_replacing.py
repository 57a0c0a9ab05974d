"""Replaces in an INVITE (RFC 3891): one call takes the place of another, and of no third one."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.routing import TrustedPeer
from sansip.ua import CallEnded, UserAgentConfig
from tests.ua.phones import ANSWER, OFFER, SDP, Bench
from tests.ua.test_outgoing import during


async def answers(request: Any) -> None:
    incoming = request.incoming()
    if incoming is not None:
        try:
            await incoming.accept(ANSWER)
        except CallEnded:
            pass


def bench_of(route: Any = answers, **options: Any) -> Bench:
    """Carol's address is trusted."""
    options.setdefault("trusted", [TrustedPeer("192.0.2.3")])
    return Bench(route, **options)


def talking(bench: Bench) -> str:
    """Alice is in a call; returns the Replaces that means it."""
    bench.call()
    response = bench.alice.expect("200")
    bench.alice.request("ACK")
    return f"{response.call_id};to-tag={response.to_tag};from-tag={response.from_tag}"


def replacing(phone: Any, value: str, headers: Any = ()) -> None:
    fields = [SDP, ("Replaces", value), ("Require", "replaces"), *headers]
    phone.request("INVITE", "sip:192.0.2.10", fields, body=OFFER)


def test_confirmed() -> None:
    """RFC 3891 3: the new call is accepted, then the old one gets its BYE, with a Reason for people."""
    bench = bench_of()
    value = talking(bench)
    replacing(bench.carol, value)
    bench.carol.expect("200")
    bye = bench.alice.expect("BYE")
    assert "Replaced" in (bye.get("reason") or "")
    bench.alice.reply(bye, 200)
    bench.carol.request("ACK")
    bench.network.run(40)
    assert len(bench.ua.calls) == 1
    bench.carol.request("BYE")
    bench.carol.expect("200")
    bench.network.run(70)
    assert bench.at_rest()


def test_it_is_offered() -> None:
    """RFC 3891 6.2: Supported has it, in our requests and answers, unless no peer may use it."""
    for config, offered in ((UserAgentConfig(), True), (UserAgentConfig(replaces="nobody"), False)):
        bench = bench_of(ua=config)
        bench.call()
        assert ("replaces" in (bench.alice.expect("200").get("supported") or "")) is offered

        async def work(ua: Any) -> None:
            ua.invite("sip:bob@192.0.2.2", OFFER)

        during(bench, work)
        assert ("replaces" in (bench.bob.expect("INVITE").get("supported") or "")) is offered


def test_nobody_may() -> None:
    """RFC 3891 4, 3261 8.2.2.3: if it is not supported, a caller that requires it gets a 420."""
    bench = bench_of(ua=UserAgentConfig(replaces="nobody"))
    value = talking(bench)
    replacing(bench.carol, value)
    assert bench.carol.expect("420").get("unsupported") == "replaces"


def test_a_stranger_may_not() -> None:
    """RFC 3891 3, 7: the ids alone are no right to a call; the call goes on."""
    bench = bench_of()
    value = talking(bench)
    replacing(bench.bob, value)
    bench.bob.expect("403")
    bench.network.run(1)
    assert bench.alice.history[-1].what == "200"
    assert len(bench.ua.calls) == 1


def test_anyone_may() -> None:
    """``replaces = "anyone"``: for a network without strangers."""
    bench = bench_of(ua=UserAgentConfig(replaces="anyone"))
    value = talking(bench)
    replacing(bench.bob, value)
    bench.bob.expect("200")
    bench.alice.expect("BYE")


@pytest.mark.parametrize(
    ("change", "status"),
    [
        # RFC 3891 3: no match, and tags the wrong way round.
        (lambda value: value.replace("to-tag=", "to-tag=x"), "481"),
        (lambda value: value.replace("to-", "x-").replace("from-", "to-").replace("x-", "from-"), "481"),
        # RFC 3891 6.1, 7.1
        (lambda value: value + ";early-only", "486"),
        (lambda value: value.partition(";from-tag")[0], "400"),
    ],
)
def test_what_cannot_be_replaced(change: Any, status: str) -> None:
    """The call goes on as it was."""
    bench = bench_of()
    value = talking(bench)
    replacing(bench.carol, change(value))
    bench.carol.expect(status)
    assert len(bench.ua.calls) == 1


def test_twice_and_join() -> None:
    """RFC 3891 3: 400 for two of them, and for one with Join."""
    bench = bench_of()
    value = talking(bench)
    replacing(bench.carol, value, [("Replaces", value)])
    bench.carol.expect("400")
    replacing(bench.carol, value, [("Join", value)])
    bench.carol.expect("400")


def test_other_requests() -> None:
    """RFC 3891 3: Replaces belongs into an INVITE that begins a dialog."""
    bench = bench_of()
    value = talking(bench)
    bench.alice.request("INFO", None, [("Replaces", value)], in_dialog=True)
    bench.alice.expect("400")


def test_an_ended_call() -> None:
    """RFC 3891 3: 603, so that nothing rings for a call that was just given up."""
    bench = bench_of()
    bench.call()
    response = bench.alice.expect("200")
    value = f"{response.call_id};to-tag={response.to_tag};from-tag={response.from_tag}"
    # Without an ACK the usage stays for the repeated 2xx.
    bench.alice.request("BYE")
    bench.alice.expect("200")
    replacing(bench.carol, value)
    bench.carol.expect("603")


def test_an_early_call_of_the_peer() -> None:
    """RFC 3891 3: only early dialogs that we began can be replaced."""
    rings = []

    def route(request: Any) -> None:
        incoming = request.incoming()
        if incoming is not None:
            incoming.ring()
            rings.append(incoming)

    bench = bench_of(route)
    bench.call()
    response = bench.alice.expect("180")
    replacing(bench.carol, f"{response.call_id};to-tag={response.to_tag};from-tag={response.from_tag}")
    bench.carol.expect("481")
    assert len(rings) == 1


def test_an_early_call_of_ours() -> None:
    """RFC 3891 3, 7.1: call pick-up: what rings elsewhere is cancelled."""
    bench = bench_of()

    async def work(ua: Any) -> None:
        ua.invite("sip:bob@192.0.2.2", OFFER)

    during(bench, work)
    invite = bench.bob.expect("INVITE")
    ringing = bench.bob.reply(invite, 180)
    bench.network.run(0.1)
    tag = ringing.get("to").partition("tag=")[2]
    replacing(bench.carol, f"{invite.call_id};to-tag={invite.from_tag};from-tag={tag};early-only")
    bench.carol.expect("200")
    bench.carol.request("ACK")
    cancel = bench.bob.expect("CANCEL")
    bench.bob.reply(cancel, 200)
    bench.bob.reply(invite, 487)
    bench.network.run(70)
    assert len(bench.ua.calls) == 1


def test_the_old_call_ends_first() -> None:
    """RFC 3891 3: while the new one rings, the old one hangs up: the new one fails, too."""

    def route(request: Any) -> None:
        incoming = request.incoming()
        if incoming is not None:
            if incoming.replaces is None:
                incoming.accept(ANSWER)
            else:
                incoming.ring()

    bench = bench_of(route)
    value = talking(bench)
    replacing(bench.carol, value)
    bench.carol.expect("180")
    bench.alice.request("BYE")
    bench.carol.expect("603")
    bench.carol.request("ACK")
    bench.network.run(70)
    assert bench.at_rest()


def test_refused() -> None:
    """RFC 3891 3: where the new one cannot be accepted, the old one goes on."""

    def route(request: Any) -> None:
        incoming = request.incoming()
        if incoming is not None:
            incoming.accept(ANSWER) if incoming.replaces is None else incoming.reject(488)

    bench = bench_of(route)
    value = talking(bench)
    replacing(bench.carol, value)
    bench.carol.expect("488")
    bench.network.run(70)
    assert len(bench.ua.calls) == 1
    bench.alice.request("INFO", None, in_dialog=True)
    bench.alice.expect("200")


def test_two_want_one_place() -> None:
    """The first that is accepted has it, the other gets 603."""

    def route(request: Any) -> None:
        incoming = request.incoming()
        if incoming is not None:
            if incoming.replaces is None:
                incoming.accept(ANSWER)
            else:
                incoming.ring()
                waiting.append(incoming)

    waiting: list[Any] = []
    bench = bench_of(route, trusted=[TrustedPeer("192.0.2.0/28")])
    value = talking(bench)
    for phone in (bench.carol, bench.bob):
        replacing(phone, value)
        phone.expect("180")

    async def work(ua: Any) -> None:
        waiting[0].accept(ANSWER)

    during(bench, work)
    bench.carol.expect("200")
    bench.alice.reply(bench.alice.expect("BYE"), 200)
    bench.bob.expect("603")
