"""What is read in brief of an ACK is what the reader reads."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from sansip.limits import DEFAULT
from sansip.wire import Request
from sansip.wire import ending as ending_module
from sansip.wire.ending import read_ending
from sansip.wire.reader import read_message
from tests.fuzz.mutate import change
from tests.wire.head_messages import MESSAGES

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


@pytest.fixture(scope="module", params=["Python", "C"], autouse=True)
def reader(request: pytest.FixtureRequest) -> Iterator[str]:
    """Have each test read by the pattern, then by the C module."""
    with pytest.MonkeyPatch.context() as patch:
        parts = None if request.param == "Python" else request.getfixturevalue("scanner").ending
        patch.setattr(ending_module, "read_ending_parts", parts)
        yield request.param


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


def test_a_plain_ack() -> None:
    """RFC 3261 17.1.1.3: this is what phones send after a 407."""
    assert agree(ACK)
    assert agree(ACK.replace(b"Max-Forwards: 70\r\n", b""))
    assert agree(ACK.replace(b"CSeq", b"Route: <sip:b.test;lr>\r\nProxy-Authorization: x\r\nCSeq"))
    assert not agree(ACK.replace(b"ACK", b"BYE"))
    assert not agree(ACK.replace(b";tag=r-2", b""))
    assert not agree(ACK.replace(b";branch", b";rport;branch"))


def test_spoiled_requests() -> None:
    """Near the edge of the plain form is where two readers would differ."""
    chance = random.Random(1)

    def spoiled() -> bytes:
        data = bytearray(chance.choice((ACK, ACK, ACK, chance.choice(MESSAGES))))
        for _ in range(chance.choice((1, 1, 1, 2, 3))):
            change(data, chance, [ACK, *MESSAGES])
        return bytes(data[:4_000])

    said = [agree(spoiled()) for _ in range(6_000)]
    assert 300 < sum(said) < 5_500


def test_each_octet_spoiled() -> None:
    """One octet changed, at each place: to what separates, ends, quotes, or is no text."""
    for at, octet in itertools.product(range(len(ACK)), b'\x00\r\n\t ,;:"<>@=\\%A0\x7f\x80\xff'):
        data = bytearray(ACK)
        data[at] = octet
        agree(bytes(data))


def test_each_line_twice_and_away() -> None:
    """RFC 3261 7.3.1: a field that stands twice, or has another spelling, is for the reader."""
    head, _, body = ACK.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    for at in range(1, len(lines)):
        agree(b"\r\n".join([*lines[:at], lines[at], *lines[at:]]) + b"\r\n\r\n" + body)
        away = [*lines[:at], *lines[at + 1 :]]
        assert agree(b"\r\n".join(away) + b"\r\n\r\n" + body) == lines[at].startswith(b"Max-F")
        name, _, value = lines[at].partition(b":")
        for odd in (name.upper(), name[:1].lower(), name + b" "):
            agree(b"\r\n".join([*lines[:at], odd + b":" + value, *lines[at + 1 :]]) + b"\r\n\r\n" + body)


@pytest.mark.parametrize(
    "limits",
    [
        replace(DEFAULT, header_size=200),
        replace(DEFAULT, head_size=200),
        replace(DEFAULT, message_size=200),
        replace(DEFAULT, header_parts=200),
        replace(DEFAULT, uri_size=200),
        replace(DEFAULT, header_count=8),
        replace(DEFAULT, via_count=8),
        replace(DEFAULT, route_count=8),
        replace(DEFAULT, contact_count=8),
    ],
)
def test_near_a_limit_the_reader_decides(limits: Any) -> None:
    """It has the right refusal."""
    assert read_ending(ACK, limits) is None


def test_time_is_linear_in_the_size() -> None:
    """A stranger's octets of each kind, as many as are read: no repeat is tried in two ways."""
    for piece in (b"a: b\r\n", b"Via: x\r\n", b" ", b"\x80", b"a.", b"a-", b";a=b", b'"', b"<", b"1"):
        for before in (b"ACK ", b"ACK sip:", b"ACK sip:b@", *[ACK[:at] for at in range(40, 240, 20)]):
            agree(before + piece * ((2_000 - len(before)) // len(piece)) + b"\r\n\r\n")


def test_both_readers_agree(scanner: Any) -> None:
    """The parts are the same; those of other octets than ASCII are read by the pattern."""
    parts = scanner.ending(ACK)
    assert parts == ending_module._read_plainly(ACK, ACK.find(b"\r\n\r\n"))
    wide = ACK.replace(b"A, B", "Zoë".encode())
    assert scanner.ending(wide) is None
    assert agree(wide)
