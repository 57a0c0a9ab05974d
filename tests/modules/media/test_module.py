"""Descriptions go to relays and come back changed, calls end there too, and no bad relay holds up others."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.events import ModuleFailed
from sansip.module import Use
from sansip.modules.calls import Calls, CallsSettings
from sansip.modules.media import CallUnrelayed, Media, MediaSettings, RelayChanged
from sansip.routing import IncomingRequest
from sansip.routing.default import route as default_route
from sansip.testing import check_module
from tests.modules.media.rig import FIRST, SDP, SECOND, TYPE, MediaRig, answer_sdp, settings
from tests.relays import Engine, Proxy
from tests.rig import ALICE, BOB, CAROL, only, reply, request, times, what


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


def two(first: str = "good", second: str = "good", **options: Any) -> MediaRig:
    """Two relays in these moods."""
    rig = MediaRig({FIRST: Engine("203.0.113.5"), SECOND: Engine("203.0.113.6")}, **options)
    for at, mood in ((FIRST, first), (SECOND, second)):
        rig.relays[at].mood = mood
    return rig


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


def test_a_dead_relay_costs_one_time_out() -> None:
    """The calls that wait when it dies go on together at the deadline; later ones do not wait."""
    rig = two("silent", "silent")
    outs = [out for number in range(20) for out in rig.invite(number)]
    assert "INVITE" not in what(outs)
    # Half of them asked the first relay, and half the second, which wakes up.
    rig.relays[SECOND].mood = "good"
    start = rig.now
    outs = rig.wait(1.01)
    invites = [out for out in outs if out.what == "INVITE"]
    assert len({out.message.call_id for out in invites}) == 20
    assert all(b"203.0.113.6" in out.message.body for out in invites)
    assert max(times(invites, start)) <= 1.0
    changed = [event for event in rig.events if isinstance(event, RelayChanged)]
    assert [(one.uri, one.state) for one in changed] == [(f"ng:{FIRST[0]}:{FIRST[1]}", "down")]
    # From now on nobody waits.
    for number in range(20, 40):
        assert "INVITE" in what(rig.invite(number))
    assert "ng:198.51.100.1:2223" in rig.media.health()


def test_a_suspect_is_passed_over() -> None:
    """While a command waits longer than a relay needs that lives, new calls prefer another relay."""
    rig = two("silent")
    waiting = 0
    for number in range(8):
        waiting += "INVITE" not in what(rig.invite(number))
    assert waiting
    rig.wait(0.35)
    for number in range(8, 30):
        assert "INVITE" in what(rig.invite(number))


def test_probes_bring_it_back() -> None:
    """Half-open: pings alone try it, at 1, 2 and 4 s; no call does. Then it gets calls again."""
    rig = MediaRig(media={"rest": 1.0})
    rig.engine.mood = "gone"
    assert "503" in what(rig.invite())
    rig.engine.asked.clear()
    for number in range(1, 30):
        rig.wait(0.1)
        assert "503" in what(rig.invite(number))
    assert {command["command"] for _, command in rig.engine.asked} == {b"ping"}
    assert len(rig.engine.asked) == 1
    rig.engine.mood = "good"
    rig.wait(4)
    assert "INVITE" in what(rig.invite(100))
    states = [event.state for event in rig.events if isinstance(event, RelayChanged)]
    assert states == ["down", "up"]


def test_pings_find_it_first() -> None:
    """A relay that dies between calls costs no call anything."""
    rig = MediaRig(media={"probe_interval": 5.0})
    rig.engine.mood = "silent"
    rig.wait(7)
    start = rig.now
    assert "503" in what(rig.invite())
    assert rig.now == start


def test_no_relay() -> None:
    """All silent: 503 with Retry-After after the deadline, and one event; nothing leaves."""
    rig = MediaRig()
    rig.engine.mood = "silent"
    assert "INVITE" not in what(rig.invite())
    start = rig.now
    outs = rig.wait(1.5)
    refused = next(out for out in outs if out.what == "503")
    assert refused.time - start == pytest.approx(1.0)
    assert refused.message.get("retry-after") == "10"
    assert "INVITE" not in what(outs)
    (event,) = [one for one in rig.events if isinstance(one, CallUnrelayed)]
    assert "refused" in str(event)
    assert rig.command("media.calls") == []
    assert not [event for event in rig.events if "ModuleFailed" in type(event).__name__]


def test_go_on_without() -> None:
    """By policy the call goes on with its description as it came."""
    rig = MediaRig(media={"without": "go on"})
    rig.engine.mood = "silent"
    rig.invite()
    assert next(out for out in rig.wait(1.5) if out.what == "INVITE").message.body == SDP
    invite = only(rig.invite(1), "INVITE")
    assert invite.message.body == SDP
    ok = only(rig.udp(reply(invite, 200, headers=TYPE, body=answer_sdp()), BOB), "200")
    assert ok.message.body == answer_sdp()


@pytest.mark.parametrize("mood", ["nonsense", "empty", "wrong", "garbage", "gone"])
def test_a_bad_relay(mood: str) -> None:
    """What is no answer is the relay's failure: it is down, and the call is the next one's.

    One that answers pings is up: its answer to one call says nothing of the next one's. After three of them
    calls prefer the other relay.
    """
    rig = two(mood)
    for number in range(10):
        rig.invite(number)
    rig.wait(1.1)
    assert len({out.message.call_id for out in rig.log if out.what == "INVITE"}) == 10
    assert all(b"203.0.113.6" in out.message.body for out in rig.log if out.what == "INVITE")
    states = [event.state for event in rig.events if isinstance(event, RelayChanged)]
    assert ("down" in states) is (mood in ("garbage", "gone"))
    first = next(row for row in rig.command("media.list") if FIRST[0] in row["uri"])
    assert first["state"] == "down" or first["failures"] == 3


@pytest.mark.parametrize(("mood", "state"), [("full", "up"), ("error", "up")])
def test_the_next_relay(mood: str, state: str) -> None:
    """A relay that is full, or refuses one description, lives: the next one gets the call."""
    rig = two(mood)
    for number in range(10):
        assert "INVITE" in what(rig.invite(number))
    assert [row["state"] for row in rig.command("media.list")] == [state, "up"]
    first = [row for row in rig.command("media.list") if FIRST[0] in row["uri"]]
    # A full one is left alone for a second.
    assert first[0]["commands"] < (3 if mood == "full" else 12)


def test_twice_and_late() -> None:
    """A second answer, and one to a command of before, answer nothing; they are counted."""
    rig = MediaRig()
    rig.engine.mood = "twice"
    rig.answered()
    assert rig.command("media.list")[0]["strays"] == 2
    rig.engine.mood = "late"
    assert "INVITE" not in what(rig.invite(1))
    outs = rig.wait(0.3)
    # The resent command brings the answer to the first copy.
    assert "INVITE" in what(outs)


def test_a_full_relay_and_no_other() -> None:
    """Nobody has room: the call is refused at once."""
    rig = MediaRig()
    rig.engine.mood = "full"
    assert "503" in what(rig.invite())


def test_the_answer_finds_no_relay() -> None:
    """It dies while the phone rings: the 2xx goes back, and the call is hung up, for it has no sound."""
    rig = MediaRig()
    invite = only(rig.invite(), "INVITE")
    rig.engine.mood = "gone"
    ok = only(rig.udp(reply(invite, 200, headers=TYPE, body=answer_sdp()), BOB), "200")
    assert ok.message.body == answer_sdp()
    assert what(rig.wait(0.1)).count("BYE") == 2
    assert any("hung up" in str(event) for event in rig.events if isinstance(event, CallUnrelayed))


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


MIXED = (
    b"preamble\r\n--b1\r\nContent-Type: text/plain\r\n\r\nhello\r\n--b1\r\nContent-Type: application/sdp\r\n"
    b"X-Odd:  kept \r\n\r\n"
    + SDP
    + b"\r\n--b1\r\nContent-Type: image/x\r\n\r\n\xff\x00\r\n--b1--\r\nepilogue"
)


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


def test_bye_at_a_dead_relay() -> None:
    """RFC 3261 15: a BYE waits for no relay."""
    rig = MediaRig()
    rig.answered()
    rig.engine.mood = "silent"
    start = rig.now
    bye = only(rig.within("BYE", cseq=2), "BYE")
    only(rig.udp(reply(bye, 200), BOB), "200")
    assert rig.now == start


def test_commands() -> None:
    """Query, recording and digits reach the call's relay under its name; faults name the cause."""
    rig = MediaRig()
    rig.answered()
    assert rig.command("media.query", id="call0")["totals"]["RTP"]["packets"] == 7
    assert rig.command("media.record", id="call0")["recording"] is True
    assert rig.engine.last("start recording")["call-id"] == rig.engine.last("offer")["call-id"]
    rig.command("media.record", id="call0", on=False)
    rig.engine.last("stop recording")
    rig.command("media.dtmf", id="call0", digit="5")
    assert rig.engine.last("play DTMF")["code"] == b"5"
    rig.command("media.block_dtmf", id="call0")
    rig.engine.last("block DTMF")
    assert "no digit" in str(rig.command("media.dtmf", id="call0", digit="x\n"))
    assert "media.calls" in str(rig.command("media.query", id="nobody"))
    assert "media.list" in str(rig.command("media.set", uri="ng:x", state="active"))
    rig.engine.mood = "error"
    assert "the moon is full" in str(rig.command("media.query", id="call0"))


