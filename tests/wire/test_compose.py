"""Responses to requests (RFC 3261 8.2.6)."""

from __future__ import annotations

import pytest

from sansip.errors import LocalProtocolError, RemoteProtocolError
from sansip.wire import Request, parse_message, response_to
from sansip.wire.status import REASONS

REQUEST = (
    b"INVITE sip:bob@example.com SIP/2.0\r\n"
    b"v: SIP/2.0/UDP a;branch=z9hG4bKa,\r\n SIP/2.0/UDP b;branch=z9hG4bKb\r\n"
    b"Max-Forwards: 70\r\nf: <sip:a@h>;tag=1\r\nt: %s\r\nTimestamp: 54\r\n"
    b"Call-ID: x@y\r\nVia: SIP/2.0/UDP c;branch=z9hG4bKc\r\nCSeq: 1 INVITE\r\n\r\n"
)


def request(to: bytes = b"<sip:b@h>") -> Request:
    message = parse_message(REQUEST % to)
    assert isinstance(message, Request)
    return message


def test_copied_fields() -> None:
    """8.2.6.2: the Vias in their order, From, Call-ID and CSeq as they came; To with the tag."""
    response = response_to(request(), 180, to_tag="t1")
    assert response.to_bytes() == (
        b"SIP/2.0 180 Ringing\r\n"
        b"v: SIP/2.0/UDP a;branch=z9hG4bKa,\r\n SIP/2.0/UDP b;branch=z9hG4bKb\r\n"
        b"f: <sip:a@h>;tag=1\r\nt: <sip:b@h>;tag=t1\r\n"
        b"Call-ID: x@y\r\nVia: SIP/2.0/UDP c;branch=z9hG4bKc\r\nCSeq: 1 INVITE\r\n"
        b"Content-Length: 0\r\n\r\n"
    )
    assert response.to_tag == "t1"
    assert parse_message(response.to_bytes()).to_tag == "t1"


@pytest.mark.parametrize("to", [b"<sip:b@h>;tag=old", b"sip:b@h ; tag = old", b'"x" <sip:b@h;p=1>;a;Tag=old'])
def test_a_tag_is_not_added_twice(to: bytes) -> None:
    """8.2.6.2: a tag that is there already stays."""
    response = response_to(request(to), 200, to_tag="new")
    assert response.to_tag == "old"


@pytest.mark.parametrize(
    "to", [b"<sip:b@h>", b"sip:b@h", b"sip:b@h;x=1", b"<sip:b@h;tag=not>", b'"a;tag=b" <sip:b@h>']
)
def test_a_tag_is_added(to: bytes) -> None:
    """A part of the URI or the display name that looks like a tag is none."""
    assert response_to(request(to), 200, to_tag="new").to_tag == "new"
    assert response_to(request(to), 200, to_tag=None).to_tag is None


def test_100() -> None:
    """8.2.6.1: the Timestamp is copied, and no tag is added."""
    response = response_to(request(), 100, to_tag="t1")
    assert response.get("Timestamp") == "54"
    assert response.to_tag is None
    assert not response_to(request(), 180, to_tag="t1").has("Timestamp")


def test_headers_and_body() -> None:
    """They follow, and Content-Length is right or as given."""
    response = response_to(
        request(),
        405,
        "No",
        to_tag="t",
        headers=[("Allow", "INVITE"), ("Content-Type", "text/plain")],
        body=b"x",
    )
    assert response.reason == "No"
    assert response.lines[-3:] == ["Allow: INVITE", "Content-Type: text/plain", "Content-Length: 1"]
    assert response.body == b"x"
    assert response_to(request(), 499, to_tag=None).reason == "Bad Request"


@pytest.mark.parametrize(
    ("status", "reason"), [(99, None), (700, None), (700, "x"), (200, "a\r\nb"), (0, "x")]
)
def test_what_cannot_be_a_response(status: int, reason: str | None) -> None:
    """The caller's mistakes."""
    with pytest.raises(LocalProtocolError):
        response_to(request(), status, reason, to_tag=None)
    with pytest.raises(LocalProtocolError):
        response_to(request(), 200, to_tag=None, headers=[("X", "a\nb")])


def test_to_a_request_understood_in_part() -> None:
    """A missing field is left out, a field that is there twice is copied once."""
    with pytest.raises(RemoteProtocolError) as caught:
        parse_message(
            b"BYE sip:h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\n"
            b'To: "x <sip:b@h>\r\nTo: <sip:c@h>\r\nCSeq: 1 BYE\r\n\r\n'
        )
    partial = caught.value.message
    assert isinstance(partial, Request)
    response = response_to(partial, caught.value.status, to_tag="t")
    assert response.keys == ["via", "to", "cseq", "content-length"]
    assert response.lines[1] == 'To: "x <sip:b@h>;tag=t'
    partial.set("To", '"x <sip:b@h>;tag=there')
    assert response_to(partial, 400, to_tag="t").lines[1] == 'To: "x <sip:b@h>;tag=there'


@pytest.mark.parametrize(
    "reason",
    [
        "CSeq Out Of Order",
        "CSeq: 1 MESSAGE differs",
        "a header line without a colon: 'Call-ID x'",
        "Missing Call-ID header field",
        "content-length is missing",
        "Record-Route Too Long",
        "No Proxy-Authorization",
        "X: y",
    ],
)
def test_no_field_in_the_status_line(reason: str) -> None:
    """SIPp looks for ``CSeq`` from the beginning of a message on: the words stand in a Warning, behind it."""
    response = response_to(request(), 400, reason, to_tag="x")
    # RFC 3261 7.2, 20.43
    assert response.start_line == "SIP/2.0 400 Bad Request"
    (warning,) = response.typed("warning")
    assert (warning.code, warning.text) == (399, reason)
    assert response.keys.index("warning") > response.keys.index("cseq")


@pytest.mark.parametrize("reason", [*REASONS.values(), "Relaying Denied", "Not Your Address"])
def test_ordinary_words_stay(reason: str) -> None:
    """The phrases of the RFCs, and ours."""
    response = response_to(request(), 400, reason, to_tag="x")
    assert response.reason == reason
    assert not response.has("warning")
