"""Descriptions go to relays and come back changed, calls end there too, and no bad relay holds up others."""

from __future__ import annotations

import pytest

from sansip.module import Use
from sansip.modules.calls import Calls, CallsSettings
from sansip.modules.media import Media, MediaSettings
from sansip.routing import IncomingRequest
from sansip.routing.default import route as default_route
from sansip.testing import check_module
from tests.modules.media.rig import FIRST, SDP, TYPE, MediaRig, answer_sdp, settings, two
from tests.relays import Engine
from tests.rig import ALICE, BOB, CAROL, DAVE, only, reply, request, what

pytestmark = pytest.mark.usefixtures("both")


def test_contract() -> None:
    """What every module promises."""
    check_module(Media, MediaSettings(), [Use(Calls, CallsSettings())])
    check_module(Media, settings((FIRST, Engine), probe_interval=5.0), [Use(Calls, CallsSettings())])


def test_a_call() -> None:
    """The offer, the answer and the end go to the relay; the rest of each description is as it came."""
    rig = MediaRig()
    invite, ok = rig.answered()
    assert invite.message.body == SDP.replace(b"c=IN IP4 192.0.2.1", b"c=IN IP4 203.0.113.5").replace(
        b"4000", b"30000"
    )
    assert invite.message.content_length == len(invite.message.body)
    assert b"m=audio 30002 " in ok.message.body
    offer, answer = rig.engine.last("offer"), rig.engine.last("answer")
    assert offer["sdp"] == SDP
    assert answer["sdp"] == answer_sdp()
    assert (offer["from-tag"], answer["from-tag"], answer["to-tag"]) == (b"t0", b"t0", b"bob")
    assert offer["call-id"] == answer["call-id"]
    assert offer["via-branch"] == answer["via-branch"]
    assert offer["supports"] == [b"load limit"]
    assert offer["flags"] == [b"strict-source"]
    assert rig.command("media.list")[0]["calls"] == 1
    bye = rig.within("BYE", cseq=2)
    assert what(bye) == ["BYE"]
    rig.udp(reply(only(bye, "BYE"), 200), BOB)
    assert rig.engine.commands == ["offer", "answer", "delete"]
    assert rig.engine.calls == {}
    assert rig.command("media.calls") == []
    assert rig.command("media.list")[0]["calls"] == 0


def test_untouched() -> None:
    """Where no relay is wanted no octet changes, and no relay hears of the call."""
    rig = MediaRig(media={"profiles": ["nat", "webrtc", "ipv4-ipv6"]})
    invite, ok = rig.answered()
    assert (invite.message.body, ok.message.body) == (SDP, answer_sdp())
    assert rig.engine.commands == []


def test_behind_a_nat() -> None:
    """A private address in the description that is not the source: this call gets a relay."""
    rig = MediaRig(media={"profiles": ["nat"]})
    body = SDP.replace(b"192.0.2.1", b"10.0.0.7")
    assert b"203.0.113.5" in only(rig.invite(body=body), "INVITE").message.body
    assert rig.engine.commands == ["offer"]


def test_refused() -> None:
    """A call that fails is deleted."""
    rig = MediaRig()
    invite = only(rig.invite(), "INVITE")
    rig.udp(reply(invite, 486), BOB)
    assert rig.engine.commands == ["offer", "delete"]
    assert not any(rig.engine.calls.values())


def test_ringing_and_again() -> None:
    """An answer in a 183, in a later 183 and in the 200: the same one asks no relay twice."""
    rig = MediaRig()
    invite = only(rig.invite(), "INVITE")
    for status in (183, 183, 200):
        out = only(rig.udp(reply(invite, status, headers=TYPE, body=answer_sdp()), BOB), str(status))
        assert b"m=audio 30002 " in out.message.body
    assert rig.engine.commands == ["offer", "answer"]
    again = rig.udp(reply(invite, 200, headers=TYPE, body=answer_sdp()), BOB)
    assert b"m=audio 30002 " in only(again, "200").message.body
    assert rig.engine.commands == ["offer", "answer"]


