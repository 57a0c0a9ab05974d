"""What is read of a response in brief is what the reader reads; what goes back is what a message would be."""

from __future__ import annotations

import random
from typing import Any

import pytest

from sansip.limits import DEFAULT
from sansip.wire import Response
from sansip.wire.echo import READER, read_echo
from sansip.wire.reader import read_message
from tests.wire.in_brief import InBrief, joined, parts_by_pattern, split

OK = b"""SIP/2.0 200 OK
Record-Route: <sip:192.0.2.99;lr;d=1>
Via: SIP/2.0/UDP 192.0.2.99:5060;branch=z9hG4bK1.2
Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa;rport=5060;received=192.0.2.1
From: "A, B" <sip:a@a.test>;tag=1
To: <sip:b@b.test>;tag=2
Call-ID: 1@a.test
CSeq: 7 INVITE
Contact: <sip:b@192.0.2.2:5060>
Server: phone
Allow: INVITE
Content-Length: 4

body""".replace(b"\n", b"\r\n")
# As SIPp writes them: the values of several Via on one line; as PJSIP does: the source noted in the top one.
JOINED = OK.replace(b"\r\nVia: SIP/2.0/UDP 192.0.2.1", b", SIP/2.0/UDP 192.0.2.1")
NOTED = OK.replace(b":5060;branch=z9hG4bK1.2", b":5060;rport=5060;received=192.0.2.99;branch=z9hG4bK1.2")
# RFC 5626 5.2: two values of ours, of which one or both name a flow.
TWICE = OK.replace(b"\r\nVia", b"\r\nRecord-Route: <sip:f-a@192.0.2.99;lr;d=1>\r\nVia", 1)
OKS = (OK, JOINED, NOTED, TWICE)
ONCE = ("from", "to", "call-id", "cseq", "content-length", "contact", "max-forwards")


pytestmark = pytest.mark.usefixtures("reader")


def agree(data: bytes) -> bool:
    """Assert that what is read in brief is what the reader reads; return whether it was."""
    echo = read_echo(data, DEFAULT)
    if echo is None:
        return False
    message = read_message(with_sound_lines(data), DEFAULT, True)
    assert isinstance(message, Response)
    assert not [key for key in ONCE if message.keys.count(key) > 1]
    assert echo.status == message.status
    # What the sender has noted in our Via is not ours.
    params = message.values("via")[0].split(";")
    own = [one for one in params if not one.startswith(("received=", "rport="))]
    assert (echo.top, echo.branch) == (f"Via: {';'.join(own)}", message.via.branch)
    assert echo.contact == message.first_line("contact")
    recorded = message.raw_lines("record-route") if "record-route" in message.keys else []
    assert echo.recorded == ("\r\n".join(recorded) or None)
    assert (echo.method, echo.body) == (message.cseq.method, message.body)
    message.pop_first_value("via")
    assert echo.goes_back == ("via" in message.keys)
    if echo.recorded is not None:
        for _ in recorded[1:]:
            at = message.keys.index("record-route")
            del message.keys[at], message.lines[at]
        message.set_line("record-route", "Record-Route: <sip:changed>")
        assert with_sound_lines(echo.octets("Record-Route: <sip:changed>")) == message.to_bytes()
        message.set_line("record-route", echo.recorded)
    assert with_sound_lines(echo.octets(None)) == message.to_bytes()
    return True


def with_sound_lines(data: bytes) -> bytes:
    """Return ``data`` with sound lines where they are compared with those of the request, and not read."""
    head, empty, body = data.partition(b"\r\n\r\n")
    sound = {b"From": b"<sip:a@a.test>;tag=1", b"To": b"<sip:b@b.test>;tag=2", b"Call-ID": b"1"}
    lines = []
    for line in head.split(b"\r\n"):
        name, colon, _ = line.partition(b": ")
        lines.append(name + colon + sound[name] if name in sound and colon else line)
    for name, value in sound.items():
        if not any(line.startswith(name + b": ") for line in lines):
            # RFC 3261 8.1.1: its absence shows when it is compared.
            lines.append(name + b": " + value)
    return b"\r\n".join(lines) + empty + body


