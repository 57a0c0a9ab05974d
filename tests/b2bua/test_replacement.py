"""An INVITE that takes the place of one leg of a bridge (RFC 3891)."""

from __future__ import annotations

from typing import Any

from sansip.routing import TrustedPeer
from tests.b2bua.test_bridge import bridging, talking
from tests.ua.phones import ANSWER, OFFER, SDP, Bench

CAROLS = OFFER.replace(b"40000", b"60000")


def bench_of(**options: Any) -> tuple[Bench, str]:
    """Alice and Bob talk through a bridge; Carol may replace, and knows the value for Alice's leg."""
    bench = Bench(bridging(), trusted=[TrustedPeer("192.0.2.3")], **options)
    talking(bench)
    dialog = bench.alice.agent.dialog
    ours, hers = (text.partition("tag=")[2] for text in (dialog.remote, dialog.local))
    return bench, f"{dialog.call_id};to-tag={ours};from-tag={hers}"


def replacing(bench: Bench, value: str, body: bytes = CAROLS) -> None:
    fields = [*([SDP] if body else []), ("Replaces", value)]
    bench.carol.request("INVITE", "sip:192.0.2.10", fields, body=body)


def ends(bench: Bench) -> None:
    """Alice is out; Carol hangs up, and Bob hears of it."""
    bye = bench.alice.expect("BYE")
    bench.alice.reply(bye, 200)
    bench.network.run(40)
    assert len(bench.ua.calls) == 2
    bench.carol.request("BYE")
    bench.carol.expect("200")
    bench.bob.reply(bench.bob.expect("BYE"), 200)
    bench.network.run(70)
    assert bench.at_rest()


def test_a_leg() -> None:
    """RFC 3891 3: Bob is offered what Carol offers, Carol gets what Bob answers, and Alice a BYE."""
    bench, value = bench_of()
    replacing(bench, value)
    changed = bench.bob.expect("INVITE")
    assert changed.body == CAROLS
    assert changed.to_tag is not None
    bench.bob.reply(changed, 200, None, [SDP], body=ANSWER)
    assert bench.carol.expect("200").body == ANSWER
    bench.carol.request("ACK")
    bench.bob.expect("ACK")
    ends(bench)


def test_without_an_offer() -> None:
    """RFC 3261 13.2.1: Bob makes the offer, and Carol's ACK has the answer."""
    bench, value = bench_of()
    replacing(bench, value, b"")
    changed = bench.bob.expect("INVITE")
    assert changed.body == b""
    bench.bob.reply(changed, 200, None, [SDP], body=ANSWER)
    assert bench.carol.expect("200").body == ANSWER
    bench.carol.request("ACK", None, [SDP], body=CAROLS)
    assert bench.bob.expect("ACK").body == CAROLS
    ends(bench)


def test_the_far_phone_refuses() -> None:
    """RFC 3891 3: the matched dialog stays as it was."""
    bench, value = bench_of()
    replacing(bench, value)
    bench.bob.reply(bench.bob.expect("INVITE"), 488)
    bench.carol.expect("488")
    bench.carol.request("ACK")
    bench.network.run(40)
    assert len(bench.ua.calls) == 2
    bench.alice.request("INFO", None, in_dialog=True)
    bench.bob.reply(bench.bob.expect("INFO"), 200)
    bench.alice.expect("200")


def test_it_gives_up() -> None:
    """A CANCEL while Bob is asked: Bob talks to Alice again, with her description."""
    bench, value = bench_of()
    replacing(bench, value)
    changed = bench.bob.expect("INVITE")
    bench.carol.request("CANCEL")
    bench.carol.expect("487")
    bench.carol.request("ACK")
    bench.bob.reply(changed, 200, None, [SDP], body=ANSWER)
    bench.bob.expect("ACK")
    back = bench.bob.expect("INVITE")
    assert back.body == OFFER
    bench.bob.reply(back, 200, None, [SDP], body=ANSWER)
    bench.network.run(40)
    assert len(bench.ua.calls) == 2


def test_alice_hangs_up_meanwhile() -> None:
    """The call to be replaced is over: the newcomer gets 603, and Bob is hung up as usual."""
    bench, value = bench_of()
    replacing(bench, value)
    bench.bob.expect("INVITE")
    bench.alice.request("BYE")
    bench.carol.expect("603")
    bench.carol.request("ACK")
    bench.bob.reply(bench.bob.expect("BYE"), 200)
    bench.network.run(100)
    assert bench.at_rest()


def test_half_of_a_bridge() -> None:
    """RFC 3891 3: before both talk, there is no place to take."""
    bench = Bench(bridging(), trusted=[TrustedPeer("192.0.2.3")])
    bench.call()
    invite = bench.bob.expect("INVITE")
    ringing = bench.bob.reply(invite, 180)
    tag = ringing.get("to").partition("tag=")[2]
    bench.alice.expect("180")
    replacing(bench, f"{invite.call_id};to-tag={invite.from_tag};from-tag={tag}")
    bench.carol.expect("481")


def test_without_end() -> None:
    """limits.transfers_per_call holds for these, too: each asks the far phone anew."""
    bench, value = bench_of(limits={"transfers_per_call": 1})
    replacing(bench, value)
    bench.bob.reply(bench.bob.expect("INVITE"), 488)
    bench.carol.expect("488")
    replacing(bench, value)
    bench.carol.expect("603")
