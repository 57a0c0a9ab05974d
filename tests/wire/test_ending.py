"""What is read in brief of an ACK is what the reader reads."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.limits import DEFAULT
from sansip.wire import Request
from sansip.wire.ending import READER, read_ending
from sansip.wire.reader import read_message
from tests.wire.in_brief import InBrief, parts_by_pattern

ACK = b"""ACK sip:b@b.test SIP/2.0
Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa;rport
Max-Forwards: 70
From: "A, B" <sip:a@A.test;x=y>;tag=1
To: <sip:b@b.test>;tag=r-2
Call-ID: 1@a.test
CSeq: 7 ACK
Content-Length: 0

""".replace(b"\n", b"\r\n")
ONCE = ("via", "from", "to", "call-id", "cseq", "content-length")


pytestmark = pytest.mark.usefixtures("reader")


def agree(data: bytes) -> bool:
    """Assert that what is read in brief is what the reader reads; return whether it was."""
    ending = read_ending(data, DEFAULT)
    if ending is None:
        return False
    message = read_message(data, DEFAULT, True)
    assert isinstance(message, Request)
    assert message.method == message.cseq.method == "ACK"
    assert not [key for key in ONCE if message.keys.count(key) != 1]
    via = message.via
    assert len(message.vias) == 1
    assert set(via.params) <= {"branch", "rport"}
    assert via.params.get("rport") is None
    assert (ending.sent_host, ending.sent_port, ending.branch) == (via.host, via.port, via.branch)
    assert (ending.to_tag, ending.call_id) == (message.to_tag, message.call_id)
    return True


class TestInBrief(InBrief):
    """ACKs of refusals."""

    agree = staticmethod(agree)
    read = staticmethod(read_ending)
    plain = (ACK,)
    several = (b"User-Agent",)
    optional = (b"Max-Forwards",)
    count = 8
    begun = (b"ACK ", b"ACK sip:", b"ACK sip:b@", *[ACK[:at] for at in range(40, 240, 20)])


def test_a_plain_ack() -> None:
    """RFC 3261 17.1.1.3: this is what phones send after a 407."""
    assert agree(ACK)
    assert agree(ACK.replace(b"Max-Forwards: 70\r\n", b""))
    assert agree(ACK.replace(b"CSeq", b"Route: <sip:b.test;lr>\r\nProxy-Authorization: x\r\nCSeq"))
    assert not agree(ACK.replace(b"ACK", b"BYE"))
    assert not agree(ACK.replace(b";tag=r-2", b""))
    assert not agree(ACK.replace(b";branch", b";rport;branch"))


def test_both_readers_agree(scanner: Any) -> None:
    """The parts are the same; those of other octets than ASCII are read by the pattern."""
    parts = scanner.ending(ACK)
    assert parts == parts_by_pattern(READER, ACK)
    wide = ACK.replace(b"A, B", "Zoë".encode())
    assert scanner.ending(wide) is None
    assert agree(wide)