def test_a_fork() -> None:
    """Each branch has ports of its own; the loser's part is deleted, and the winner's stays."""
    rig = MediaRig()
    rig.register("sip:bob@192.0.2.3", CAROL)
    branches = [out for out in rig.invite() if out.what == "INVITE"]
    assert len(branches) == 2
    ports = {out.message.body.partition(b"m=audio ")[2].split()[0] for out in branches}
    assert len(ports) == 2
    (labels,) = rig.engine.calls.values()
    assert labels == {"b1", "b2"}
    winner, loser = branches
    rig.udp(reply(winner, 180, tag="w"), winner.to)
    rig.udp(reply(loser, 183, tag="l", headers=TYPE, body=answer_sdp(7000)), loser.to)
    rig.udp(reply(winner, 200, tag="w", headers=TYPE, body=answer_sdp()), winner.to)
    assert rig.engine.commands == ["offer", "offer", "answer", "answer"]
    rig.udp(reply(loser, 487, tag="l"), loser.to)
    assert rig.engine.last("delete")["via-branch"].decode() in ("b1", "b2")
    (labels,) = rig.engine.calls.values()
    assert len(labels) == 1
    assert rig.engine.last("answer")["via-branch"].decode() in labels


def test_one_cookie() -> None:
    """A command that is sent again has its cookie; another command, and another server, have others."""
    rig = MediaRig()
    rig.engine.mood = "silent"
    rig.invite()
    rig.wait(0.6)
    cookies = [cookie for cookie, command in rig.engine.asked if command["command"] == b"offer"]
    assert len(cookies) == 3
    assert len(set(cookies)) == 1
    other = MediaRig(seed=b"another seed for the rig")
    other.invite()
    assert other.engine.asked[-1][0] != cookies[0]


def on_first(rig: MediaRig) -> list[int]:
    """Numbers of calls whose best relay is the first one."""
    relays = rig.media._relays
    found = []
    for number in range(40):
        before = set(rig.media._sessions)
        rig.invite(number)
        (session,) = [one for one in rig.media._sessions if one not in before]
        first = relays.order("default", session.id, rig.now)[0]
        if first.settings.host == FIRST[0]:
            found.append(number)
    return found


def test_a_route_decides() -> None:
    """It gives a call a relay that no profile would, with more flags; or none; or other codecs."""

    async def route(request: IncomingRequest, media: Media) -> None:
        if request.method == "INVITE":
            media.relay(request, "webrtc", flags=["trickle-ICE"], media_address="203.0.113.9")
            media.strip_codecs(request, ["PCMU"])
        await default_route(request)

    rig = MediaRig(route=route, media={"profiles": []})
    rig.invite()
    offer = rig.engine.last("offer")
    assert offer["transport-protocol"] == b"UDP/TLS/RTP/SAVPF"
    assert offer["media-address"] == b"203.0.113.9"
    assert b"trickle-ICE" in offer["flags"]
    assert b"RTP/AVP 8\r\n" in offer["sdp"]

    async def none(request: IncomingRequest, media: Media) -> None:
        media.skip(request)
        await default_route(request)

    rig = MediaRig(route=none)
    assert only(rig.invite(), "INVITE").message.body == SDP


def test_a_stranger_in_a_dialog() -> None:
    """The other side's tags are known to others: a request without our Route mark reaches no relay."""
    rig = MediaRig()
    rig.answered()
    before = list(rig.engine.commands)
    data = request(
        "INVITE", "sip:bob@192.0.2.2", source=CAROL, branch="z9hG4bKeve", from_tag="t0", to_tag="bob",
        call_id="call0", cseq=9, headers=[("Contact", "<sip:eve@192.0.2.3>"), *TYPE], body=SDP,
    )  # fmt: skip
    rig.udp(data, CAROL)
    assert rig.engine.commands == before


def test_one_call_id_for_two() -> None:
    """A stranger's call with another's Call-ID and tag has a name of its own at the relay, and ends alone."""
    rig = MediaRig()
    rig.answered()
    eve = only(rig.invite(branch="z9hG4bKeve", source=CAROL), "INVITE")
    assert len(rig.engine.calls) == 2
    rig.udp(reply(eve, 486, tag="x"), BOB)
    assert len([name for name, labels in rig.engine.calls.items() if labels]) == 1
    assert len(rig.command("media.calls")) == 1


