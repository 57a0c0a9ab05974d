"""REFER within a bridge: blind, attended, refused, and without end."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.b2bua import Policy
from tests.b2bua.test_bridge import CAROL, bridging, talking
from tests.ua.phones import ANSWER, OFFER, SDP, Bench

CAROLS = ANSWER.replace(b"50000", b"60000")


def media(body: bytes) -> bytes:
    """A description from s= on: RFC 3264 8 has its o= line stay that of the phone that was there before."""
    return body[body.index(b"s=") :]


def refer(phone: Any, to: str) -> None:
    phone.request("REFER", None, [("Refer-To", to)], in_dialog=True)


def told(bench: Bench, phone: Any) -> str:
    notify = phone.expect("NOTIFY")
    phone.reply(notify, 200)
    return str(notify.body.decode().strip())


def test_blind() -> None:
    """RFC 5589 6: Bob has Alice connected with Carol; descriptions pass untouched, and Bob is hung up."""
    bench = Bench(bridging())
    talking(bench)
    refer(bench.bob, f"<{CAROL}>")
    bench.bob.expect("202")
    assert told(bench, bench.bob) == "SIP/2.0 100 Trying"
    invite = bench.carol.expect("INVITE")
    assert invite.body == b""
    assert str(invite.from_.uri) == "sip:alice@biloxi.test"
    bench.carol.reply(invite, 200, None, [SDP], body=CAROLS)
    changed = bench.alice.expect("INVITE")
    assert changed.body == CAROLS
    bench.alice.reply(changed, 200, None, [SDP], body=OFFER)
    assert bench.carol.expect("ACK").body == OFFER
    assert told(bench, bench.bob) == "SIP/2.0 200 OK"
    bench.bob.reply(bench.bob.expect("BYE"), 200)
    bench.network.run(40)
    assert len(bench.ua.calls) == 2
    # Alice and Carol are one call now.
    bench.alice.request("BYE", None)
    bench.alice.expect("200")
    bench.carol.reply(bench.carol.expect("BYE"), 200)
    bench.network.run(70)
    assert bench.at_rest()


def test_blind_to_nobody() -> None:
    """RFC 3515 2.4.4: the failure is told, and the call stays as it was."""
    bench = Bench(bridging())
    talking(bench)
    refer(bench.bob, f"<{CAROL}>")
    told(bench, bench.bob)
    bench.carol.reply(bench.carol.expect("INVITE"), 486)
    assert told(bench, bench.bob) == "SIP/2.0 486 Busy Here"
    bench.network.run(40)
    assert len(bench.ua.calls) == 2


def test_attended() -> None:
    """RFC 5589 7: Alice talks to Bob and to Carol, and has the two connected (Replaces, RFC 3891)."""

    async def route(request: Any) -> None:
        await request.bridge(CAROL if "carol" in request.message.uri_text else "sip:bob@192.0.2.2")

    bench = Bench(route)
    talking(bench)
    first = bench.alice.agent.dialog
    bench.alice.request("INVITE", "sip:carol@biloxi.test", [SDP], body=OFFER)
    invite = bench.carol.expect("INVITE")
    bench.carol.reply(invite, 200, None, [SDP], body=CAROLS)
    bench.alice.expect("200")
    bench.alice.request("ACK")
    bench.carol.expect("ACK")
    second = bench.alice.agent.dialog
    ours, hers = (text.partition("tag=")[2] for text in (second.remote, second.local))
    replaces = f"{second.call_id.replace('@', '%40')}%3Bto-tag%3D{ours}%3Bfrom-tag%3D{hers}"
    bench.alice.agent.dialog = first
    refer(bench.alice, f"<{CAROL}?Replaces={replaces}>")
    bench.alice.expect("202")
    told(bench, bench.alice)
    changed = bench.carol.expect("INVITE")
    assert changed.body == b""
    bench.carol.reply(changed, 200, None, [SDP], body=CAROLS)
    asked = bench.bob.expect("INVITE")
    assert media(asked.body) == media(CAROLS)
    assert asked.body.startswith(b"v=0\r\no=alice 1 2 IN IP4 192.0.2.1\r\n")
    bench.bob.reply(asked, 200, None, [SDP], body=ANSWER)
    assert media(bench.carol.expect("ACK").body) == media(ANSWER)
    assert told(bench, bench.alice) == "SIP/2.0 200 OK"
    for _ in range(2):
        bench.alice.reply(bench.alice.expect("BYE"), 200)
    bench.network.run(40)
    assert len(bench.ua.calls) == 2
    bench.bob.request("BYE", None)
    bench.bob.expect("200")
    bench.carol.reply(bench.carol.expect("BYE"), 200)
    bench.network.run(70)
    assert bench.at_rest()


@pytest.mark.parametrize("to", ["<tel:+1555>", "<sip:a@b>, <sip:c@d>", ""])
def test_what_is_no_refer_to(to: str) -> None:
    """RFC 3515 2.4.1: one SIP URI."""
    bench = Bench(bridging())
    talking(bench)
    refer(bench.bob, to) if to else bench.bob.request("REFER", in_dialog=True)
    bench.bob.expect("400|416")


def test_refused() -> None:
    """Policy.refer."""
    bench = Bench(bridging(policy=Policy(refer="refuse")))
    talking(bench)
    refer(bench.bob, f"<{CAROL}>")
    bench.bob.expect("603")


def test_passed_on() -> None:
    """Policy.refer: the other side is asked, in its own dialog."""
    bench = Bench(bridging(policy=Policy(refer="pass")))
    talking(bench)
    refer(bench.bob, f"<{CAROL}>")
    passed = bench.alice.expect("REFER")
    assert passed.get("refer-to") == f"<{CAROL}>"
    bench.alice.reply(passed, 202)
    accepted = bench.bob.expect("202")
    for state, line in (("active;expires=60", "100 Trying"), ("terminated;reason=noresource", "200 OK")):
        fields = [("Event", f"refer;id={passed.cseq.number}"), ("Subscription-State", state)]
        fields.append(("Content-Type", "message/sipfrag"))
        bench.alice.request("NOTIFY", None, fields, body=f"SIP/2.0 {line}\r\n".encode())
        notify = bench.bob.expect("NOTIFY")
        # RFC 3515 2.4.6: the number of the REFER that Bob sent.
        assert notify.get("event") == f"refer;id={accepted.cseq.number}"
        assert (notify.get("subscription-state"), notify.get("content-type")) == (state, "message/sipfrag")
        assert notify.body == f"SIP/2.0 {line}\r\n".encode()
        bench.bob.reply(notify, 200)
        bench.alice.expect("200")
    # It is over, so there is none of that number any longer (RFC 6665 4.1.3).
    bench.alice.request("NOTIFY", None, fields)
    bench.alice.expect("481")


def test_passed_on_and_declined() -> None:
    """Policy.refer: what the other side says to it is what the phone that asked hears."""
    bench = Bench(bridging(policy=Policy(refer="pass")))
    talking(bench)
    refer(bench.bob, f"<{CAROL}>")
    bench.alice.reply(bench.alice.expect("REFER"), 603)
    bench.bob.expect("603")


def test_transfers_per_call() -> None:
    """limits.transfers_per_call: a phone that sends REFERs without end places no more calls than that."""
    bench = Bench(bridging(), limits={"transfers_per_call": 2})
    talking(bench)
    for _ in range(2):
        refer(bench.bob, f"<{CAROL}>")
        bench.bob.expect("202")
        told(bench, bench.bob)
        # One at a time.
        refer(bench.bob, "<sip:dave@192.0.2.4>")
        bench.bob.expect("603")
        bench.carol.reply(bench.carol.expect("INVITE"), 486)
        assert told(bench, bench.bob) == "SIP/2.0 486 Busy Here"
    refer(bench.bob, f"<{CAROL}>")
    bench.bob.expect("603")
    bench.network.run(0.1)
    assert len([one for one in bench.carol.history if one.what == "INVITE"]) == 2
