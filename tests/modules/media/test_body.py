"""The description is found in the whole body or in one part, and only its octets are replaced."""

from __future__ import annotations

import pytest

from sansip.modules.media.body import find, put
from sansip.wire import Request
from tests.modules.media.rig import SDP


def message(content_type: str | None, body: bytes, *headers: tuple[str, str]) -> Request:
    fields = [("Via", "SIP/2.0/UDP h;branch=z9hG4bK1"), *headers]
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