def test_given_up_while_it_waits() -> None:
    """A CANCEL ends the wait: 487, and nothing is left, at the relay neither."""
    rig = MediaRig()
    rig.engine.mood = "silent"
    rig.invite()
    outs = rig.udp(request("CANCEL", branch="z9hG4bKc0", from_tag="t0", call_id="call0"), ALICE)
    assert what(outs) == ["200", "487"]
    rig.engine.mood = "good"
    rig.wait(5)
    assert not any(rig.engine.calls.values())
    assert rig.command("media.calls") == []


def test_over_while_its_offer_waits() -> None:
    """A call that ends while its re-INVITE waits for a dead relay gets no other: nobody deletes it there."""
    rig = two()
    rig.answered()
    (row,) = rig.command("media.calls")
    own = next(at for at in rig.relays if row["relay"] == f"ng:{at[0]}:{at[1]}")
    (other,) = (at for at in rig.relays if at != own)
    rig.relays[own].mood = "silent"
    rig.within("INVITE", body=SDP, cseq=2)
    rig.udp(reply(only(rig.within("BYE", cseq=3), "BYE"), 200), BOB)
    rig.wait(3)
    assert rig.relays[other].calls == {}
    assert [one["calls"] for one in rig.command("media.list")] == [0, 0]


@pytest.mark.parametrize("body", [SDP, b""])
def test_many_tags(body: bytes) -> None:
    """A callee that invents tags gets media for as many as there may be early dialogs, and no more."""
    rig = MediaRig(limits={"early_dialogs": 3})
    invite = only(rig.invite(body=body), "INVITE")
    for number in range(20):
        rig.udp(reply(invite, 183, tag=f"b{number}", headers=TYPE, body=answer_sdp()), BOB)
    assert rig.engine.commands.count("answer" if body else "offer") == 3
    assert len(next(iter(rig.media._sessions)).sides) == 4


def eve_calls(rig: MediaRig, from_tag: str = "t0", to_tag: str = "bob", body: bytes = b"") -> str:
    """Have Eve call a friend with another call's Call-ID and tags; return her Route."""
    invite = only(
        rig.invite(
            source=CAROL,
            branch="z9hG4bKeve",
            from_tag=from_tag,
            headers=[("Contact", "<sip:eve@192.0.2.3>")],
            body=body,
        ),
        "INVITE",
    )
    rig.udp(reply(invite, 200, tag=to_tag, headers=[("Contact", "<sip:friend@192.0.2.4>")]), BOB)
    return rig.route()


@pytest.mark.parametrize("tags", [("t0", "bob"), ("bob", "t0"), ("t0", "x"), ("bob", "x")])
@pytest.mark.parametrize("method", ["INVITE", "UPDATE", "BYE"])
def test_a_call_with_the_tags_of_another(method: str, tags: tuple[str, str]) -> None:
    """A call of Eve's with Call-ID and tags of Alice's has our marks; it neither steers nor ends hers."""
    rig = MediaRig()
    rig.answered()
    before = list(rig.engine.commands)
    route = eve_calls(rig, *tags)
    data = request(
        method, "sip:friend@192.0.2.4", source=CAROL, branch="z9hG4bKeve2", from_tag=tags[0], to_tag=tags[1],
        call_id="call0", cseq=9, body=b"" if method == "BYE" else SDP,
        headers=[("Route", route), ("Contact", "<sip:eve@192.0.2.3>"), *([] if method == "BYE" else TYPE)],
    )  # fmt: skip
    out = only(rig.udp(data, CAROL), method)
    rig.udp(
        reply(out, 200, headers=[] if method == "BYE" else TYPE, body=b"" if method == "BYE" else SDP), DAVE
    )
    assert rig.engine.commands == before
    assert len([one for one in rig.command("media.calls") if one["relay"]]) == 1


