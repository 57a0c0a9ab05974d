"""Multipart bodies (RFC 2046)."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansip.errors import LocalProtocolError, RemoteProtocolError
from sansip.wire import Part, Request, build_multipart, message_parts, parse_multipart

BODY = (
    b"preamble\r\n--x\r\nContent-Type: text/plain;\r\n charset=utf-8\r\nContent-ID: <1>\r\n\r\nhello\r\n"
    b"--x  \t\r\n\r\nno headers\r\n--xy is not it\r\n"
    b"--x\r\nContent-Type: application/octet-stream\r\n\r\n\x00\r\n\xff\r\n"
    b"--x\r\nX-Only: headers\r\n\r\n--x--\r\nepilogue\r\n--x\r\n"
)


def test_parts() -> None:
    """Preamble, epilogue, padding, folds, octets, and boundaries that only look like it."""
    parts = parse_multipart(BODY, "x")
    assert [part.body for part in parts] == [b"hello", b"no headers\r\n--xy is not it", b"\x00\r\n\xff", b""]
    assert parts[0].get("content-type") == "text/plain; charset=utf-8"
    assert parts[0].headers[1] == ("Content-ID", "<1>")
    assert [part.content_type.value for part in parts] == [
        "text/plain",
        "text/plain",
        "application/octet-stream",
        "text/plain",
    ]
    assert parts[3].get("X-Only") == "headers"
    assert parts[3].get("X-None") is None


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "closing"),
        (b"--x--", "closing"),
        (b"--x\r\n\r\nabc", "closing"),
        (b"--x\r\n\r\nabc\r\n--x", "closing"),
        (b"--x\r\nno colon\r\n\r\nabc\r\n--x--", "malformed header"),
        (b"--x\r\n" * 66 + b"--x--", "more than 64"),
    ],
)
def test_malformed(body: bytes, said: str) -> None:
    """A missing part, or one too many."""
    with pytest.raises(RemoteProtocolError, match=said):
        parse_multipart(body, "x")


@pytest.mark.parametrize("boundary", ["", "x" * 71, "a\r\nb", "é", "a ", '"'])
def test_boundaries_that_are_none(boundary: str) -> None:
    """RFC 2046 5.1.1: 1 to 70 characters of a small set."""
    with pytest.raises(RemoteProtocolError):
        parse_multipart(BODY, boundary)
    with pytest.raises(LocalProtocolError):
        build_multipart([Part()], boundary)


def test_of_a_message() -> None:
    """By its Content-Type; None for a body that is no multipart."""
    message = Request.build("MESSAGE", "sip:h", [("Content-Type", 'multipart/mixed; boundary="x"')], BODY)
    parts = message_parts(message)
    assert parts is not None
    assert len(parts) == 4
    message.set("Content-Type", "multipart/mixed")
    with pytest.raises(RemoteProtocolError, match="boundary"):
        message_parts(message)
    message.set("Content-Type", "text/plain")
    assert message_parts(message) is None
    message.remove("Content-Type")
    assert message_parts(message) is None


def test_nothing_to_build() -> None:
    """A multipart has a part, and no part holds the boundary or a line end in a header."""
    for parts in ([], [Part(body=b"a\r\n--x")], [Part([("X", "a\r\nb")])]):
        with pytest.raises(LocalProtocolError):
            build_multipart(parts, "x")


PARTS = st.lists(
    st.builds(
        Part,
        st.lists(
            st.tuples(st.sampled_from(["Content-Type", "X-A"]), st.sampled_from(["text/plain", "é", ""]))
        ),
        st.binary(max_size=40),
    ),
    min_size=1,
    max_size=5,
)


@given(PARTS, st.sampled_from(["bound", "a b", "=_?:x"]))
def test_round_trip(parts: list[Part], boundary: str) -> None:
    """A built body is taken apart to the same parts."""
    content_type, body = build_multipart(parts, boundary, subtype="related", params=";type=text")
    message = Request.build("MESSAGE", "sip:h", [("Content-Type", content_type)], body)
    assert message.content_type is not None
    assert message.content_type.boundary == boundary
    assert message_parts(message) == parts


@given(st.binary(), st.lists(st.sampled_from([b"--x", b"\r\n", b"--", b"a", b":", b" "]), max_size=20))
def test_any_octets(start: bytes, rest: list[bytes]) -> None:
    """Parts or a RemoteProtocolError, whatever comes."""
    for body in (start, start + b"\r\n--x" + b"".join(rest), b"".join(rest)):
        with contextlib.suppress(RemoteProtocolError):
            assert parse_multipart(body, "x")