def test_recorded_by_setting() -> None:
    """`record` has the relay record each call from its first packet."""
    rig = MediaRig(media={"record": True, "strict_source": False})
    rig.answered()
    assert rig.engine.last("offer")["record-call"] == b"on"
    assert "flags" not in rig.engine.last("offer")


def test_rtpproxy() -> None:
    """Each medium has its line and its port; the branch is part of the call's name (kamailio.md 10.4)."""
    proxy = Proxy()
    rig = MediaRig({FIRST: proxy})
    body = SDP + b"a=rtcp:4001\r\nm=video 4002 RTP/AVP 31\r\nm=image 0 udptl t38\r\n"
    invite = only(rig.invite(body=body), "INVITE")
    made = invite.message.body
    assert b"m=audio 35000 " in made
    assert b"m=video 35002 " in made
    assert b"m=image 0 " in made
    assert b"a=rtcp:35001" in made
    assert made.count(b"c=IN IP4 203.0.113.6") == 2
    (call,) = proxy.calls
    assert proxy.commands[0] == f"U {call} 192.0.2.1 4000 t0;1"
    assert proxy.commands[1] == f"U {call} 192.0.2.1 4002 t0;2"
    ok = only(rig.udp(reply(invite, 200, headers=TYPE, body=answer_sdp()), BOB), "200")
    assert proxy.commands[2] == f"L {call} 192.0.2.2 5000 t0;1 bob;1"
    assert b"203.0.113.6" in ok.message.body
    rig.within("ACK")
    again = only(rig.within("INVITE", body=SDP, cseq=2), "INVITE")
    assert proxy.commands[3] == f"U {call} 192.0.2.1 4000 t0;1 bob;1"
    rig.udp(reply(again, 200, headers=TYPE, body=answer_sdp()), BOB)
    rig.within("ACK", cseq=2)
    rig.udp(reply(only(rig.within("BYE", cseq=3), "BYE"), 200), BOB)
    assert proxy.commands[-1].startswith(f"D {call} ")
    assert proxy.calls == set()


