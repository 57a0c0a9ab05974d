"""A request read in brief is one that the reader takes, with the same values; all else is the reader's."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest

from sansip.errors import RemoteProtocolError
from sansip.limits import Limits
from sansip.wire import Request, SipUri, parse_message
from sansip.wire.usage import _parts_of, read_usage
from tests.fuzz.mutate import change
from tests.wire.head_messages import MESSAGES

pytestmark = pytest.mark.usefixtures("reader")

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

AUTHORIZATION = (
    'Authorization: Digest username="alice", realm="biloxi.test", nonce="a,b", uri="sip:x", response="1"'
)


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
    sender = message.from_.uri
    assert isinstance(sender, SipUri)
    assert (usage.from_user, usage.from_host.lower()) == (sender.user, sender.host)
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
    # RFC 3261 22.2, 22.3: where its password is asked for.
    assert check(octets([*LINES, AUTHORIZATION]))
    assert check(octets([*PUBLISH, AUTHORIZATION], b"abc"))
    assert check(octets([*MESSAGE, f"Proxy-{AUTHORIZATION}"], b"abc"))
    assert not check(octets([*LINES, AUTHORIZATION, AUTHORIZATION]))
    assert not check(octets([*LINES, f"Proxy-{AUTHORIZATION}"]))
    assert not check(octets([*MESSAGE, AUTHORIZATION], b"abc"))
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
        (10, "Proxy-Authorization: Digest a=b"),
        (10, "Allow"),
        (10, "Allowx"),
        (4, "To: <sip:a,b@biloxi.test>;tag=e-12"),
        (2, "Max-Forwards: 070"),
        (11, "Content-Length: 00"),
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


def test_both_read_the_same(scanner: Any) -> None:
    """The C module reads what the patterns read, and nothing else, with the same values."""
    plain = [octets(LINES), octets([*PUBLISH, AUTHORIZATION], b"abc"), octets(MESSAGE, b"abc")]
    chance = random.Random(2)
    taken = 0
    for data in (*plain, *MESSAGES):
        assert scanner.usage(data) == _parts_of(data)
    # One octet changed, at each place.
    for data in plain:
        for at, octet in itertools.product(range(len(data)), b'\x00\r\n\t ,;:"<>@=\\%A0\x7f\x80\xff'):
            changed = data[:at] + bytes([octet]) + data[at + 1 :]
            assert scanner.usage(changed) == _parts_of(changed)
    for _ in range(10_000):
        spoiled = bytearray(chance.choice(plain))
        for _ in range(chance.choice((1, 1, 2, 3))):
            change(spoiled, chance, [*plain, *MESSAGES])
        parts = _parts_of(bytes(spoiled))
        assert scanner.usage(bytes(spoiled)) == parts
        taken += parts is not None
    assert 500 < taken < 9_500


def test_in_any_order() -> None:
    """RFC 3261 7.3.1: what an answer copies keeps the order of the request."""
    chance = random.Random(3)
    for (start, *lines), body in ((LINES, b""), (MESSAGE, b"abc")):
        for _ in range(50):
            chance.shuffle(lines)
            usage = read_usage(octets([start, *lines], body), Limits())
            assert usage is not None
            copied = [one for one in lines if one.startswith(("Via", "From", "To", "Call-ID", "CSeq"))]
            assert list(usage.copied) == copied
