"""Within dialogs: a stranger who has called one of our users reaches that user's phone, and no other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.interop.line import Line
from tests.interop.phone import Message, Phone
from tests.interop.siege import TRANSPORTS, Siege
from tests.interop.users import ask, credentials
from tools import peers

# The attacker's address, and the victim's phone.
ELSEWHERE, THERE = "127.0.0.66", "127.0.0.77"
PASSWORD = "wonderland"


@contextmanager
def besieged(directory: Path, transport: str) -> Iterator[tuple[Siege, Phone, Phone, Line]]:
    """The server, bob's phone, mallory's phone, and the victim's."""
    with ExitStack() as stack:
        users = {f"{one}@siege.test": PASSWORD for one in ("bob", "alice")}
        siege = stack.enter_context(Siege(directory, users=users))
        watch = stack.enter_context(siege.watched())
        bob = stack.enter_context(Phone("bob", siege.domain, "udp", siege.address("udp")))
        contact = [f"Contact: {bob.contact}"]
        assert ask(bob, "REGISTER", "sip:siege.test", PASSWORD, contact).what == "200"
        mallory = stack.enter_context(
            Phone("mallory", "elsewhere.example", transport, siege.address(transport), source=(ELSEWHERE, 0))
        )
        place = (THERE, peers.free_port())
        victim = stack.enter_context(Line("udp", siege.address("udp"), name="victim", source=place))
        yield siege, bob, mallory, victim
        assert victim.received() == []
    assert watch.spent < 1.0


def _acknowledge(phone: Phone, refused: Message) -> None:
    """The ACK for a failure: in the transaction of its INVITE (RFC 3261 17.1.1.3)."""
    number = refused.get("cseq").partition(" ")[0]
    copied = [f"{name}: {refused.get(name)}" for name in ("via", "from", "to", "call-id")]
    head = [f"ACK {phone._target} SIP/2.0", *copied, f"CSeq: {number} ACK", "Max-Forwards: 70"]
    phone.send("\r\n".join([*head, "Content-Length: 0", "", ""]))


def routes(answer: Message) -> list[str]:
    return [f"Route: {value}" for value in answer.all("record-route")[::-1]]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_mark_is_no_open_relay(tmp_path: Path, transport: str) -> None:
    """Issue 3: mallory has rung bob. With what his 180 told he reaches bob alone, as himself; from
    another address nobody does more with it; and a 486 tells nothing."""
    with besieged(tmp_path, transport) as (siege, bob, mallory, victim):
        mallory.invite("sip:bob@siege.test")
        invite = bob.expect("INVITE")
        bob.answer(invite, "180 Ringing")
        ringing = mallory.expect("180")
        target = ringing.get("contact").strip("<>")
        uri = f"sip:x@{victim.sent_by}"

        def send(phone: Phone, method: str, to: str, sender: str = "", *more: str) -> None:
            phone._cseq += 1
            lines = [f"From: {sender or mallory._local}", f"To: {ringing.get('to')}", *routes(ringing), *more]
            phone._request(method, to, [*lines, f"Call-ID: {mallory._call_id}"])

        asserted = "P-Asserted-Identity: <sip:boss@siege.test>"
        server = siege.address(transport)
        with Phone("eve", "elsewhere.example", transport, server, source=("127.0.0.67", 0)) as eve:
            for phone in (mallory, eve):
                for method in ("INFO", "INVITE", "MESSAGE", "OPTIONS", "NOTIFY", "BYE"):
                    for there in (uri, f"{target};maddr={victim.local[0]}", f"sip:x@{THERE};transport=tcp"):
                        send(phone, method, there, "", asserted)
                        assert phone.receive().what in ("403", "481")
                send(phone, "ACK", uri)
                # A name of ours within the dialog asks for the password.
                send(phone, "INFO", target, "<sip:alice@siege.test>;tag=caller")
                phone.expect("407")
        send(mallory, "INFO", target, "", asserted)
        info = bob.expect("INFO")
        assert not info.all("p-asserted-identity")
        bob.answer(info, "200 OK")
        mallory.expect("200")
        bob.answer(invite, "486 Busy Here")
        failed = mallory.expect("486")
        assert not failed.all("record-route")


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_strangers_challenge_gets_no_answer(tmp_path: Path, transport: str) -> None:
    """Issue 15: mallory answers bob's re-INVITE with a nonce that he fetched from the server. Bob's phone
    never sees it; and what it adds unasked mallory never sees."""
    with besieged(tmp_path, transport) as (_, bob, mallory, _victim):
        mallory._local, mallory._call_id = "<sip:alice@siege.test>;tag=x", "fetch"
        who = [f"From: {mallory._local}", "To: <sip:bob@siege.test>", "Call-ID: fetch"]
        mallory._request("MESSAGE", "sip:bob@siege.test", who)
        fetched = mallory.expect("407").get("proxy-authenticate")
        assert 'realm="siege.test"' in fetched
        mallory.invite("sip:bob@siege.test")
        bob.answer(bob.expect("INVITE"), "200 OK")
        mallory.established(mallory.expect("200"))
        bob.expect("ACK")
        for status, field in (("407", "Proxy-Authenticate"), ("401", "WWW-Authenticate")):
            for challenge in (fetched, 'Digest realm="SIEGE.test", nonce="mine", qop="auth", algorithm=MD5'):
                bob.within("INVITE")
                again = mallory.expect("INVITE")
                names = ("via", "from", "to", "call-id", "cseq")
                copied = [f"{name}: {value}" for name, value in again.fields if name in names]
                head = [f"SIP/2.0 {status} Who Are You", *copied, f"{field}: {challenge}"]
                mallory.send("\r\n".join([*head, "Content-Length: 0", "", ""]))
                refused = bob.expect("502")
                assert not refused.all("proxy-authenticate")
                assert not refused.all("www-authenticate")
                # RFC 3261 17.1.1.3: the server's own, for what mallory answered.
                mallory.expect("ACK")
                _acknowledge(bob, refused)
        known = credentials(fetched, "BYE", bob._target, "bob", PASSWORD)
        bob._cseq += 1
        lines = [f"From: {bob._local}", f"To: {bob._remote}", f"Call-ID: {bob._call_id}"]
        lines += [f"Route: {route}" for route in bob._routes]
        other = 'Digest username="bob", realm="elsewhere", nonce="n", uri="sip:x", response="0"'
        lines += [f"Proxy-Authorization: {known}", f"Authorization: {known}", f"Authorization: {other}"]
        bob._request("BYE", bob._target, lines)
        bye = mallory.expect("BYE")
        assert not bye.all("proxy-authorization")
        shown = " ".join(value for name, value in bye.fields if name == "authorization")
        assert re.findall(r'realm="([^"]*)"', shown) == ["elsewhere"]
        mallory.answer(bye, "200 OK")
        bob.expect("200")
