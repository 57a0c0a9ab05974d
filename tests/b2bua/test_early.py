"""Early media of several phones, and of one after the other; a caller that has one dialog throughout."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.b2bua import Policy
from sansip.routing import Target
from sansip.wire import parse_uri
from tests.b2bua.test_bridge import BOB, CAROL, bridging
from tests.b2bua.test_transfer import media
from tests.ua.phones import ANSWER, OFFER, SDP, Bench

CAROLS = ANSWER.replace(b"server 7", b"carol 3").replace(b"50000", b"60000")
RELIABLY = [("Require", "100rel"), SDP]


def ringing(
    bench: Bench, phone: Any, invite: Any, body: bytes, rseq: int = 0, tag: str | None = None
) -> None:
    fields = [*RELIABLY, ("RSeq", str(rseq))] if rseq else [SDP]
    phone.reply(invite, 183, None, fields, body=body, tag=tag)


def prack(phone: Any, progress: Any, body: bytes = b"") -> None:
    rack = ("RAck", f"{progress.get('rseq')} {progress.cseq.number} INVITE")
    phone.request("PRACK", None, [rack, *([SDP] if body else [])], body=body)
    phone.expect("200")


def test_the_first_phone_is_heard() -> None:
    """Bob's announcement, not Carol's in the middle of it; and one dialog all the time."""
    bench = Bench(bridging([BOB, CAROL]))
    bench.call()
    bob, carol = bench.bob.expect("INVITE"), bench.carol.expect("INVITE")
    ringing(bench, bench.bob, bob, ANSWER)
    first = bench.alice.expect("183")
    assert first.body == ANSWER
    ringing(bench, bench.carol, carol, CAROLS)
    second = bench.alice.expect("183")
    assert (second.body, second.to_tag) == (b"", first.to_tag)
    bench.carol.reply(carol, 200, None, [SDP], body=CAROLS)
    answer = bench.alice.expect("200")
    assert (media(answer.body), answer.to_tag) == (media(CAROLS), first.to_tag)
    # RFC 3264 8: of the same session, as far as Alice can see.
    assert answer.body.startswith(b"v=0\r\no=server 7 2 IN IP4 192.0.2.10\r\n")


def test_the_next_phone_is_heard_when_the_first_gives_up() -> None:
    """RFC 6228: a 199 ends an early dialog of the far side; the caller's own goes on."""
    bench = Bench(bridging([BOB, CAROL]))
    bench.call()
    bob, carol = bench.bob.expect("INVITE"), bench.carol.expect("INVITE")
    ringing(bench, bench.bob, bob, ANSWER)
    bench.alice.expect("183")
    bench.bob.reply(bob, 199)
    bench.network.run(0.1)
    ringing(bench, bench.carol, carol, CAROLS)
    assert media(bench.alice.expect("183").body) == media(CAROLS)
    assert "199" not in {one.what for one in bench.alice.history}


def test_the_next_target_is_heard() -> None:
    """One after the other: the announcement of the second follows that of the first."""
    bench = Bench(bridging([Target(parse_uri(BOB)), Target(parse_uri(CAROL), q=500)]))
    bench.call()
    bob = bench.bob.expect("INVITE")
    ringing(bench, bench.bob, bob, ANSWER)
    bench.alice.expect("183")
    bench.bob.reply(bob, 486)
    carol = bench.carol.expect("INVITE")
    ringing(bench, bench.carol, carol, CAROLS)
    assert media(bench.alice.expect("183").body) == media(CAROLS)


def test_none() -> None:
    """Policy.early: ringing alone, until somebody answers."""
    bench = Bench(bridging(policy=Policy(early="none")))
    bench.call(headers=[("Supported", "100rel")])
    bob = bench.bob.expect("INVITE")
    ringing(bench, bench.bob, bob, ANSWER, 5)
    bench.bob.reply(bench.bob.expect("PRACK"), 200)
    assert bench.alice.expect("183").body == b""
    # Its answer was in the 183, and is in no 200 (RFC 6337 3.1.1): Alice has it in hers.
    bench.bob.reply(bob, 200)
    assert bench.alice.expect("200").body == ANSWER


def test_pracks_go_where_they_belong() -> None:
    """RFC 3262 4: each phone that rings reliably gets a PRACK of its own, in its dialog."""
    bench = Bench(bridging())
    bench.call(headers=[("Supported", "100rel")])
    invite = bench.bob.expect("INVITE")
    for tag, rseq in (("one", 10), ("two", 77)):
        ringing(bench, bench.bob, invite, ANSWER, rseq, tag)
        ours = bench.bob.expect("PRACK")
        assert (ours.to_tag, ours.get("rack")) == (tag, f"{rseq} 1 INVITE")
        bench.bob.reply(ours, 200)