class TestInBrief(InBrief):
    """Responses, with the spellings of Via that phones have."""

    agree = staticmethod(agree)
    read = staticmethod(read_echo)
    plain = OKS
    several = (b"Via", b"Server", b"Allow", b"Record-Route")
    # Of those that are repeated, the comparison with what was sent decides.
    optional = None
    size = 300
    count = 10
    least = 500
    pieces = (*InBrief.pieces, b", SIP/2.0/UDP a", b";received=1.1.1.1", b"Server: x\r\n")
    begun = (
        *(b"SIP/2.0 ", b"SIP/2.0 200 ", OK[:60], OK[:100], OK[:150], OK[:-8]),
        *[one[:at] for one in (JOINED, NOTED) for at in (80, 106, 130, 160)],
    )

    def test_any_order_of_lines(self) -> None:
        """RFC 3261 7.3.1: where the order of Via counts, it is not changed."""
        (start, *lines), body = split(OK)
        rest = [line for line in lines if not line.startswith(b"Via")]
        vias = [line for line in lines if line.startswith(b"Via")]
        chance = random.Random(1)
        for _ in range(200):
            chance.shuffle(rest)
            assert agree(joined([start, *rest[:3], *vias, *rest[3:]], body))


def test_a_plain_response() -> None:
    """This is what phones and SIPp send."""
    assert agree(OK)
    for data in OKS:
        is_repeated(data)


def is_repeated(data: bytes) -> None:
    echo = read_echo(data, DEFAULT)
    assert echo is not None
    assert echo.top == "Via: SIP/2.0/UDP 192.0.2.99:5060;branch=z9hG4bK1.2"
    lines = ('From: "A, B" <sip:a@a.test>;tag=1', "To: <sip:b@b.test>", "Call-ID: 1@a.test", "CSeq: 7 INVITE")
    via = echo.top
    assert echo.repeats(via, *lines, None)
    assert echo.tag == "2"
    # Of a request within a dialog.
    assert echo.repeats(via, lines[0], f"{lines[1]};tag=2", *lines[2:], "2")
    assert not echo.repeats(via, *lines, "2")
    assert not echo.repeats(f"{via}x", *lines, None)
    for at in range(4):
        # RFC 3261 8.2.6.2: each of them is copied.
        other = [*lines]
        other[at] += "x"
        assert not echo.repeats(via, other[0], other[1], other[2], other[3], None)
    assert echo.goes_back


def test_both_readers_agree(scanner: Any) -> None:
    """The parts are the same, for other octets than ASCII as well: there the pattern reads."""
    for data in (*OKS, OK.replace(b"Record-Route", b"Recorded")):
        parts = scanner.echo(data)
        assert parts == parts_by_pattern(READER, data)
    data = OK
    wide = data.replace(b"A, B", "Zoë".encode())
    assert scanner.echo(wide) is None
    assert agree(wide)


JOINS = (
    (b", SIP/2.0/UDP 192.0.2.1", True),
    (b", SIP/2.0/UDP 192.0.2.7, SIP/2.0/TCP 192.0.2.1", True),
    (b",SIP/2.0/UDP 192.0.2.1", False),
    (b" , SIP/2.0/UDP 192.0.2.1", False),
    (b",  SIP/2.0/UDP 192.0.2.1", False),
    (b", SIP/2.0/UDP 192.0.2.7,SIP/2.0/TCP 192.0.2.1", False),
    (b', SIP/2.0/UDP 192.0.2.7;x="a, b", SIP/2.0/TCP 192.0.2.1', False),
    (b", SIP / 2.0 / UDP 192.0.2.1", False),
    (b", , SIP/2.0/UDP 192.0.2.1", False),
)


@pytest.mark.parametrize(("between", "plain"), JOINS)
def test_joined_values_of_via(between: bytes, plain: bool) -> None:
    """RFC 3261 7.3.1: what goes back has the line without its first value, as the reader would write it."""
    assert agree(OK.replace(b"\r\nVia: SIP/2.0/UDP 192.0.2.1", between)) is plain


NOTES = (
    (b";received=192.0.2.99;branch=z9hG4bK1.2", True),
    (b";branch=z9hG4bK1.2;received=192.0.2.99", True),
    (b";branch=z9hG4bK1.2;received=192.0.2.99;rport=5060", True),
    (b";rport=5060;branch=z9hG4bK1.2;received=192.0.2.99", True),
    (b";received=192.0.2.99;branch=z9hG4bK1.2;received=192.0.2.99", False),
    (b";rport=5060;branch=z9hG4bK1.2;rport=5060", False),
    (b";rport=66000;branch=z9hG4bK1.2", False),
    (b";rport;branch=z9hG4bK1.2", False),
    (b";received=phone.test;branch=z9hG4bK1.2", False),
    (b";maddr=192.0.2.99;branch=z9hG4bK1.2", False),
)


@pytest.mark.parametrize(("params", "plain"), NOTES)
def test_what_a_phone_has_noted_in_our_via(params: bytes, plain: bool) -> None:
    """RFC 3261 18.2.1, RFC 3581 4: PJSIP notes the source of each request; twice is malformed (7.3.1)."""
    assert agree(OK.replace(b";branch=z9hG4bK1.2", params)) is plain
