"""Calls that pass as octets through a relay, beside the same calls as messages: nobody sees a difference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sansip.proxy import ProxyConfig
from sansip.proxy.steered import Steered
from tests.modules.media.relayed_calls import SCENARIOS, Slow, a_call, another_answer, cancel, crossed, played
from tests.modules.media.rig import FIRST, SDP, SECOND, TYPE, MediaRig, answer_sdp, two
from tests.relays import Engine
from tests.rig import ALICE, BOB, only, reply, request

pytestmark = pytest.mark.usefixtures("both")


@pytest.mark.parametrize("without", ["refuse", "go on"])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.__name__)
def test_as_messages(scenario: Callable[[Slow], None], without: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever happens, all sides and the relay get what they get where each message is read.

    The long way is the reference: it has the tests of the rest of this folder.
    """
    held = 0
    send = Steered.send

    def counted(self: Steered, *given: Any) -> None:
        nonlocal held
        held += 1
        send(self, *given)

    monkeypatch.setattr(Steered, "send", counted)
    options = {"media": {"without": without}}
    short, commands, rig = played(scenario, True, **options)
    # Or the comparison proves nothing.
    assert held == 1
    long, expected, other = played(scenario, False, **options)
    assert held == 1
    assert short == long
    assert commands == expected
    assert rig.command("media.calls") == other.command("media.calls") or len(
        rig.command("media.calls")
    ) == len(other.command("media.calls"))
    assert len(rig.stack.transactions.servers) == len(other.stack.transactions.servers)
    assert rig.stack.proxy.pending.sources == other.stack.proxy.pending.sources


@pytest.mark.parametrize("rides", [True, False])
def test_another_answer(rides: bool) -> None:
    """RFC 3261 13.2.1: the relay has the first answer, and so has the caller in each 2xx."""
    _, commands, rig = played(another_answer, rides)
    assert commands[0] == "offer"
    assert commands.count("answer") == 1
    bodies = [one.message.body for one in rig.log if one.what == "200" and one.to == ALICE]
    assert len(bodies) == 3
    assert len(set(bodies)) == 1


def test_cancel_crosses() -> None:
    """RFC 3261 9.1: the CANCEL comes while the relay has the answer; the 2xx counts, as the relay has it."""
    rig, invite = crossed()
    before = len(rig.log)
    rig.release()
    rig.udp(reply(invite, 200, headers=TYPE, body=answer_sdp()), BOB)
    back = [one for one in rig.log[before:] if one.to == ALICE]
    assert {one.what for one in back} == {"200"}
    assert all(b"203.0.113.5" in one.message.body for one in back)
    assert "487" not in [one.what for one in rig.log]


@pytest.mark.parametrize("rides", [True, False])
def test_cancelled_while_early_media_is_at_the_relay(rides: bool) -> None:
    """RFC 3261 9.1: it rings, so the CANCEL goes at once, and no INVITE again, however slow the relay is."""
    rig = Slow(media={"deadline": 4.0})
    if not rides:
        rig.stack.reception.openings = rig.stack.reception.passages = None
    invite = only(rig.invite(), "INVITE")
    rig.late = True
    rig.udp(reply(invite, 183, headers=TYPE, body=answer_sdp()), BOB)
    before = len(rig.log)
    cancel(rig)
    assert [one.what for one in rig.log[before:] if one.to == BOB] == ["CANCEL"]
    rig.udp(reply(only([one for one in rig.log if one.to == BOB], "CANCEL"), 200), BOB)
    assert not [one for one in rig.wait(2.0) if one.to == BOB]
    rig.udp(reply(invite, 487), BOB)
    rig.release()
    rig.wait(5.0)
    assert "487" in [one.what for one in rig.log[before:] if one.to == ALICE]


