"""Calls that pass as octets through a relay, beside the same calls as messages: nobody sees a difference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sansip.actions import SendDatagram
from sansip.proxy import ProxyConfig
from sansip.proxy.steered import Steered
from tests.modules.media.rig import FIRST, SDP, SECOND, TYPE, MediaRig, answer_sdp, two
from tests.relays import Engine
from tests.rig import ALICE, BOB, Out, only, reply, request

pytestmark = pytest.mark.usefixtures("both")

EVE = ("192.0.2.66", 5060)


class Slow(MediaRig):
    """While ``late`` is set the relay's answers wait for ``release``."""

    late = False

    def __init__(self, **options: Any) -> None:
        self.kept: list[SendDatagram] = []
        super().__init__(**options)

    def _to_relay(self, action: SendDatagram) -> list[Out]:
        if self.late:
            self.kept.append(action)
            return []
        return super()._to_relay(action)

    def release(self) -> None:
        self.late = False
        kept, self.kept = self.kept, []
        for action in kept:
            super()._to_relay(action)


def cancel(rig: MediaRig, source: Any = ALICE) -> None:
    """CANCEL call 0."""
    rig.udp(request("CANCEL", branch="z9hG4bKc0", from_tag="t0", call_id="call0"), source)


def crossed() -> tuple[Slow, Out]:
    """Return a call and its INVITE: the CANCEL came while the relay has the answer of the 2xx."""
    rig = Slow()
    invite = only(rig.invite(), "INVITE")
    rig.udp(reply(invite, 180), BOB)
    rig.late = True
    rig.udp(reply(invite, 200, headers=TYPE, body=answer_sdp()), BOB)
    cancel(rig)
    return rig, invite


def a_call(rig: Slow) -> None:
    rig.answered()
    bye = only(rig.within("BYE", cseq=2), "BYE")
    rig.udp(reply(bye, 200), BOB)


def rings(rig: Slow) -> None:
    """Ringing without a description, then early media."""
    invite = only(rig.invite(), "INVITE")
    rig.udp(reply(invite, 180), BOB)
    rig.udp(reply(invite, 183, headers=TYPE, body=answer_sdp()), BOB)
    rig.udp(reply(invite, 200, headers=TYPE, body=answer_sdp()), BOB)


def rings_for_ever(rig: Slow) -> None:
    """RFC 3261 16.8, Timer C; then ``limits.ring_time``."""
    rig.udp(reply(only(rig.invite(), "INVITE"), 180), BOB)
    rig.wait(400.0)


def ack_in_advance(rig: Slow) -> None:
    """An ACK with the branch of its INVITE, which has no answer yet, ends nothing."""
    rig.invite()
    rig.udp(request("ACK", branch="z9hG4bKc0", from_tag="t0", call_id="call0", to_tag="x"))
    rig.wait(400.0)


def refused(rig: Slow) -> None:
    rig.udp(reply(only(rig.invite(), "INVITE"), 486), BOB)


def invite_again(rig: Slow) -> None:
    """The caller repeats its INVITE while the relay is asked, and once it rings."""
    rig.late = True
    rig.invite()
    rig.invite()
    rig.release()
    invite = only([one for one in rig.log if one.to == BOB], "INVITE")
    rig.udp(reply(invite, 180), BOB)
    rig.invite()


def phone_silent(rig: Slow) -> None:
    """RFC 3261 17.1.1.2: the INVITE goes again, as it left; then the phone answers."""
    invite = only(rig.invite(), "INVITE")
    rig.wait(1.2)
    rig.udp(reply(invite, 200, headers=TYPE, body=answer_sdp()), BOB)


def relay_slow(rig: Slow) -> None:
    """Nothing leaves for 0.6 s: RFC 3261 17.1.1.2 counts from the time that the INVITE left."""
    rig.late = True
    rig.invite()
    rig.wait(0.6)
    rig.release()
    rig.wait(0.6)


def cancelled_early(rig: Slow) -> None:
    """RFC 3261 9.2: a CANCEL while the relay is asked; nothing leaves afterwards."""
    rig.late = True
    rig.invite()
    cancel(rig)
    rig.release()


def early_media_for_ever(rig: Slow) -> None:
    """The same, while the relay has the description of early media."""
    invite = only(rig.invite(), "INVITE")
    rig.late = True
    rig.udp(reply(invite, 183, headers=TYPE, body=answer_sdp()), BOB)
    rig.wait(400.0)


def cancel_of_another(rig: Slow) -> None:
    """A CANCEL from elsewhere, while the relay is asked, ends nothing."""
    rig.late = True
    rig.invite()
    cancel(rig, EVE)
    rig.release()
    invite = only([one for one in rig.log if one.to == BOB], "INVITE")
    rig.udp(reply(invite, 200, headers=TYPE, body=answer_sdp()), BOB)


def cancelled(rig: Slow) -> None:
    invite = only(rig.invite(), "INVITE")
    rig.udp(reply(invite, 180), BOB)
    cancel(rig)
    rig.udp(reply(only([one for one in rig.log if one.to == BOB], "CANCEL"), 200), BOB)
    rig.udp(reply(invite, 487), BOB)