@pytest.mark.parametrize("from_tag", ["t0", "bob"])
@pytest.mark.parametrize("method", ["INVITE", "UPDATE", "BYE"])
def test_a_friend_with_the_contact_of_another(method: str, from_tag: str) -> None:
    """RFC 5626 5.3.1: Eve's friend has a flow, so the Contact that it shows leads nobody anywhere.

    It shows Bob's: Eve's requests seem to be for him, and go to the friend. They change nothing of his call.
    """
    rig = MediaRig()
    rig.answered()
    before = list(rig.engine.commands)
    conn = rig.accept(("192.0.2.4", 40_001))
    outbound = '<sip:friend@192.0.2.4:40001;transport=tcp;ob>;reg-id=1;+sip.instance="<urn:uuid:0-1>"'
    headers = [("Contact", outbound), ("Supported", "path, outbound")]
    register = request(
        "REGISTER", "sip:biloxi.test", transport="TCP", source=("192.0.2.4", 40_001), branch="z9hG4bKr",
        sender="<sip:friend@biloxi.test>", to="<sip:friend@biloxi.test>", call_id="r", headers=headers,
    )  # fmt: skip
    only(rig.tcp(conn, register), "200")
    tags = from_tag, "bob" if from_tag == "t0" else "t0"
    shown = "sip:bob@192.0.2.2" if from_tag == "t0" else "sip:alice@192.0.2.1"
    contact = [("Contact", "<sip:eve@192.0.2.3;ob>")]
    invite = request(
        uri="sip:friend@biloxi.test", to="<sip:friend@biloxi.test>", source=CAROL, branch="z9hG4bKeve",
        from_tag=tags[0], call_id="call0", headers=contact,
    )  # fmt: skip
    out = only(rig.udp(invite, CAROL), "INVITE")
    assert out.to == conn
    rig.tcp(conn, reply(out, 200, tag=tags[1], headers=[("Contact", f"<{shown}>")]))
    route = rig.route()
    assert "sip:f-" in route
    data = request(
        method, shown, source=CAROL, branch="z9hG4bKeve2", from_tag=tags[0], to_tag=tags[1],
        to="<sip:friend@biloxi.test>", call_id="call0", cseq=9, body=b"" if method == "BYE" else SDP,
        headers=[("Route", route), *contact, *([] if method == "BYE" else TYPE)],
    )  # fmt: skip
    out = only(rig.udp(data, CAROL), method)
    assert out.to == conn
    rig.tcp(
        conn, reply(out, 200, headers=[] if method == "BYE" else TYPE, body=b"" if method == "BYE" else SDP)
    )
    assert rig.engine.commands == before
    assert len([one for one in rig.command("media.calls") if one["relay"]]) == 1


def test_both_sides_move() -> None:
    """RFC 3261 12.2.1.2, 12.2.2: a re-INVITE, with or without a description, may tell new places of both."""
    rig = MediaRig()
    rig.answered()
    callees = rig.callees_route()
    again = only(rig.within("INVITE", cseq=2, uri="sip:bob@192.0.2.2"), "INVITE")
    headers = [("Contact", "<sip:bob@192.0.2.2:5090>"), *TYPE]
    rig.udp(reply(again, 200, headers=headers, body=answer_sdp()), BOB)
    rig.within("ACK", cseq=2, uri="sip:bob@192.0.2.2:5090", body=SDP)
    assert rig.engine.commands == ["offer", "answer"] * 2
    rig.within("UPDATE", cseq=3, uri="sip:bob@192.0.2.2:5090", body=SDP)
    assert rig.engine.commands == ["offer", "answer"] * 2 + ["offer"]
    back = request(
        "UPDATE", "sip:alice@192.0.2.1", source=BOB, branch="z9hG4bKback", sender="<sip:bob@biloxi.test>",
        to="<sip:alice@biloxi.test>", from_tag="bob", to_tag="t0", call_id="call0", cseq=1,
        headers=[("Route", callees), ("Contact", "<sip:bob@192.0.2.2:5090>"), *TYPE], body=SDP,
    )  # fmt: skip
    rig.udp(back, BOB)
    assert rig.engine.commands == ["offer", "answer"] * 2 + ["offer"] * 2