@pytest.mark.parametrize("rides", [True, False])
def test_silent_relay_for_early_media(rides: bool) -> None:
    """A phone rings that said so once: no INVITE goes there again while the relay has its description."""
    rig = Slow(media={"deadline": 4.0})
    if not rides:
        rig.stack.reception.openings = rig.stack.reception.passages = None
    invite = only(rig.invite(), "INVITE")
    rig.late = True
    rig.udp(reply(invite, 183, headers=TYPE, body=answer_sdp()), BOB)
    assert not [one for one in rig.wait(3.0) if one.to == BOB]


def test_a_second_relay() -> None:
    """The relay that is asked first does not answer: the next one gets the call, as it rings elsewhere."""
    rig = two("silent", "good")
    rig.invite()
    outs = rig.wait(1.2)
    (first, second) = (rig.relays[at].commands for at in (FIRST, SECOND))
    assert first == ["offer"] or second == ["offer"]
    invites = [one for one in (*rig.log, *outs) if one.what == "INVITE" and one.to == BOB]
    assert invites
    assert b"203.0.113." in invites[0].message.body


def test_nearly_too_long_for_udp() -> None:
    """RFC 3261 18.1.1: an INVITE that the relay may make too long for UDP is read first."""
    rig = MediaRig()
    held: list[Steered] = []
    send = Steered.send

    def noted(self: Steered, *given: Any) -> None:
        held.append(self)
        send(self, *given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Steered, "send", noted)
        rig.invite(headers=[("Subject", "x" * 500)])
        assert not held
        rig.invite(1)
        assert held


def test_waits_no_longer_than_hooks() -> None:
    """``limits.hook_time``: an INVITE whose relay is never done with it gets an answer all the same."""
    rig = Slow(media={"deadline": 500.0})
    rig.late = True
    rig.invite()
    outs = rig.wait(rig.stack.limits.hook_time + 1.0)
    assert {one.what for one in outs} == {"500"}
    assert rig.command("media.calls") == []


def test_a_fault_of_the_module() -> None:
    """An exception in the module: the INVITE fails closed, and the stack lives (docs/modules.md)."""
    rig = MediaRig()
    buckets = rig.media._took.buckets
    kept = buckets[:]
    buckets.clear()
    assert [one.what for one in rig.invite()] == ["100", "500"]
    buckets += kept
    assert only(rig.invite(1), "INVITE")


def test_responses_behind_one_are_bounded() -> None:
    """A phone sends one response after the other while the relay is slow: eight wait, the rest is dropped."""
    rig = Slow()
    invite = only(rig.invite(), "INVITE")
    rig.late = True
    rig.udp(reply(invite, 183, headers=TYPE, body=answer_sdp()), BOB)
    for _ in range(50):
        rig.udp(reply(invite, 180), BOB)
    before = len(rig.log)
    rig.release()
    assert [one.what for one in rig.log[before:]].count("180") == 8


PUBLIC = SDP.replace(b"192.0.2.1", b"198.51.100.200")
NAT = ("203.0.113.77", 30_001)


def nat_invite(sent_by: str, contact: str, to: str) -> bytes:
    return request(
        uri=f"sip:{to}@biloxi.test",
        to=f"<sip:{to}@biloxi.test>",
        via=f"SIP/2.0/UDP {sent_by};branch=z9hG4bKq;rport",
        headers=[("Contact", f"<sip:alice@{contact}>"), *TYPE],
        body=PUBLIC,
    )