@pytest.mark.parametrize("mood", ["nonsense", "error", "gone", "garbage"])
def test_a_bad_rtpproxy(mood: str) -> None:
    """It costs the call its time-out at the most, and the call is refused."""
    proxy = Proxy()
    proxy.mood = mood
    rig = MediaRig({FIRST: proxy})
    rig.invite()
    rig.wait(1.1)
    assert "503" in what(rig.log)


@pytest.mark.parametrize("line", [b"m=video 99999 RTP/AVP 31\r\n", b"m=x\r\n", b"m=a 1 b c\r\nc=IN x\r\n"])
def test_a_medium_that_rtpproxy_cannot_have(line: bytes) -> None:
    """A malformed medium behind a good one: the call gets no relay, and no relay or module a bad name."""
    proxy = Proxy()
    rig = MediaRig({FIRST: proxy})
    rig.invite(body=SDP + line)
    assert "503" in what(rig.log)
    assert not [line for line in proxy.commands if line[0] in "UL"]
    assert not [event for event in rig.events if isinstance(event, ModuleFailed)]
    assert rig.command("media.list")[0]["state"] == "up"
    rig = MediaRig({FIRST: Proxy()})
    invite = only(rig.invite(), "INVITE")
    rig.udp(reply(invite, 200, headers=TYPE, body=answer_sdp() + line), BOB)
    assert not [event for event in rig.events if isinstance(event, ModuleFailed)]
    assert "hung up" in str([event for event in rig.events if isinstance(event, CallUnrelayed)])


def test_tags_cannot_add_words() -> None:
    """A tag from a stranger with a semicolon or a blank stays one word of rtpproxy's line."""
    proxy = Proxy()
    rig = MediaRig({FIRST: proxy})
    rig.invite(from_tag="a%3b1", call_id='c"1<x>')
    assert len(proxy.commands[0].split(" ")) == 5
    assert proxy.commands[0].count(";") == 1


def test_reload() -> None:
    """A relay that is gone from the file gets no new call; calls there go on with it."""
    rig = two()
    rig.answered()
    (row,) = rig.command("media.calls")
    own = next(at for at in rig.relays if row["relay"] == f"ng:{at[0]}:{at[1]}")
    other = next(at for at in rig.relays if at != own)
    rig.take(rig.stack.configure_module(Media, settings((other, Engine)), rig.now)) if hasattr(
        rig.stack, "configure_module"
    ) else rig.media.configure(settings((other, Engine)), rig.now)
    assert len(rig.command("media.list")) == 1
    for number in range(1, 8):
        rig.invite(number)
    assert len(rig.relays[own].calls) == 1
    bye = only(rig.within("BYE", cseq=2), "BYE")
    rig.udp(reply(bye, 200), BOB)
    rig.wait(0.1)
    assert rig.relays[own].calls == {}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("ng:example.com:2223", "numeric"),
        ("ng:300.1.1.1:2223", "no address"),
        ("ng:127.0.0.1:70000", "no port"),
        ("udp:127.0.0.1:1", "write ng"),
    ],
)
def test_relay_settings(text: str, problem: str) -> None:
    """A relay that could not be reached is refused with what to write."""
    from sansip.modules.media import RelaySettings

    with pytest.raises(ValueError, match=problem):
        RelaySettings(text)
    assert RelaySettings("ng:[2001:db8::1]:2223").host == "2001:db8::1"
