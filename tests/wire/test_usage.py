"""A request read in brief is one that the reader takes, with the same values; all else is the reader's."""

from __future__ import annotations

import random

import pytest

from sansip.errors import RemoteProtocolError
from sansip.limits import Limits
from sansip.wire import Request, SipUri, parse_message
from sansip.wire.usage import read_usage

LINES = [
    "SUBSCRIBE sip:192.0.2.10:5060;gr=abc SIP/2.0",
    "Via: SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bKa",
    "Max-Forwards: 70",
    "From: <sip:alice@biloxi.test>;tag=w",
    "To: <sip:bob@biloxi.test>;tag=e-12",
    "Call-ID: one@192.0.2.1",
    "CSeq: 2 SUBSCRIBE",
    "Contact: <sip:alice@192.0.2.1>",
    "Event: presence",
    "Expires: 3600",
    "User-Agent: phone",
    "Content-Length: 0",
]
PUBLISH = [
    "PUBLISH sip:bob@biloxi.test SIP/2.0",
    *LINES[1:4],
    "To: <sip:bob@biloxi.test>",
    "Call-ID: one@192.0.2.1",
    "CSeq: 2 PUBLISH",
    "Event: presence",
    "SIP-If-Match: abc",
    "Content-Type: application/pidf+xml",
    "Content-Length: 3",
]
MESSAGE = [
    "MESSAGE sip:bob@biloxi.test SIP/2.0",
    *LINES[1:4],
    "To: <sip:bob@biloxi.test>",
    "Call-ID: one@192.0.2.1",
    "CSeq: 2 MESSAGE",
    "Date: Tue, 14 Nov 2023 22:13:00 GMT",
    "Subject: lunch",
    "Content-Type: text/plain",
    "Content-Length: 3",
]


def octets(lines: list[str], body: bytes = b"") -> bytes:
    return "\r\n".join([*lines, "", ""]).encode() + body


def check(data: bytes) -> bool:
    """Whether it is read in brief; then the reader has the same values."""
    usage = read_usage(data, Limits())
    if usage is None:
        return False
    message = parse_message(data, Limits(), datagram=True)
    assert isinstance(message, Request)
    assert isinstance(message.uri, SipUri)
    assert (usage.method, usage.host.lower()) == (message.method, message.uri.host)
    assert usage.user == message.uri.user
    assert (usage.gr is not None) == ("gr" in message.uri.params)
    assert usage.branch == message.via.branch
    assert usage.sent_host.lower() == message.via.host.lower()
    assert usage.tag == message.to_tag
    assert usage.call_id == message.call_id
    assert int(usage.cseq) == message.cseq.number
    assert usage.body == message.body
    assert dict(usage.lines) == {key: message.first_line(key) for key in message.keys}
    assert len(message.keys) == len(set(message.keys))
    return True


def test_ordinary_requests() -> None:
    """What phones send is read in brief."""
    assert check(octets(LINES))
    assert check(octets(PUBLISH, b"abc"))
    assert check(octets(MESSAGE, b"abc"))
    # What says nothing of the others is in no brief.
    assert not check(octets([*LINES, "Subject: lunch"]))


@pytest.mark.parametrize(
    ("at", "line"),
    [
        (0, "SUBSCRIBE sips:192.0.2.10 SIP/2.0"),
        (0, "SUBSCRIBE sip:192.0.2.10;maddr=192.0.2.3 SIP/2.0"),
        (1, "Via: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bKa"),
        (1, "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa, SIP/2.0/UDP 192.0.2.2"),
        (1, "Via: SIP/2.0/UDP 192.0.2.1;rport;branch=z9hG4bKa;rport"),
        (2, "Max-Forwards: 0"),
        (4, "t: <sip:bob@biloxi.test>;tag=e-12"),
        (6, "CSeq: 2 PUBLISH"),
        (9, "Expires: 3600\r\nExpires: 3600"),
        (10, "User-Agent: phone\r\n folded"),
        (10, "Route: <sip:192.0.2.10;lr>"),
        (10, "Require: eventlist"),
        (10, "Authorization: Digest a=b"),
        (10, "User-Agent: ph\x01ne"),
        (11, "Content-Length: 1"),
        (11, "User-Agent: phone"),
    ],
)
def test_others_are_the_readers(at: int, line: str) -> None:
    """A field in another spelling, or one by which more is decided, is left to the reader."""
    assert read_usage(octets([*LINES[:at], line, *LINES[at + 1 :]]), Limits()) is None


def test_changed_octets() -> None:
    """Whatever octet is another one: what is read in brief has the values that the reader finds."""
    chance = random.Random(1)
    taken = 0
    for _ in range(4_000):
        data = bytearray(octets(LINES) if chance.random() < 0.5 else octets(PUBLISH, b"abc"))
        for _ in range(chance.randint(1, 2)):
            data[chance.randrange(len(data))] = chance.choice(b' \t\r\n:;,<>@"=a0Z\x00\xff')
        try:
            taken += check(bytes(data))
        except RemoteProtocolError as error:
            raise AssertionError(f"read in brief, and refused: {bytes(data)!r}") from error
    assert taken


def test_limits() -> None:
    """A head that is near a limit is the reader's to measure."""
    data = octets(LINES)
    for name in ("header_parts", "header_size", "head_size", "uri_size", "message_size"):
        assert read_usage(data, Limits(**{name: 100})) is None
    assert read_usage(data, Limits(header_count=5)) is None