@pytest.mark.parametrize("rides", [True, False])
@pytest.mark.parametrize(
    ("sent_by", "contact", "source", "to", "relayed"),
    [
        ("192.0.2.1:5060", "192.0.2.1", ALICE, "bob", False),
        # The phone that is called registered from behind a NAT.
        ("192.0.2.1:5060", "192.0.2.1", ALICE, "carol", True),
        # The caller is behind one, and knows its public address for media (STUN).
        ("192.168.7.8:5060", "192.168.7.8", NAT, "bob", True),
        ("203.0.113.77:5060", "203.0.113.77", NAT, "bob", True),
        ("203.0.113.77:30001", "192.168.7.8", NAT, "bob", True),
        ("203.0.113.77:30001", "192.168.7.8;x=203.0.113.77", NAT, "bob", True),
        ("phone.test:30001", "phone.test", NAT, "bob", False),
    ],
)
def test_profile_nat(sent_by: str, contact: str, source: Any, to: str, relayed: bool, rides: bool) -> None:
    """Profile ``nat``: who is behind a NAT has a relay, also where its SDP shows no sign of that."""
    rig = Slow(media={"profiles": ["nat"]})
    if not rides:
        rig.stack.reception.openings = rig.stack.reception.passages = None
    carol = "<sip:carol@biloxi.test>"
    via = "SIP/2.0/UDP 192.168.7.7:5060;branch=z9hG4bKr9;rport"
    headers = [("Contact", "<sip:carol@192.168.7.7>"), ("Expires", "600")]
    rig.udp(request("REGISTER", "sip:biloxi.test", via=via, to=carol, sender=carol, headers=headers), NAT)
    invite = only(rig.udp(nat_invite(sent_by, contact, to), source), "INVITE")
    assert (b"203.0.113.5" in invite.message.body) == relayed
    assert rig.engine.commands == (["offer"] if relayed else [])


@pytest.mark.parametrize("rides", [True, False])
def test_redirected_from_behind_a_nat(rides: bool) -> None:
    """RFC 5626 5.2: where the phone redirects the call, its next way back names the caller's flow, too."""
    rig = Slow(proxy=ProxyConfig(recurse=True))
    if not rides:
        rig.stack.reception.openings = rig.stack.reception.passages = None
    first = only(rig.udp(nat_invite("192.168.7.8:5060", "192.168.7.8", "bob"), NAT), "INVITE")
    moved = [("Contact", "<sip:bob@192.0.2.22>")]
    second = only(rig.udp(reply(first, 302, headers=moved), BOB), "INVITE")
    for one in (first, second):
        assert [value[:7] for value in one.message.get_all("record-route")][1:] == ["<sip:f-"]


OTHER = b"--x\r\nContent-Type: application/sdp\r\n\r\n" + SDP + b"\r\n--x--\r\n"


@pytest.mark.parametrize(
    ("headers", "body", "commands"),
    [
        ([("Content-Type", "text/plain"), ("Accept", "application/sdp")], SDP, []),
        ([("Content-Type", "text/plain"), ("Subject", "application/sdp")], SDP, []),
        ([("Content-Type", "text/plain")], SDP + b"\r\nContent-Type: application/sdp\r\n", []),
        ([*TYPE, ("Content-Encoding", "gzip")], SDP, []),
        ([*TYPE, ("e", "gzip")], SDP, []),
        ([("c", "application/sdp")], SDP, ["offer"]),
        ([("Content-Type", "application/SDP ; charset=x")], SDP, ["offer"]),
        # RFC 2046 5.1.1: what stands before the first part is nothing.
        ([("Content-Type", "multipart/mixed;boundary=x")], SDP + OTHER, ["offer"]),
    ],
)
@pytest.mark.parametrize("rides", [True, False])
def test_what_is_a_description(headers: Any, body: bytes, commands: list[str], rides: bool) -> None:
    """A body that begins as a description, and is none by its fields, is no relay's business; nor refused."""
    rig = Slow()
    if not rides:
        rig.stack.reception.openings = rig.stack.reception.passages = None
    contact = ("Contact", "<sip:alice@192.0.2.1>")
    invite = only(rig.udp(request(headers=[contact, *headers], body=body)), "INVITE")
    assert rig.engine.commands == commands
    if commands:
        assert rig.engine.last("offer")["sdp"] == SDP
        assert b"203.0.113.5" in invite.message.body
    else:
        assert invite.message.body == body


def test_engine_is_used() -> None:
    """One relay, three commands: nothing is asked twice."""
    rig = Slow()
    a_call(rig)
    assert isinstance(rig.engine, Engine)
    assert rig.engine.commands == ["offer", "answer", "delete"]