def test_another_phone_answers_than_the_caller_has_the_answer_of() -> None:
    """RFC 6337 3.1.1: the reliable description is the answer, so Alice and Carol agree by a re-INVITE."""
    bench = Bench(bridging([Target(parse_uri(BOB)), Target(parse_uri(CAROL), q=500)]))
    bench.call(headers=[("Supported", "100rel")])
    bob = bench.bob.expect("INVITE")
    ringing(bench, bench.bob, bob, ANSWER, 1)
    bench.bob.reply(bench.bob.expect("PRACK"), 200)
    prack(bench.alice, bench.alice.expect("183"))
    bench.bob.reply(bob, 486)
    carol = bench.carol.expect("INVITE")
    bench.carol.reply(carol, 200, None, [SDP], body=CAROLS)
    bench.carol.expect("ACK")
    assert bench.alice.expect("200").body == b""
    bench.alice.request("ACK")
    asked = bench.carol.expect("INVITE")
    assert asked.body == b""
    bench.carol.reply(asked, 200, None, [SDP], body=CAROLS)
    offer = bench.alice.expect("INVITE")
    assert media(offer.body) == media(CAROLS)
    bench.alice.reply(offer, 200, None, [SDP], body=OFFER)
    bench.alice.expect("ACK")
    assert bench.carol.expect("ACK").body == OFFER
    bench.network.run(70)
    assert len(bench.ua.calls) == 2


@pytest.mark.parametrize("side", ["alice", "bob"])
def test_update_in_the_early_dialog(side: str) -> None:
    """RFC 3311: before the answer, from either side, to the phone that the caller hears."""
    bench = Bench(bridging([BOB, CAROL]))
    bench.call(headers=[("Require", "100rel")])
    bob = bench.bob.expect("INVITE")
    ringing(bench, bench.bob, bob, ANSWER, 1)
    bench.bob.reply(bench.bob.expect("PRACK"), 200)
    prack(bench.alice, bench.alice.expect("183"))
    near, far = (bench.alice, bench.bob) if side == "alice" else (bench.bob, bench.alice)
    said, back = (OFFER, ANSWER) if side == "alice" else (ANSWER, OFFER)
    near.request("UPDATE", None, [SDP], body=said)
    update = far.expect("UPDATE")
    assert update.body == said
    far.reply(update, 200, None, [SDP], body=back)
    assert near.expect("200").body == back
    assert not [one for one in bench.carol.history if one.what == "UPDATE"]


def test_update_of_a_phone_that_is_not_heard() -> None:
    """Carol's UPDATE is not for a caller who hears Bob: she may try again."""
    bench = Bench(bridging([BOB, CAROL]))
    bench.call()
    bob, carol = bench.bob.expect("INVITE"), bench.carol.expect("INVITE")
    ringing(bench, bench.bob, bob, ANSWER)
    ringing(bench, bench.carol, carol, CAROLS, 1)
    bench.carol.reply(bench.carol.expect("PRACK"), 200)
    bench.carol.request("UPDATE", None, [SDP], body=CAROLS)
    bench.carol.expect("491")
    bench.network.run(0.1)
    assert "UPDATE" not in {one.what for one in bench.alice.history}


def test_offers_of_phones_that_ring() -> None:
    """RFC 3262 5: the caller made no offer, the phone's comes in a 183 and is answered by a PRACK."""
    bench = Bench(bridging())
    bench.call(b"", headers=[("Supported", "100rel")])
    invite = bench.bob.expect("INVITE")
    ringing(bench, bench.bob, invite, ANSWER, 9)
    progress = bench.alice.expect("183")
    assert progress.body == ANSWER
    prack(bench.alice, progress, OFFER)
    ours = bench.bob.expect("PRACK")
    assert (ours.body, ours.get("rack")) == (OFFER, "9 1 INVITE")
    bench.bob.reply(ours, 200)
    bench.bob.reply(invite, 200)
    assert bench.alice.expect("200").body == b""
    bench.alice.request("ACK")
    bench.bob.expect("ACK")


def test_no_offer_and_no_pracks() -> None:
    """A caller without 100rel could never answer an offer in a 183: the phone is told not to make one."""
    bench = Bench(bridging())
    bench.call(b"")
    invite = bench.bob.expect("INVITE")
    assert "100rel" not in (invite.get("supported") or "")


@pytest.mark.parametrize("caller", ["Supported", "Require", ""])
@pytest.mark.parametrize("callee", [True, False])
def test_100rel_on_one_side(caller: str, callee: bool) -> None:
    """RFC 3262 3: each leg has what its own two ends want."""
    bench = Bench(bridging())
    bench.call(headers=[(caller, "100rel")] if caller else [])
    invite = bench.bob.expect("INVITE")
    ringing(bench, bench.bob, invite, ANSWER, 4 if callee else 0)
    if callee:
        bench.bob.reply(bench.bob.expect("PRACK"), 200)
    progress = bench.alice.expect("183")
    reliable = caller == "Require" or (caller == "Supported" and callee)
    assert progress.has("rseq") is reliable
    assert progress.body == ANSWER
    if reliable:
        prack(bench.alice, progress)
    bench.bob.reply(invite, 200, None, [] if callee else [SDP], body=b"" if callee else ANSWER)
    assert bench.alice.expect("200").body == (b"" if reliable else ANSWER)
