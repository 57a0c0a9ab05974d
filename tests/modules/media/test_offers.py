"""Offers and answers wherever SIP carries them: INVITE, 200 and ACK, PRACK, UPDATE, parts of a body."""

from __future__ import annotations

import pytest

from sansip.modules.media import Media
from sansip.routing import IncomingRequest
from sansip.routing.default import route as default_route
from tests.modules.media.rig import SDP, TYPE, MediaRig, answer_sdp, two
from tests.rig import BOB, Out, only, reply, request, what

pytestmark = pytest.mark.usefixtures("both")

MIXED = (
    b"preamble\r\n--b1\r\nContent-Type: text/plain\r\n\r\nhello\r\n--b1\r\nContent-Type: application/sdp\r\n"
    b"X-Odd:  kept \r\n\r\n"
    + SDP
    + b"\r\n--b1\r\nContent-Type: image/x\r\n\r\n\xff\x00\r\n--b1--\r\nepilogue"
)


def test_offer_in_the_answer() -> None:
    """RFC 3261 13.2.1: no description in the INVITE; the 200 has the offer, the ACK the answer."""
    rig = MediaRig()
    invite = only(rig.invite(body=b""), "INVITE")
    assert rig.engine.commands == []
    rig_always = MediaRig(route=forced)
    invite = only(rig_always.invite(body=b""), "INVITE")
    ok = only(rig_always.udp(reply(invite, 200, headers=TYPE, body=answer_sdp()), BOB), "200")
    assert b"m=audio 30000 " in ok.message.body
    ack = only(rig_always.within("ACK", body=SDP), "ACK")
    assert b"m=audio 30002 " in ack.message.body
    offer, answer = rig_always.engine.last("offer"), rig_always.engine.last("answer")
    assert (offer["from-tag"], answer["from-tag"], answer["to-tag"]) == (b"bob", b"bob", b"t0")


async def forced(request: IncomingRequest, media: Media) -> None:
    media.relay(request)
    await default_route(request)


def test_multipart() -> None:
    """The description is one part; every other octet of the body stays."""
    rig = MediaRig()
    headers = [("Content-Type", "multipart/mixed;boundary=b1"), ("Contact", "<sip:alice@192.0.2.1>")]
    data = request(headers=headers, body=MIXED, call_id="call0", from_tag="t0")
    invite = only(rig.udp(data), "INVITE")
    made = SDP.replace(b"c=IN IP4 192.0.2.1", b"c=IN IP4 203.0.113.5").replace(b"4000", b"30000")
    assert invite.message.body == MIXED.replace(SDP, made)


@pytest.mark.parametrize(
    "body",
    [b"v=0\r\n" + b"m=audio 4 RTP/AVP 0\r\n" * 500, b"hello", b"\x00" * 2000],
)
def test_unreadable(body: bytes) -> None:
    """500 media, or none of SDP's lines: refused by 488 where a relay is a must, untouched elsewhere."""
    rig = MediaRig()
    assert "488" in what(rig.invite(body=body))
    assert rig.engine.commands == []
    rig = MediaRig(media={"profiles": ["nat"]})
    # RFC 3261 18.1.1: large ones go over TCP.
    assert not {"INVITE", "Connect"}.isdisjoint(what(rig.invite(body=body)))
    assert rig.engine.commands == []


def test_no_media_and_port_0() -> None:
    """RFC 3264 5, 6: no m= and port 0 are no faults."""
    rig = MediaRig()
    assert "INVITE" in what(rig.invite(body=SDP.partition(b"m=")[0]))
    rig = MediaRig()
    invite = only(rig.invite(body=SDP.replace(b"4000", b"0")), "INVITE")
    assert b"m=audio 0 " in invite.message.body


def test_reinvite_and_hold() -> None:
    """A re-INVITE, of either side, stays with the relay; hold keeps its direction."""
    rig = two()
    rig.answered()
    (row,) = rig.command("media.calls")
    hold = SDP + b"a=sendonly\r\n"
    invite = only(rig.within("INVITE", body=hold, cseq=2), "INVITE")
    assert b"a=sendonly" in invite.message.body
    assert b"203.0.113" in invite.message.body
    ok = only(rig.udp(reply(invite, 200, headers=TYPE, body=answer_sdp() + b"a=recvonly\r\n"), BOB), "200")
    assert b"203.0.113" in ok.message.body
    assert rig.command("media.calls")[0]["relay"] == row["relay"]
    engine = next(one for one in rig.relays.values() if one.calls)
    assert engine.commands == ["offer", "answer", "offer", "answer"]
    assert (engine.last("offer")["from-tag"], engine.last("offer")["to-tag"]) == (b"t0", b"bob")
    headers = [("Route", rig.callees_route()), ("Contact", "<sip:bob@192.0.2.2>"), *TYPE]
    data = request(
        "INVITE", "sip:alice@192.0.2.1", source=BOB, branch="z9hG4bKbob", sender="<sip:bob@biloxi.test>",
        from_tag="bob", to="<sip:alice@biloxi.test>", to_tag="t0", call_id="call0", cseq=7, headers=headers,
        body=answer_sdp(),
    )  # fmt: skip
    only(rig.udp(data, BOB), "INVITE")
    assert (engine.last("offer")["from-tag"], engine.last("offer")["to-tag"]) == (b"bob", b"t0")


