"""Strangers against a server that answers calls and bridges them: floods, guesses, and others as victims."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from tests.interop.besieged import ALICE, MALLORY, SDP, VICTIM, Caller, besieged, heard, reply, whats
from tests.interop.phone import Message
from tests.interop.siege import TRANSPORTS, WORST


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_invites_without_acks(tmp_path: Path, transport: str) -> None:
    """An INVITE of a few octets has its 200 sent eleven times, to whatever address stands in the datagram: so
    thirty at once, and no more. An honest caller is answered in the middle of it."""
    with besieged(tmp_path, 4.0) as (place, watch):
        flood = place.line(transport, MALLORY)
        for number in range(1_000):
            one = Caller(flood, f"m{number}")
            one.invite()
            if number == 500:
                began = time.monotonic()
                alice = Caller(place.line("udp", ALICE), "alice")
                alice.call()
                assert time.monotonic() - began < 20 * WORST
        answers = flood.received(0.6)
        assert (
            len({Message(a.decode()).get("call-id") for a in answers if a.startswith(b"SIP/2.0 200")}) <= 60
        )
        # 64*T1 later they are hung up, where they came from, and forgotten.
        time.sleep(4)
        said = whats(flood.received(0.6))
        assert said.count("200") + said.count("BYE") < 60 * 24
        log = place.siege.log
    assert "limits.calls_unacknowledged reached by 127.0.0.66" in log
    assert watch.grown < 20_000_000


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_guessed_tags(tmp_path: Path, transport: str) -> None:
    """A peer that guesses tags of a call gets 481 for each.

    The call goes on, and its two ends notice nothing.
    """
    with besieged(tmp_path) as (place, _):
        alice = Caller(place.line("udp", ALICE), "alice")
        answer = alice.call()
        ours = answer.get("to").partition("tag=")[2]
        mallory = Caller(place.line(transport, MALLORY), "mallory")
        mallory.target = alice.target
        for call_id in (alice.call_id, "guess"):
            for tag in ("u-" + "0" * 32, ours[:-1] + ("0" if ours[-1] != "0" else "1"), ours):
                mallory.call_id, mallory.to = call_id, f"<{alice.uri}>;tag={tag}"
                for method in ("BYE", "INFO", "UPDATE", "PRACK", "REFER", "NOTIFY", "MESSAGE", "INVITE"):
                    lines = [mallory.contact, f"Refer-To: <sip:x@{place.victim.sent_by}>", "RAck: 1 1 INVITE"]
                    mallory.send(method, *lines)
                    refused = Message(mallory.line.receive().decode())
                    # 404: no tag of ours, so the route's to answer.
                    assert refused.what in ("481", "404"), (method, refused.start)
                mallory.send("CANCEL", cseq=1)
                assert Message(mallory.line.receive().decode()).what in ("481", "404")
                mallory.send("ACK")
        alice.send("INFO")
        alice.expect("200")
        assert alice.line.received() == []


def test_right_tags_from_elsewhere(tmp_path: Path) -> None:
    """A sender with both tags was on the way of the call.

    RFC 3261 12.2.2 demands no more, for phones move; the answer goes to the source of the request, and our
    own requests go where the call came from.
    """
    with besieged(tmp_path) as (place, _):
        alice = Caller(place.line("udp", ALICE), "alice")
        alice.call()
        mallory = Caller(place.line("udp", MALLORY), "mallory")
        mallory.target, mallory.to, mallory.from_ = alice.target, alice.to, alice.from_
        mallory.call_id, mallory.cseq = alice.call_id, 10
        mallory.invite(f"Contact: <sip:x@{place.victim.sent_by}>")
        mallory.expect("200")
        # No ACK: 64*T1 later the call is hung up, and the BYE goes to alice.
        alice.expect("BYE")


def test_sequence_numbers(tmp_path: Path) -> None:
    """RFC 3261 12.2.2: lower and equal numbers are out of order.

    The largest one ends only the attacker's call.
    """
    with besieged(tmp_path) as (place, _):
        mallory = Caller(place.line("udp", MALLORY), "mallory")
        mallory.call()
        for number, status in (
            (1, "500"),
            (0, "500"),
            (2**32, "400"),
            (2**63, "400"),
            (5, "200"),
            (5, "500"),
        ):
            mallory.send("INFO", cseq=number)
            assert Message(mallory.line.receive().decode()).what == status, number
        mallory.send("BYE", cseq=5)
        mallory.expect("500")
        mallory.send("INFO", cseq=2**31 - 1)
        mallory.expect("200")
        mallory.send("BYE", cseq=6)
        mallory.expect("500")
        # An ACK with a number of nothing, and a thousand of the right one.
        for number in (0, 7, *([1] * 1_000)):
            mallory.send("ACK", cseq=number)
        mallory.send("BYE", cseq=2**31 - 1)
        mallory.expect("500")


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_retransmissions_and_cancels(tmp_path: Path, transport: str) -> None:
    """The same INVITE 500 times, 500 CANCELs of it, and 500 of unknown requests: one answer for each."""
    with besieged(tmp_path) as (place, watch):
        mallory = Caller(place.line(transport, MALLORY), "mallory", "ring")
        for _ in range(500):
            mallory.send(
                "INVITE", mallory.contact, "Supported: 100rel", cseq=1, branch="z9hG4bKsame", body=SDP
            )
        for _ in range(500):
            mallory.send("CANCEL", cseq=1, branch="z9hG4bKsame")
        for number in range(500):
            mallory.send("CANCEL", cseq=1, branch=f"z9hG4bKother{number}")
        said = whats(mallory.line.received(0.6))
        assert "487" in said
        # The 183 is repeated until its PRACK, the 487 until its ACK, each eleven times.
        assert len(said) < 1_500 + 30
    assert watch.grown < 5_000_000


@pytest.mark.parametrize("acknowledged", [True, False])
def test_re_invites(tmp_path: Path, acknowledged: bool) -> None:
    """500 re-INVITEs in a call that is bridged: bob sees one at a time; without ACKs the call ends."""
    with besieged(tmp_path) as (place, watch):
        mallory, _ = place.talking()
        for _ in range(500):
            mallory.invite()
            if acknowledged:
                mallory.send("ACK")
        said = whats(mallory.line.received(0.3))
        # 408: bob never answered the one.
        assert set(said) <= {"100", "491", "500", "200", "408", "BYE"}
        asked = [one for one in whats(place.bob.received(0.3)) if one == "INVITE"]
        # One, and what Timer A repeats of it.
        assert 0 < len(asked) <= 8
    assert watch.grown < 10_000_000


def test_descriptions_in_odd_places(tmp_path: Path) -> None:
    """15 KB of description, one of 700 media, a body in BYE, ACK and PRACK, and in types that nobody has:
    bounded, and each is answered; 55 KB are refused (``limits.session_size``)."""
    large = SDP + "a=x:" + "y" * 15_000 + "\r\n"
    many = SDP + "m=audio 9 RTP/AVP 0\r\n" * 700
    with besieged(tmp_path) as (place, watch):
        mallory = Caller(place.line("tcp", MALLORY), "mallory")
        mallory.invite(body=SDP + "a=x:" + "y" * 55_000 + "\r\n")
        mallory.expect("413")
        for number, body in enumerate((large, many, "o=" * 7_000, "\r\n" * 7_000, "m=" * 7_000)):
            mallory = Caller(place.line("tcp", MALLORY), f"m{number}")
            mallory.invite(body=body)
            mallory.expect("200")
            mallory.send("ACK", body=body)
            mallory.invite(body=body)
            mallory.expect("200", "488")
            mallory.send("ACK")
            mallory.send("INFO", body=body)
            mallory.expect("200")
            for kind in ("multipart/mixed;boundary=x", "text/plain", "x/y"):
                mallory.send("UPDATE", f"Content-Type: {kind}", body=body)
                mallory.expect("200", "415", "488")
            mallory.send("PRACK", "RAck: 1 1 INVITE", body=body)
            mallory.expect("481")
            mallory.send("BYE", body=body)
            mallory.expect("200")
    assert watch.grown < 20_000_000


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_referred_to_a_victim(tmp_path: Path, transport: str) -> None:
    """REFER, in a bridged call: who proved nothing has nobody called, in whatever way he names the victim, by
    hundreds of them, or by Replaces that he guessed."""
    with besieged(tmp_path) as (place, _):
        mallory, _ = place.talking(transport)
        at = place.victim.sent_by
        guess = "?Replaces=a%3Bto-tag%3Db%3Bfrom-tag%3Dc"
        for uri in (
            f"sip:x@{at}",
            f"sip:x@{at}{guess}",
            f"sip:x@{at};method=BYE",
            f"sip:siege.test;maddr={VICTIM}",
        ):
            mallory.send("REFER", f"Refer-To: <{uri}>", mallory.contact)
            mallory.expect("603")
        for _ in range(100):
            mallory.send("REFER", f"Refer-To: <sip:x@{at}>", mallory.contact)
        assert set(whats(mallory.line.received())) <= {"603", "503"}
        mallory.send("SUBSCRIBE", "Event: refer", mallory.contact)
        mallory.expect("405")
        assert set(whats(place.bob.received())) <= {"INVITE"}


def test_notify_without_a_subscription(tmp_path: Path) -> None:
    """RFC 6665 4.1.3: 481 to the NOTIFY, from us or from the phone behind, ends no call."""
    with besieged(tmp_path) as (place, _):
        mallory, _ = place.talking()
        mallory.send("NOTIFY", "Event: refer;id=1", "Subscription-State: active", mallory.contact)
        mallory.expect("481")
        mallory.send("NOTIFY", "Event: presence", "Subscription-State: active", mallory.contact)
        reply(place.bob, heard(place.bob, "NOTIFY"), "481 No Subscription", "bob")
        mallory.expect("480", "481")
        mallory.send("INFO")
        reply(place.bob, heard(place.bob, "INFO"), "200 OK", "bob")
        mallory.expect("200")


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_replaces_guessed(tmp_path: Path, transport: str) -> None:
    """RFC 3891 3: guesses at dialogs are 481, and half of the tags are a guess."""
    with besieged(tmp_path) as (place, _):
        alice = Caller(place.line("udp", ALICE), "alice")
        alice.call()
        ours = alice.to.partition("tag=")[2]
        line = place.line(transport, MALLORY)
        for to_tag, from_tag in ((ours, "guess"), ("guess", "alice"), ("u-" + "0" * 32, "alice"), ("0", "0")):
            mallory = Caller(line, "mallory")
            value = f"Replaces: {alice.call_id};to-tag={to_tag};from-tag={from_tag}"
            mallory.invite(value, "Require: replaces")
            mallory.expect("481", "420", "403")
        alice.send("INFO")
        alice.expect("200")
        assert alice.line.received() == []


def test_a_thousand_forked_answers(tmp_path: Path) -> None:
    """Bob answers one INVITE with a thousand 200s, each with a tag of its own: sixteen dialogs, and of them
    fifteen are hung up."""
    with besieged(tmp_path) as (place, watch):
        alice = Caller(place.line("udp", ALICE), "alice", "bob")
        alice.invite()
        asked = heard(place.bob, "INVITE")
        for number in range(1_000):
            contact = f"Contact: <sip:bob@{place.bob.sent_by}>"
            reply(place.bob, asked, "200 OK", f"t{number}", contact, body=SDP)
        alice.expect("200")
        alice.send("ACK")
        got = [Message(one.decode()) for one in place.bob.received(0.1)]
        assert len({one.get("to") for one in got if one.what == "ACK"}) <= 16
        assert len({one.get("to") for one in got if one.what == "BYE"}) <= 15
    assert watch.grown < 5_000_000


def test_pracks(tmp_path: Path) -> None:
    """RFC 3262 3: a PRACK for an unknown response gets 481; the right one is taken once."""
    with besieged(tmp_path) as (place, _):
        mallory = Caller(place.line("udp", MALLORY), "mallory", "ring")
        mallory.invite("Supported: 100rel")
        number = int(mallory.expect("183").get("rseq"))
        for rack in (
            f"{number + 1} 1 INVITE",
            f"{number} 2 INVITE",
            f"{number} 1 BYE",
            "0 0 x",
            f"{2**40} 1 INVITE",
        ):
            mallory.send("PRACK", f"RAck: {rack}")
            mallory.expect("481", "400")
        mallory.send("PRACK", "x: no RAck")
        mallory.expect("481", "400")
        mallory.send("PRACK", f"RAck: {number} 1 INVITE")
        mallory.expect("200")
        for _ in range(100):
            mallory.send("PRACK", f"RAck: {number} 1 INVITE")
            mallory.expect("481")


def test_short_sessions(tmp_path: Path) -> None:
    """RFC 4028: a session of one second would have us refresh it for ever."""
    with besieged(tmp_path) as (place, _):
        line = place.line("udp", MALLORY)
        for value in ("1", "1;refresher=uas", "0", "89"):
            mallory = Caller(line, "mallory")
            mallory.invite(f"Session-Expires: {value}", "Supported: timer")
            assert mallory.expect("422").get("min-se") == "90"
        # A caller that does not know 422 has no timer.
        mallory = Caller(line, "m2")
        mallory.call("Session-Expires: 1;refresher=uas", "Min-SE: 1")
        assert mallory.line.received(2.5) == []


@pytest.mark.parametrize("field", ["Contact", "Record-Route"])
@pytest.mark.parametrize("acknowledged", [True, False])
def test_a_victim_in_contact(tmp_path: Path, field: str, acknowledged: bool) -> None:
    """A caller names an outsider as the place for our requests: each BYE would be eleven datagrams there."""
    with besieged(tmp_path) as (place, _):
        at = place.victim.sent_by
        names = [
            f"sip:x@{at}",
            f"sip:x@127.0.0.66;maddr={VICTIM}",
            f"sip:x@{at};transport=tcp",
            f"sip:x@[::ffff:{VICTIM}]",
        ]
        line = place.line("udp", MALLORY)
        for number, name in enumerate(names):
            mallory = Caller(line, f"m{number}", "bob")
            mallory.invite(f"{field}: <{name}{';lr' if field == 'Record-Route' else ''}>")
            asked = heard(place.bob, "INVITE")
            contact = f"Contact: <sip:bob@{place.bob.sent_by}>"
            reply(place.bob, asked, "200 OK", "bob", contact, body=SDP)
            mallory.expect("200")
            ours = heard(place.bob, "ACK")
            if acknowledged:
                mallory.send("ACK")
                # Bob hangs up: the BYE goes back where the call came from.
                bye = [
                    f"BYE {asked.get('contact').strip('<>')} SIP/2.0",
                    f"Via: SIP/2.0/UDP {place.bob.sent_by};branch=z9hG4bKb{number}",
                ]
                bye += [
                    f"From: {ours.get('to')}",
                    f"To: {ours.get('from')}",
                    f"Call-ID: {ours.get('call-id')}",
                    "CSeq: 1 BYE",
                ]
                place.bob.send("\r\n".join([*bye, "Max-Forwards: 70", "Content-Length: 0", "", ""]).encode())
                heard(place.bob, "200")
            mallory.expect("BYE")
            place.bob.received(0.05)


def test_long_route_sets(tmp_path: Path) -> None:
    """1,000 proxies in Record-Route, of the caller and of the callee, and as many in Route."""
    routes = ", ".join(f"<sip:{VICTIM};lr;n={number}>" for number in range(1_000))
    with besieged(tmp_path) as (place, watch):
        mallory = Caller(place.line("tcp", MALLORY), "mallory")
        for field in ("Record-Route", "Route"):
            mallory.invite(f"{field}: {routes}")
            mallory.expect("400", "513")
        alice = Caller(place.line("udp", ALICE), "alice", "bob")
        alice.invite()
        asked = heard(place.bob, "INVITE")
        contact = f"Contact: <sip:bob@{place.bob.sent_by}>"
        reply(place.bob, asked, "200 OK", "bob", contact, f"Record-Route: {routes}", body=SDP)
        # Its answer counts for nothing: no ACK and no BYE with a thousand Routes.
        assert set(whats(place.bob.received(0.5))) <= {"INVITE"}
    assert watch.grown < 5_000_000


def test_a_bridge_to_itself(tmp_path: Path) -> None:
    """Two targets that are this server again: seventy hops would be 2**70 calls, and are a few hundred."""
    with besieged(tmp_path, 6.0) as (place, watch):
        for number in range(3):
            mallory = Caller(place.line("udp", MALLORY), f"m{number}", "loop")
            mallory.invite()
            mallory.expect("500", "482", "483", "440")
        log = place.siege.log
    assert "limits.bridges_in_a_row reached" in log
    assert watch.grown < 60_000_000


def test_wires_of_many_calls(tmp_path: Path) -> None:
    """300 calls through the bridge by a stranger who hangs none of them up: two hundred stand, and the others
    are told so."""
    with besieged(tmp_path, 6.0) as (place, watch):
        line = place.line("udp", MALLORY)
        stood = refused = 0
        known: set[str] = set()
        for number in range(300):
            mallory = Caller(line, f"m{number}", "bob")
            mallory.invite()
            answer = mallory.expect("100", "503")
            if answer.what == "503":
                refused += 1
                continue
            while (asked := heard(place.bob, "INVITE")).get("call-id") in known:
                pass
            known.add(asked.get("call-id"))
            contact = f"Contact: <sip:bob@{place.bob.sent_by}>"
            reply(place.bob, asked, "200 OK", f"b{number}", contact, body=SDP)
            mallory.expect("200")
            mallory.send("ACK")
            heard(place.bob, "ACK")
            stood += 1
        log = place.siege.log
    assert (stood, refused) == (200, 100)
    assert re.search(r"limits.calls_per_source reached by 127\.0\.0\.66", log)
    # About 13 KB for a call of two legs.
    assert watch.grown < 12_000_000
