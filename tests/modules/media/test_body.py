"""The description is found in the whole body or in one part, and only its octets are replaced."""

from __future__ import annotations

import pytest

from sansip.modules.media.body import dialog_of, find, has_body, put, routes_in, routes_of
from sansip.proxy.sides import sides_in
from sansip.wire import Request, read_again
from sansip.wire.unread import LAZY, is_unread, unread_request
from tests.modules.media.rig import SDP


def message(content_type: str | None, body: bytes, *headers: tuple[str, str]) -> Request:
    fields = [("Via", "SIP/2.0/UDP h;branch=z9hG4bK1"), ("CSeq", "1 INVITE"), *headers]
    if content_type is not None:
        fields.append(("Content-Type", content_type))
    return Request.build("INVITE", "sip:a@b.test", fields, body)


def part(body: bytes, *headers: str) -> bytes:
    return b"--x\r\n" + "".join(f"{one}\r\n" for one in headers).encode() + b"\r\n" + body + b"\r\n"


def test_whole() -> None:
    """RFC 3261 7.4.1: without case, with parameters."""
    one = message("Application/SDP;charset=utf-8", SDP)
    found = find(one)
    assert found is not None
    put(one, found, b"v=0\r\n")
    assert (one.body, one.content_length) == (b"v=0\r\n", 5)


def test_the_session_of_several() -> None:
    """RFC 3261 20.11: a part with another disposition is no session of this call."""
    body = (
        part(b"x", "Content-Type: text/plain")
        + part(b"v=0\r\nearly", "Content-Type: application/sdp", "Content-Disposition: early-session")
        + part(SDP, "Content-Type: application/sdp", "Content-Disposition: session;handling=required")
        + b"--x--\r\n"
    )
    one = message('multipart/mixed; boundary="x"', body)
    found = find(one)
    assert found is not None
    assert found.sdp == SDP
    put(one, found, b"v=0\r\nnew\r\n")
    assert one.body == body.replace(SDP, b"v=0\r\nnew\r\n")
    with pytest.raises(ValueError, match="boundary"):
        put(one, found, b"v=0\r\n--x\r\n")


@pytest.mark.parametrize(
    ("content_type", "body", "headers"),
    [
        (None, SDP, ()),
        ("text/plain", SDP, ()),
        ("application/sdp", b"", ()),
        ("application/sdp", SDP, (("Content-Encoding", "gzip"),)),
        ("multipart/mixed", part(SDP, "Content-Type: application/sdp"), ()),
        ("multipart/mixed;boundary=x", part(SDP, "Content-Type: application/sdp"), ()),
        ("multipart/mixed;boundary=x", b"--x\r\n\x00:\r\n\r\n--x--\r\n", ()),
        ("multipart/mixed;boundary=x", (b"--x\r\n\r\n") * 100 + b"--x--", ()),
        ("multipart/mixed;boundary=x", part(SDP) + b"--x--\r\n", ()),
    ],
)
def test_none(content_type: str | None, body: bytes, headers: tuple[tuple[str, str], ...]) -> None:
    """What is not there, compressed, or not whole is left alone."""
    assert find(message(content_type, body, *headers)) is None


def unread(message: Request) -> Request:
    """The same request, as a quick way has it: nobody has read it."""
    data = message.to_bytes()
    return unread_request(message.method, (read_again, data))