@pytest.mark.parametrize("how", ["dead", "draining", "asked"])
def test_moves_with_a_reinvite(how: str) -> None:
    """A call whose relay died, drains, or that an operator moves, goes to another one with its next offer."""
    rig = two()
    rig.answered()
    (row,) = rig.command("media.calls")
    own = next(at for at in rig.relays if row["relay"] == f"ng:{at[0]}:{at[1]}")
    if how == "dead":
        rig.relays[own].mood = "gone"
    elif how == "draining":
        rig.command("media.set", uri=row["relay"], state="draining")
    else:
        rig.command("media.move", id="call0", later=True)
    invite = only(rig.within("INVITE", body=SDP, cseq=2), "INVITE")
    ok = only(rig.udp(reply(invite, 200, headers=TYPE, body=answer_sdp()), BOB), "200")
    (after,) = rig.command("media.calls")
    assert after["relay"] != row["relay"]
    other = next(one for at, one in rig.relays.items() if at != own)
    assert other.host.encode() in invite.message.body
    assert other.host.encode() in ok.message.body
    rig.relays[own].mood = "good"
    rig.within("ACK", cseq=2)
    bye = only(rig.within("BYE", cseq=3), "BYE")
    rig.udp(reply(bye, 200), BOB)
    assert other.calls == {}


def ringing(rig: MediaRig, body: bytes = b"") -> tuple[Out, Out]:
    """A call that rings with a reliable 183; return the INVITE and the 183 as they left (RFC 3262)."""
    invite = only(rig.invite(body=SDP, headers=[("Supported", "100rel")]), "INVITE")
    headers = [
        ("Require", "100rel"),
        ("RSeq", "1"),
        ("Contact", "<sip:bob@192.0.2.2>"),
        *(TYPE if body else []),
    ]
    return invite, only(rig.udp(reply(invite, 183, headers=headers, body=body), BOB), "183")


def test_answer_in_a_reliable_183() -> None:
    """RFC 3262 5: the 183 has the answer; the 200 that repeats it asks no relay again."""
    rig = MediaRig()
    invite, progress = ringing(rig, answer_sdp())
    assert b"m=audio 30002 " in progress.message.body
    prack = only(rig.within("PRACK", cseq=2, headers=[("RAck", "1 1 INVITE")]), "PRACK")
    rig.udp(reply(prack, 200), BOB)
    ok = only(rig.udp(reply(invite, 200, headers=TYPE, body=answer_sdp()), BOB), "200")
    assert ok.message.body == progress.message.body
    assert rig.engine.commands == ["offer", "answer"]


def test_offer_in_a_prack() -> None:
    """RFC 3262 5: once the 183 has answered, PRACK may offer anew, and its 200 answers."""
    rig = MediaRig()
    ringing(rig, answer_sdp())
    offer = SDP.replace(b"4000", b"4002")
    prack = only(rig.within("PRACK", cseq=2, body=offer, headers=[("RAck", "1 1 INVITE")]), "PRACK")
    assert b"m=audio 30004 " in prack.message.body
    ok = only(rig.udp(reply(prack, 200, headers=TYPE, body=answer_sdp(5002)), BOB), "200")
    assert b"m=audio 30006 " in ok.message.body
    assert rig.engine.commands == ["offer", "answer", "offer", "answer"]
    answer = rig.engine.last("answer")
    assert (answer["from-tag"], answer["to-tag"]) == (b"t0", b"bob")


@pytest.mark.parametrize("early", [True, False], ids=["early", "established"])
def test_offer_in_an_update(early: bool) -> None:
    """RFC 3311 5: UPDATE offers, its 200 answers; before the call is answered, and after."""
    rig = MediaRig()
    if early:
        ringing(rig, answer_sdp())
    else:
        rig.answered()
    update = only(rig.within("UPDATE", cseq=3, body=SDP.replace(b"4000", b"4002")), "UPDATE")
    assert b"m=audio 30004 " in update.message.body
    ok = only(rig.udp(reply(update, 200, headers=TYPE, body=answer_sdp(5002)), BOB), "200")
    assert b"m=audio 30006 " in ok.message.body
    assert rig.engine.commands == ["offer", "answer", "offer", "answer"]


def test_update_refused() -> None:
    """RFC 3311 5.3: a 488 leaves the session as it was: a move then offers what was agreed on last."""
    rig = two(calls=True)
    rig.answered()
    update = only(rig.within("UPDATE", cseq=2, body=SDP.replace(b"4000", b"4002")), "UPDATE")
    assert only(rig.udp(reply(update, 488), BOB), "488").message.body == b""
    before = {at: len(relay.asked) for at, relay in rig.relays.items()}
    outs = rig.take(rig.stack.command("media.move", {"id": "call0"}, rig.now, lambda result, now: None))
    assert only(outs, "INVITE")
    asked = [one for at, relay in rig.relays.items() for _, one in relay.asked[before[at] :]]
    assert [one["sdp"] for one in asked if one["command"] == b"offer"] == [SDP]
