"""What is read in brief of an INVITE is what the reader reads; what goes on, and the 100, fit it."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.limits import DEFAULT
from sansip.proxy.loop import DECIDING
from sansip.proxy.octets import forwarded, trying
from sansip.transaction import server_key
from sansip.wire import Request, SipUri
from sansip.wire.opening import READER, read_opening
from sansip.wire.reader import read_message
from tests.wire.in_brief import InBrief, parts_by_pattern

INVITE = b"""INVITE sip:b.c@B.test:5060 SIP/2.0
Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa;rport
Max-Forwards: 70
From: "A, B" <sip:a@A.test;x=y>;tag=1
To: <sip:b@b.test>
Call-ID: 1@a.test
CSeq: 7 INVITE
Contact: <sip:a@192.0.2.1:5060;transport=udp>
User-Agent: phone
Content-Length: 4

body""".replace(b"\n", b"\r\n")
ROUTED = INVITE.replace(b"From:", b"Route: <sip:192.0.2.99;lr>\r\nFrom:")
PROVEN = ROUTED.replace(b"To:", b'Proxy-Authorization: Digest realm="a", qop=auth\r\nTo:')
ONCE = ("via", "from", "to", "call-id", "cseq", "content-length", "max-forwards", "contact")
# By these the route, or the copy that leaves, would differ.
OTHERS = {
    *("proxy-require", "authorization", "max-breadth", "record-route"),
    "timestamp",
}


pytestmark = pytest.mark.usefixtures("reader")


def agree(data: bytes) -> bool:
    """Assert that what is read in brief is what the reader reads; return whether it was."""
    opening = read_opening(data, DEFAULT)
    if opening is None:
        return False
    message = read_message(data, DEFAULT, True)
    assert isinstance(message, Request)
    assert not [key for key in ONCE if message.keys.count(key) != 1]
    uri: Any = message.uri
    assert isinstance(uri, SipUri)
    assert (message.method, opening.uri) == ("INVITE", message.uri_text)
    assert (opening.user, opening.host, opening.port) == (uri.user, uri.host, uri.port)
    assert len(uri.params) <= 1
    via = message.via
    assert (opening.sent_host, opening.sent_port, opening.branch) == (via.host, via.port, via.branch)
    assert (opening.sent_by, opening.key) == (via.sent_by, server_key(message))
    assert opening.rport == ("rport" in via.params)
    assert set(via.params) <= {"branch", "rport"}
    assert opening.via == message.first_line("via")
    assert (opening.from_, opening.to) == (message.first_line("from"), message.first_line("to"))
    sender: Any = message.from_.uri
    assert sender.scheme == message.to.uri.scheme == "sip"
    assert (opening.from_host, opening.from_tag, None) == (sender.host, message.from_tag, message.to_tag)
    assert (opening.call_id, int(opening.cseq)) == (message.call_id, message.cseq.number)
    assert opening.call_id_line == message.first_line("call-id")
    assert (opening.cseq_line, opening.contact) == (message.first_line("cseq"), message.first_line("contact"))
    contacts = message.contacts
    assert isinstance(contacts, list)
    assert len(contacts) == 1
    assert opening.hops == message.max_forwards
    assert not OTHERS & {*message.keys}
    assert opening.route == message.first_line("route")
    assert message.keys.count("route") <= 1
    assert opening.credentials == message.first_line("proxy-authorization")
    assert message.keys.count("proxy-authorization") <= 1
    decides = zip(message.keys, message.lines, strict=True)
    assert opening.deciding == tuple([line for key, line in decides if key in DECIDING])
    assert opening.body == message.body
    message.set_line("via", "Via: noted")
    assert opening.trying("Via: noted") == trying(message)
    message.remove("route")
    expected = forwarded(message, "sip:x", message.max_forwards, 60, "Via: ours", ["Record-Route: ours"])
    assert opening.forwarded("sip:x", "Record-Route: ours\r\n", "Via: ours\r\nVia: noted", 60) == expected
    if opening.credentials is not None:
        # RFC 3261 22.3: those for this server stay here.
        message.remove("proxy-authorization")
        expected = forwarded(message, "sip:x", message.max_forwards, 60, "Via: ours", ["Record-Route: ours"])
        given = "sip:x", "Record-Route: ours\r\n", "Via: ours\r\nVia: noted", 60, True
        assert opening.forwarded(*given) == expected
    return True


class TestInBrief(InBrief):
    """INVITEs, also through an outbound proxy, and with a password."""

    agree = staticmethod(agree)
    read = staticmethod(read_opening)
    plain = (PROVEN, INVITE, ROUTED)
    several = (b"User-Agent",)
    optional = (b"User-Agent", b"Route", b"Proxy-Auth")
    begun = (b"INVITE ", b"INVITE sip:", b"INVITE sip:b@", *[INVITE[:at] for at in range(40, 260, 20)])


def test_a_plain_request() -> None:
    """This is what phones and SIPp send."""
    assert agree(INVITE.replace(b":5060 SIP", b":5060;user=phone SIP"))
    assert agree(INVITE)


@pytest.mark.parametrize("name", sorted(OTHERS))
def test_fields_that_decide_are_for_the_reader(name: str) -> None:
    """RFC 3261 16.3, 16.4, 22.3, RFC 5393 5.3.3: in any spelling."""
    for spelled in (name, name.upper(), name.title()):
        line = f"{spelled}: 1\r\nUser-Agent".encode()
        assert not agree(INVITE.replace(b"User-Agent", line))


def test_both_readers_agree(scanner: Any) -> None:
    """The parts are the same, for other octets than ASCII as well: there the pattern reads."""
    for data in (INVITE, ROUTED, PROVEN):
        parts = scanner.opening(data)
        assert parts == parts_by_pattern(READER, data)
    data = INVITE
    wide = data.replace(b"A, B", "Zoë".encode())
    assert scanner.opening(wide) is None
    assert agree(wide)


def test_rport_twice() -> None:
    """RFC 3261 7.3.1: the reader refuses it, so that a failure of it later would leave the stack."""
    data = INVITE.replace(b";branch", b";rport;branch")
    assert agree(INVITE)
    assert not agree(data)