@pytest.mark.skipif(not LAZY, reason="the compiled build has no such messages")
@pytest.mark.parametrize(
    ("sender", "tag"),
    [
        ("<sip:a@b.test>;tag=x1", "x1"),
        ('"A; tag=no" <sip:a@b.test;tag=no>;p=1;TAG=x2', "x2"),
        (r'"A\" <" <sip:a@b.test>;tag=x3', "x3"),
        ("sip:a@b.test;tag=x4", "x4"),
        ("A <sip:a@b.test>", ""),
    ],
)
def test_unread(sender: str, tag: str) -> None:
    """Description and dialog are found, and the description is replaced, in octets as in a message."""
    headers = (("From", sender), ("To", "<sip:b@b.test>;tag=t"), ("Call-ID", "c@b.test"))
    one = message("application/sdp", SDP, *headers)
    other = unread(one)
    assert dialog_of(other) == dialog_of(one) == ("c@b.test", tag, "t")
    for each in (one, other):
        assert has_body(each)
        found = find(each)
        assert found is not None
        assert found.sdp == SDP
        put(each, found, b"v=0\r\ns=-\r\n")
    assert is_unread(other)
    assert other.to_bytes() == one.to_bytes()


@pytest.mark.skipif(not LAZY, reason="the compiled build has no such messages")
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Content-Type: application/sdp", "c : Application/SDP;x=1"),
        ("Content-Type: application/sdp", "Content-Type: application/sdp\r\nContent-Encoding: gzip"),
        ("Content-Type: application/sdp", "Content-Type: text/plain"),
        ("Content-Length", "l"),
        ("Content-Type: application/sdp", "Content-Type:\r\n application/sdp"),
        ("Call-ID: c@b.test", "i: c@b.test"),
        ("From: <sip:a@b.test>;tag=x", 'f: "A\\"" <sip:a@b.test>\r\n ;tag=x'),
    ],
)
def test_unread_and_not_plain(old: str, new: str) -> None:
    """However it is written: the same is found and replaced as in a message that was read."""
    headers = (("From", "<sip:a@b.test>;tag=x"), ("To", "<sip:b@b.test>"), ("Call-ID", "c@b.test"))
    data = message("application/sdp", SDP, *headers).to_bytes().replace(old.encode(), new.encode(), 1)
    one = read_again(data)
    other = unread_request("INVITE", (read_again, data))
    assert dialog_of(other) == dialog_of(one)
    other = unread_request("INVITE", (read_again, data))
    found, wanted = find(other), find(one)
    assert (found is None) == (wanted is None)
    if found is not None and wanted is not None:
        assert found.sdp == wanted.sdp
        put(one, wanted, b"v=0\r\n")
        put(other, found, b"v=0\r\n")
    assert (other.body, other.content_length) == (one.body, one.content_length)


def test_no_body() -> None:
    """Nothing is looked for where nothing is."""
    one = message(None, b"")
    assert not has_body(one)
    if LAZY:
        other = unread(one)
        assert not has_body(other)
        assert is_unread(other)


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        ("Record-Route: <sip:h;lr;d=a1>", "Record-Route: <sip:h;lr;d=a1>"),
        ("record-route : <sip:h;lr;d=a1>", "record-route : <sip:h;lr;d=a1>"),
        ("Record-Route: <sip:h;lr>", ""),
        ("Max-Forwards: 70", ""),
    ],
)
def test_the_route_of_a_side(lines: str, text: str) -> None:
    """RFC 3261 20.30: it is found alike in a message that was read, and in one that was not."""
    data = (
        f"INVITE sip:Bob@B.test;x=1 SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nCSeq: 1 INVITE\r\n"
        f"Call-ID: a\r\nFrom: <sip:a@b.test>;tag=1\r\nTo: <sip:b@b.test>\r\n{lines}\r\n\r\n"
        "Record-Route: <sip:x;d=b>\r\n"
    ).encode()
    found = [unread_request("INVITE", (read_again, data))] if LAZY else []
    for one in (*found, read_again(data)):
        assert routes_of(one) == text


def test_the_routes_of_several() -> None:
    """One value below the other, or other lines between them."""
    data = b"\r\nRecord-Route: <sip:f-x@h;lr;d=a1>\r\nTo: b\r\nRecord-Route: <sip:h;lr;d=a1>\r\nTo: c\r\n\r\n"
    assert sides_in(routes_in(data)) == ["a1 f-x"]