def overtaken(rig: Slow) -> None:
    """A 200 comes while early media is at the relay: it waits behind it."""
    invite = only(rig.invite(), "INVITE")
    rig.late = True
    rig.udp(reply(invite, 183, headers=TYPE, body=answer_sdp()), BOB)
    rig.udp(reply(invite, 200, headers=TYPE, body=answer_sdp()), BOB)
    rig.release()


def answer_again(rig: Slow) -> None:
    """RFC 3261 13.3.1.4: a 2xx that comes again leaves as the first did, whatever the relay would say now."""
    invite = only(rig.invite(), "INVITE")
    ok = reply(invite, 200, headers=TYPE, body=answer_sdp())
    rig.udp(ok, BOB)
    rig.engine.mood = "silent"
    rig.udp(ok, BOB)
    rig.udp(ok, BOB)


def another_answer(rig: Slow) -> None:
    """A 2xx comes again with another description: RFC 3261 13.2.1, the first one is the answer."""
    invite = only(rig.invite(), "INVITE")
    for port in (5000, 6000, 5000):
        rig.udp(reply(invite, 200, headers=TYPE, body=answer_sdp(port)), BOB)


def blank_line(rig: Slow) -> None:
    """The answer ends in an empty line: it is a description all the same, and the media pass the relay."""
    invite = only(rig.invite(), "INVITE")
    rig.udp(reply(invite, 200, headers=TYPE, body=answer_sdp() + b"\r\n"), BOB)


def fork_below(rig: Slow) -> None:
    """RFC 3261 13.2.2.4: another phone answers as well."""
    invite = only(rig.invite(), "INVITE")
    for tag, port in (("bob", 5000), ("other", 6000)):
        rig.udp(reply(invite, 200, tag=tag, headers=TYPE, body=answer_sdp(port)), BOB)


def without_tag(rig: Slow) -> None:
    """A 2xx of RFC 2543."""
    invite = only(rig.invite(), "INVITE")
    rig.udp(reply(invite, 200, tag=None, headers=TYPE, body=answer_sdp()), BOB)


def no_relay(rig: Slow) -> None:
    rig.engine.mood = "gone"
    rig.invite()


def full(rig: Slow) -> None:
    rig.engine.mood = "full"
    rig.invite()


def no_answer(rig: Slow) -> None:
    """The relay dies between offer and answer: both sides hear a BYE."""
    invite = only(rig.invite(), "INVITE")
    rig.engine.mood = "silent"
    rig.udp(reply(invite, 200, headers=TYPE, body=answer_sdp()), BOB)
    rig.wait(1.5)


def odd_answer(rig: Slow) -> None:
    invite = only(rig.invite(), "INVITE")
    rig.engine.mood = "wrong"
    rig.udp(reply(invite, 200, headers=TYPE, body=answer_sdp()), BOB)
    rig.wait(0.1)


def no_description(rig: Slow) -> None:
    """A 2xx without one: the INVITE's offer has no answer, and the caller judges that."""
    rig.udp(reply(only(rig.invite(), "INVITE"), 200), BOB)


def nobody_there(rig: Slow) -> None:
    """RFC 3261 16.9: the phone's port is closed."""
    rig.failed(only(rig.invite(), "INVITE"))


def moved_on(rig: Slow) -> None:
    """An INVITE, then a re-INVITE and a BYE of the callee."""
    rig.answered()
    again = only(rig.within("INVITE", cseq=2, body=SDP.replace(b"4000", b"4002")), "INVITE")
    rig.udp(reply(again, 200, headers=TYPE, body=answer_sdp(5002)), BOB)


SCENARIOS = [
    a_call,
    rings,
    rings_for_ever,
    ack_in_advance,
    refused,
    invite_again,
    phone_silent,
    relay_slow,
    cancelled_early,
    cancel_of_another,
    rings_for_ever,
    early_media_for_ever,
    cancelled,
    overtaken,
    answer_again,
    another_answer,
    blank_line,
    fork_below,
    without_tag,
    no_relay,
    full,
    no_answer,
    odd_answer,
    no_description,
    nobody_there,
    moved_on,
]


def played(
    scenario: Callable[[Slow], None], rides: bool, **options: Any
) -> tuple[list[Any], list[str], Slow]:
    """Play a scenario to its end; return what left, and the relay's commands."""
    rig = Slow(**options)
    if not rides:
        reception = rig.stack.reception
        reception.openings = reception.passages = None
    scenario(rig)
    rig.wait(100.0)
    left = [(one.what, one.to, one.message.body) for one in rig.log if one.message is not None]
    return left, rig.engine.commands, rig


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


def test_a_fault_of_the_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception in the module: the INVITE fails closed, and the stack lives (docs/modules.md)."""
    rig = MediaRig()
    monkeypatch.setattr(type(rig.media), "_make", lambda *given: 1 / 0)
    assert [one.what for one in rig.invite()] == ["100", "500"]
    monkeypatch.undo()
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
