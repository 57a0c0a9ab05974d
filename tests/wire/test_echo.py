"""What is read of a response in brief is what the reader reads; what goes back is what a message would be."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from sansip.limits import DEFAULT
from sansip.wire import Response
from sansip.wire import echo as echo_module
from sansip.wire.echo import read_echo
from sansip.wire.reader import read_message
from tests.fuzz.mutate import change
from tests.wire.head_messages import MESSAGES

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


@pytest.fixture(scope="module", params=["Python", "C"], autouse=True)
def reader(request: pytest.FixtureRequest) -> Iterator[str]:
    """Have each test read by the pattern, then by the C module."""
    with pytest.MonkeyPatch.context() as patch:
        parts = None if request.param == "Python" else request.getfixturevalue("scanner").echo
        patch.setattr(echo_module, "read_echo_parts", parts)
        yield request.param


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
    assert echo.repeats(*lines) == ";tag=2"
    for at in range(4):
        # RFC 3261 8.2.6.2: each of them is copied.
        other = [*lines]
        other[at] += "x"
        assert echo.repeats(*other) is None
    assert echo.goes_back


def test_spoiled_responses() -> None:
    """Near the edge of the plain form is where two readers would differ."""
    chance = random.Random(1)

    def spoiled() -> bytes:
        data = bytearray(chance.choice((*OKS, chance.choice(MESSAGES))))
        for _ in range(chance.choice((1, 1, 1, 2, 3))):
            change(data, chance, [*OKS, *MESSAGES])
        return bytes(data[:4_000])

    said = [agree(spoiled()) for _ in range(6_000)]
    assert 500 < sum(said) < 5_500


def test_each_octet_spoiled() -> None:
    """One octet changed, at each place: to what separates, ends, quotes, or is no text."""
    for plain in OKS:
        for at, octet in itertools.product(range(len(plain)), b'\x00\r\n\t ,;:"<>@=\\%A0\x7f\x80\xff'):
            data = bytearray(plain)
            data[at] = octet
            agree(bytes(data))


def test_each_line_twice_and_away() -> None:
    """RFC 3261 7.3.1: a field that stands twice, or has another spelling, is for the reader."""
    head, _, body = OK.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    for at in range(1, len(lines)):
        twice = [*lines[:at], lines[at], *lines[at:]]
        expected = lines[at].startswith((b"Via", b"Server", b"Allow", b"Record-Route"))
        assert agree(b"\r\n".join(twice) + b"\r\n\r\n" + body) == expected
        agree(b"\r\n".join([*lines[:at], *lines[at + 1 :]]) + b"\r\n\r\n" + body)
        name, _, value = lines[at].partition(b":")
        for odd in (name.upper(), name[:1].lower(), name + b" "):
            other = [*lines[:at], odd + b":" + value, *lines[at + 1 :]]
            agree(b"\r\n".join(other) + b"\r\n\r\n" + body)


@pytest.mark.parametrize(
    "limits",
    [
        replace(DEFAULT, header_size=300),
        replace(DEFAULT, head_size=300),
        replace(DEFAULT, message_size=300),
        replace(DEFAULT, header_parts=300),
        replace(DEFAULT, header_count=10),
        replace(DEFAULT, via_count=10),
        replace(DEFAULT, route_count=10),
        replace(DEFAULT, contact_count=10),
    ],
)
def test_near_a_limit_the_reader_decides(limits: Any) -> None:
    """It has the right refusal."""
    assert read_echo(OK, limits) is None


def test_time_is_linear_in_the_size() -> None:
    """A stranger's octets of each kind, as many as are read: no repeat is tried in two ways."""
    for piece in (
        b"a: b\r\n",
        b"Via: x\r\n",
        b", SIP/2.0/UDP a",
        b";received=1.1.1.1",
        b" ",
        b"\x80",
        b"a-",
        b";a=b",
        b'"',
        b"Server: x\r\n",
    ):
        for before in (
            *(b"SIP/2.0 ", b"SIP/2.0 200 ", OK[:60], OK[:100], OK[:150], OK[:-8]),
            *(one[:at] for one in (JOINED, NOTED) for at in (80, 106, 130, 160)),
        ):
            agree(before + piece * ((2_000 - len(before)) // len(piece)) + b"\r\n\r\n")


def test_both_readers_agree(scanner: Any) -> None:
    """The parts are the same, for other octets than ASCII as well: there the pattern reads."""
    for data in OKS:
        parts = scanner.echo(data)
        assert parts == echo_module._read_plainly(data, data.find(b"\r\n\r\n"))
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
