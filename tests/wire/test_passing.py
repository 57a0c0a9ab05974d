"""What is read in brief of a request of a dialog is what the reader reads; what goes on fits it."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.limits import DEFAULT
from sansip.proxy.loop import DECIDING
from sansip.proxy.octets import forwarded
from sansip.transaction import server_key
from sansip.wire import Request, SipUri
from sansip.wire.passing import READER, read_passing
from sansip.wire.reader import read_message
from tests.wire.in_brief import InBrief, parts_by_pattern

BYE = b"""BYE sip:b@192.0.2.2:5060 SIP/2.0
Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa;rport
Route: <sip:192.0.2.99:5060;lr;d=1>
Max-Forwards: 70
From: "A, B" <sip:a@A.test;x=y>;tag=1
To: <sip:b@b.test>;tag=2
Call-ID: 1@a.test
CSeq: 7 BYE
User-Agent: phone
Content-Length: 4

body""".replace(b"\n", b"\r\n")
PROVEN = BYE.replace(b"To:", b'Proxy-Authorization: Digest realm="a", qop=auth\r\nTo:')
ONCE = ("via", "from", "to", "call-id", "cseq", "content-length", "max-forwards", "route")


pytestmark = pytest.mark.usefixtures("reader")


def agree(data: bytes) -> bool:
    """Assert that what is read in brief is what the reader reads; return whether it was."""
    passing = read_passing(data, DEFAULT)
    if passing is None:
        return False
    message = read_message(data, DEFAULT, True)
    assert isinstance(message, Request)
    assert not [key for key in ONCE if message.keys.count(key) != 1]
    uri: Any = message.uri
    assert isinstance(uri, SipUri)
    assert (passing.method, passing.uri) == (message.method, message.uri_text)
    assert (passing.host, passing.port) == (uri.host, uri.port)
    assert len(uri.params) <= 1
    via = message.via
    assert (passing.sent_host, passing.sent_port, passing.branch) == (via.host, via.port, via.branch)
    assert (passing.sent_by, passing.key) == (via.sent_by, server_key(message))
    assert passing.rport == ("rport" in via.params)
    assert set(via.params) <= {"branch", "rport"}
    assert passing.via == message.first_line("via")
    assert (passing.from_, passing.to) == (message.first_line("from"), message.first_line("to"))
    assert message.from_.uri.scheme == message.to.uri.scheme == "sip"
    assert (passing.from_tag, passing.to_tag) == (message.from_tag, message.to_tag)
    assert (passing.call_id, int(passing.cseq)) == (message.call_id, message.cseq.number)
    assert passing.call_id_line == message.first_line("call-id")
    assert (passing.cseq_line, passing.route) == (message.first_line("cseq"), message.first_line("route"))
    assert passing.hops == message.max_forwards
    assert not {"proxy-require", "authorization", "max-breadth"} & {*message.keys}
    assert passing.credentials == message.first_line("proxy-authorization")
    assert message.keys.count("proxy-authorization") <= 1
    decides = zip(message.keys, message.lines, strict=True)
    assert passing.deciding == tuple([line for key, line in decides if key in DECIDING])
    message.set_line("via", "Via: noted")
    message.remove("route")
    expected = forwarded(message, message.uri_text, message.max_forwards, 60, "Via: ours")
    assert passing.forwarded("Via: ours", "Via: noted", 60) == expected
    if passing.credentials is not None:
        # RFC 3261 22.3: those for this server stay here.
        message.remove("proxy-authorization")
        expected = forwarded(message, message.uri_text, message.max_forwards, 60, "Via: ours")
        assert passing.forwarded("Via: ours", "Via: noted", 60, True) == expected
    return True


class TestInBrief(InBrief):
    """BYEs, also with a password."""

    agree = staticmethod(agree)
    read = staticmethod(read_passing)
    plain = (PROVEN, BYE)
    several = (b"User-Agent",)
    optional = (b"User-Agent", b"Proxy-Auth")
    begun = (b"BYE ", b"BYE sip:", b"BYE sip:b@", *[BYE[:at] for at in range(40, 260, 20)])


def test_a_plain_request() -> None:
    """This is what phones and SIPp send."""
    assert agree(BYE.replace(b":5060 SIP", b":5060;transport=UDP SIP"))
    assert agree(BYE)
    assert agree(BYE.replace(b"BYE", b"ACK"))


def test_both_readers_agree(scanner: Any) -> None:
    """The parts are the same, for other octets than ASCII as well: there the pattern reads."""
    data = BYE
    parts = scanner.passing(data)
    assert parts == parts_by_pattern(READER, data)
    wide = data.replace(b"A, B", "Zoë".encode())
    assert scanner.passing(wide) is None
    assert agree(wide)


def test_rport_twice() -> None:
    """RFC 3261 7.3.1: the reader refuses it, so that a failure of it later would leave the stack."""
    data = BYE.replace(b";branch", b";rport;branch")
    assert agree(BYE)
    assert not agree(data)
