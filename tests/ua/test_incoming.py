"""A route that answers as a user agent: rings, accepts, is hung up, and loses messages on the way."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.ua import CallEnded
from tests.ua.phones import ANSWER, OFFER, SDP, Bench, times_of


async def voicemail(request: Any) -> None:
    incoming = request.incoming()
    if incoming is not None:
        incoming.ring()
        await incoming.accept(ANSWER)


def test_a_call() -> None:
    """RFC 3261 13.3.1: 180, 200 with To tag, Contact and Allow, ACK, BYE; nothing is left."""
    bench = Bench(voicemail)
    alice = bench.alice
    bench.call()
    ringing = alice.expect("180")
    response = alice.expect("200")
    assert ringing.to_tag == response.to_tag
    assert response.get("contact") == "<sip:192.0.2.10:5060>"
    assert "UPDATE" in (response.get("allow") or "")
    assert response.body == ANSWER
    alice.request("ACK")
    bench.network.run(1)
    (call,) = bench.ua.calls.values()
    assert call.is_confirmed
    assert (call.local_sdp, call.remote_sdp) == (ANSWER, OFFER)
    alice.request("BYE")
    alice.expect("200")
    bench.network.run(64)
    assert bench.at_rest()


def test_the_2xx_is_repeated_until_its_ack() -> None:
    """RFC 3261 13.3.1.4: T1, doubled up to T2, whatever the transport; the ACK ends it."""
    bench = Bench(voicemail)
    bench.call()
    bench.network.run(9)
    assert times_of(bench.alice, "200") == [0.0, 0.5, 1.5, 3.5, 7.5]
    bench.alice.request("ACK")
    bench.network.run(60)
    assert len(times_of(bench.alice, "200")) == 5


def test_no_ack_ever() -> None:
    """RFC 3261 13.3.1.4: after 64*T1 the call is given up with a BYE, and the route hears of it."""
    ends: list[str] = []

    async def route(request: Any) -> None:
        try:
            await request.incoming().accept(ANSWER)
        except CallEnded as error:
            ends.append(error.reason)

    bench = Bench(route)
    bench.call()
    bye = bench.alice.expect("BYE", within=33)
    assert bench.network.now == 32
    assert ends == ["no ACK"]
    bench.alice.reply(bye, 200)
    bench.network.run(64)
    assert bench.at_rest()


def test_cancel_while_it_rings() -> None:
    """RFC 3261 9.2: 200 for the CANCEL, 487 for the INVITE; the route is told."""
    seen: list[str] = []

    async def route(request: Any) -> None:
        incoming = request.incoming()
        incoming.ring()
        seen.append(await incoming.gone)

    bench = Bench(route)
    bench.call()
    bench.alice.expect("180")
    bench.alice.request("CANCEL")
    bench.alice.expect("200")
    bench.alice.expect("487")
    bench.alice.request("ACK")
    bench.network.run(64)
    assert seen == ["cancelled"]
    assert bench.at_rest()


def test_a_tag_of_ours_without_a_dialog() -> None:
    """RFC 3261 12.2.2: 481 for a call that is over, and no route is asked; a made-up tag is the route's
    business."""
    asked: list[str] = []

    async def route(request: Any) -> None:
        asked.append(request.method)
        if request.method == "INVITE":
            await voicemail(request)
        else:
            request.reply(404)

    bench = Bench(route)
    alice = bench.alice
    bench.call()
    alice.expect("200")
    alice.request("ACK")
    alice.request("BYE")
    alice.expect("200")
    alice.request("INFO")
    alice.expect("481")
    assert asked == ["INVITE"]
    guess = ("To", "<sip:box@biloxi.test>;tag=u-00112233445566778899aabbccddeeff")
    alice.request("INFO", "sip:192.0.2.10", [guess])
    alice.expect("404")


def test_refused() -> None:
    """A route says no as a user agent, too; the failure is repeated until its ACK."""
    bench = Bench(lambda request: request.incoming().reject(486))
    bench.call()
    bench.alice.expect("486")
    bench.alice.request("ACK")
    bench.network.run(64)
    assert bench.at_rest()


@pytest.mark.parametrize(
    ("headers", "status", "name"),
    [
        ([("Require", "foo, 100rel")], "420", "Unsupported"),
        ([("Content-Type", "text/plain")], "415", "Accept"),
        ([SDP, ("Content-Encoding", "gzip")], "415", "Accept-Encoding"),
        ([SDP, ("Accept", "text/html")], "406", ""),
    ],
)
def test_what_a_user_agent_server_checks(headers: Any, status: str, name: str) -> None:
    """RFC 3261 8.2.2.3, 8.2.3, 21.4.7: each refusal says what would have been accepted."""
    bench = Bench(voicemail)
    bench.alice.request("INVITE", "sip:box@biloxi.test", headers, body=OFFER)
    response = bench.alice.expect(status)
    assert not name or response.has(name)
    assert not bench.ua.calls


def test_merged() -> None:
    """RFC 3261 8.2.2.2: a fork delivered one INVITE twice; the second copy gets 482."""
    bench = Bench(voicemail)
    draft = bench.call()
    bench.alice.expect("200")
    bench.alice.request("ACK")
    bench.alice.send(draft.to_bytes().replace(b"branch=z9hG4bK", b"branch=z9hG4bKx"))
    bench.alice.expect("482")
    assert len(bench.ua.calls) == 1


def test_hold() -> None:
    """RFC 3264 8.4: sendonly is answered with recvonly, and the version of the description rises."""
    bench = Bench(voicemail)
    alice = bench.alice
    bench.call()
    alice.expect("200")
    alice.request("ACK")
    held = OFFER.replace(b"sendrecv", b"sendonly")
    alice.request("INVITE", None, [SDP], in_dialog=True, body=held)
    response = alice.expect("200")
    assert b"a=recvonly" in response.body
    assert b"o=server 7 2 " in response.body
    alice.request("ACK")
    bench.network.run(10)
    assert len(times_of(alice, "200")) == 2


def test_the_route_hangs_up() -> None:
    """``await call.bye()`` is the answer to the BYE."""
    statuses: list[int] = []

    async def route(request: Any) -> None:
        call = await request.incoming().accept(ANSWER)
        statuses.append((await call.bye(reason="Q.850;cause=16")).status)

    bench = Bench(route)
    bench.call()
    bench.alice.expect("200")
    bench.alice.request("ACK")
    bye = bench.alice.expect("BYE")
    assert bye.get("reason") == "Q.850;cause=16"
    bench.alice.reply(bye, 200)
    bench.network.run(40)
    assert statuses == [200]
    assert bench.at_rest()


def test_a_route_that_fails() -> None:
    """A call that the route took and forgot in an exception is answered with 500; the error is told."""

    async def route(request: Any) -> None:
        request.incoming().ring()
        raise ZeroDivisionError

    bench = Bench(route)
    bench.network.raise_route_errors = False
    bench.call()
    bench.alice.expect("500")
    bench.alice.request("ACK")
    bench.network.run(64)
    assert bench.at_rest()


def test_nobody_decides() -> None:
    """limits.ring_time: a call that was taken and forgotten is refused with 480."""
    bench = Bench(lambda request: request.incoming() and None, limits={"ring_time": 20.0})
    bench.call()
    bench.alice.expect("480", within=21)
