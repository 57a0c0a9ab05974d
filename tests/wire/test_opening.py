"""What is read in brief of an INVITE is what the reader reads; what goes on, and the 100, fit it."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from sansip.limits import DEFAULT
from sansip.proxy.loop import DECIDING
from sansip.proxy.octets import forwarded, trying
from sansip.wire import Request, SipUri
from sansip.wire import opening as opening_module
from sansip.wire.opening import read_opening
from sansip.wire.reader import read_message
from tests.fuzz.mutate import change
from tests.wire.head_messages import MESSAGES

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
BEGUN = tuple(INVITE[:at] for at in range(40, 260, 20))
ONCE = ("via", "from", "to", "call-id", "cseq", "content-length", "max-forwards", "contact")
# By these the route, or the copy that leaves, would differ.
OTHERS = {
    *("proxy-require", "authorization", "max-breadth", "record-route"),
    "timestamp",
}


@pytest.fixture(scope="module", params=["Python", "C"], autouse=True)
def reader(request: pytest.FixtureRequest) -> Iterator[str]:
    """Have each test read by the pattern, then by the C module."""
    with pytest.MonkeyPatch.context() as patch:
        parts = None if request.param == "Python" else request.getfixturevalue("scanner").opening
        patch.setattr(opening_module, "read_opening_parts", parts)
        yield request.param


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


def test_a_plain_request() -> None:
    """This is what phones and SIPp send."""
    assert agree(INVITE.replace(b":5060 SIP", b":5060;user=phone SIP"))
    assert agree(INVITE)


def test_any_order_of_lines() -> None:
    """RFC 3261 7.3.1: the order of fields of different names means nothing."""
    head, _, body = PROVEN.partition(b"\r\n\r\n")
    start, *lines = head.split(b"\r\n")
    chance = random.Random(1)
    for _ in range(200):
        chance.shuffle(lines)
        assert agree(b"\r\n".join([start, *lines]) + b"\r\n\r\n" + body)


def test_spoiled_requests() -> None:
    """Near the edge of the plain form is where two readers would differ."""
    chance = random.Random(1)

    def spoiled() -> bytes:
        data = bytearray(chance.choice((INVITE, PROVEN, ROUTED, chance.choice(MESSAGES))))
        for _ in range(chance.choice((1, 1, 1, 2, 3))):
            change(data, chance, [INVITE, *MESSAGES])
        return bytes(data[:4_000])

    said = [agree(spoiled()) for _ in range(6_000)]
    assert 300 < sum(said) < 5_500


def test_each_octet_spoiled() -> None:
    """One octet changed, at each place: to what separates, ends, quotes, or is no text."""
    for at, octet in itertools.product(range(len(INVITE)), b'\x00\r\n\t ,;:"<>@=\\%A0\x7f\x80\xff'):
        data = bytearray(INVITE)
        data[at] = octet
        agree(bytes(data))


def test_each_line_twice_and_away() -> None:
    """RFC 3261 7.3.1: a field that stands twice, or has another spelling, is for the reader."""
    head, _, body = PROVEN.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    optional = (b"User-Agent", b"Route", b"Proxy-Auth")
    for at in range(1, len(lines)):
        twice = [*lines[:at], lines[at], *lines[at:]]
        assert agree(b"\r\n".join(twice) + b"\r\n\r\n" + body) == lines[at].startswith(b"User-Agent")
        away = [*lines[:at], *lines[at + 1 :]]
        assert agree(b"\r\n".join(away) + b"\r\n\r\n" + body) == lines[at].startswith(optional)
        name, _, value = lines[at].partition(b":")
        for odd in (name.upper(), name[:1].lower(), name + b" "):
            agree(b"\r\n".join([*lines[:at], odd + b":" + value, *lines[at + 1 :]]) + b"\r\n\r\n" + body)


@pytest.mark.parametrize("name", sorted(OTHERS))
def test_fields_that_decide_are_for_the_reader(name: str) -> None:
    """RFC 3261 16.3, 16.4, 22.3, RFC 5393 5.3.3: in any spelling."""
    for spelled in (name, name.upper(), name.title()):
        line = f"{spelled}: 1\r\nUser-Agent".encode()
        assert not agree(INVITE.replace(b"User-Agent", line))


@pytest.mark.parametrize(
    "limits",
    [
        replace(DEFAULT, header_size=200),
        replace(DEFAULT, head_size=200),
        replace(DEFAULT, message_size=200),
        replace(DEFAULT, header_parts=200),
        replace(DEFAULT, uri_size=200),
        replace(DEFAULT, header_count=9),
        replace(DEFAULT, via_count=9),
        replace(DEFAULT, route_count=9),
        replace(DEFAULT, contact_count=9),
    ],
)
def test_near_a_limit_the_reader_decides(limits: Any) -> None:
    """It has the right refusal."""
    assert read_opening(INVITE, limits) is None


def test_time_is_linear_in_the_size() -> None:
    """A stranger's octets of each kind, as many as are read: no repeat is tried in two ways."""
    for piece in (b"a: b\r\n", b"Via: x\r\n", b" ", b"\x80", b"a.", b"a-", b";a=b", b'"', b"<", b"1"):
        for before in (
            b"INVITE ",
            b"INVITE sip:",
            b"INVITE sip:b@",
            *BEGUN,
        ):
            agree(before + piece * ((2_000 - len(before)) // len(piece)) + b"\r\n\r\n")


def test_both_readers_agree(scanner: Any) -> None:
    """The parts are the same, for other octets than ASCII as well: there the pattern reads."""
    for data in (INVITE, ROUTED, PROVEN):
        parts = scanner.opening(data)
        assert parts == opening_module._read_plainly(data, data.find(b"\r\n\r\n"))
    data = INVITE
    wide = data.replace(b"A, B", "Zoë".encode())
    assert scanner.opening(wide) is None
    assert agree(wide)


def test_rport_twice() -> None:
    """RFC 3261 7.3.1: the reader refuses it, so that a failure of it later would leave the stack."""
    data = INVITE.replace(b";branch", b";rport;branch")
    assert agree(INVITE)
    assert not agree(data)
