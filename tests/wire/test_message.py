"""Typed access, and building messages."""

from __future__ import annotations

import pytest

from sansip.errors import LocalProtocolError, RemoteProtocolError
from sansip.wire import (
    STAR,
    ContentType,
    CSeq,
    Request,
    Response,
    SipUri,
    parse_message,
    parse_uri,
)

HEADERS: list[tuple[str, object]] = [
    ("Via", "SIP/2.0/UDP h;branch=z9hG4bK1"),
    ("From", "<sip:a@h>;tag=1"),
    ("To", "<sip:b@h>"),
    ("Call-ID", "x"),
    ("CSeq", CSeq(7, "OPTIONS")),
]


def options(*more: tuple[str, object], body: bytes = b"") -> Request:
    return Request.build("OPTIONS", "sip:b@h", [*HEADERS, *more], body)


def test_built_request() -> None:
    """A built message parses to the same values."""
    request = options(("Contact", "*"), body=b"hello")
    assert request.lines[-1] == "Content-Length: 5"
    parsed = parse_message(request.to_bytes())
    assert isinstance(parsed, Request)
    assert parsed.to_bytes() == request.to_bytes()
    assert parsed.cseq == (7, "OPTIONS")
    assert parsed.contacts is STAR
    assert parsed.body == b"hello"
    assert repr(parsed) == "<Request OPTIONS sip:b@h>"
    assert str(parsed).startswith("OPTIONS sip:b@h SIP/2.0\r\nVia: ")


def test_built_response() -> None:
    """The usual phrase, or the given one, or that of its class."""
    assert Response.build(486, None, []).start_line == "SIP/2.0 486 Busy Here"
    assert Response.build(499, None, []).start_line == "SIP/2.0 499 Bad Request"
    response = Response.build(200, "", HEADERS)
    assert response.start_line == "SIP/2.0 200 "
    parsed = parse_message(response.to_bytes())
    assert isinstance(parsed, Response)
    assert (parsed.status, parsed.reason) == (200, "")
    parsed.set_status(180)
    assert parsed.copy().start_line == "SIP/2.0 180 Ringing"
    assert repr(parsed) == "<Response 180 Ringing>"


@pytest.mark.parametrize(
    ("method", "uri", "headers"),
    [
        ("IN VITE", "sip:h", []),
        ("", "sip:h", []),
        ("INVITE\r\nEvil:1", "sip:h", []),
        ("INVITE", "sip:h h", []),
        ("INVITE", "sip:h\r\nEvil: 1", []),
        ("INVITE", "", []),
        ("INVITE", "sip:h", [("Sub ject", "x")]),
        ("INVITE", "sip:h", [("Subject", "x\r\nEvil: 1")]),
    ],
)
def test_requests_that_cannot_be_built(method: str, uri: str, headers: list[tuple[str, object]]) -> None:
    """A mistake of the caller is reported where it is made."""
    with pytest.raises(LocalProtocolError):
        Request.build(method, uri, headers)


def test_statuses_that_cannot_be_built() -> None:
    """RFC 3261 21: 100 to 699, and no line end in the phrase."""
    for status, reason in ((99, None), (700, None), (200, "O\nK"), (200, "O\rK")):
        with pytest.raises(LocalProtocolError):
            Response.build(status, reason, [])


def test_request_uri() -> None:
    """Parsed once, and changed by either form."""
    request = options()
    assert isinstance(request.uri, SipUri)
    assert request.uri is request.uri
    request.set_uri(parse_uri("tel:+1"))
    assert request.start_line == "OPTIONS tel:+1 SIP/2.0"
    with pytest.raises(LocalProtocolError):
        request.set_uri("nonsense")
    assert request.uri_text == "tel:+1"


def test_absent_fields() -> None:
    """None, or an empty list; what no message can be without is an error."""
    request = options()
    assert request.max_forwards is None
    assert request.expires is None
    assert request.content_type is None
    assert request.contacts == []
    assert request.routes == request.record_routes == request.paths == []
    assert request.require == request.proxy_require == request.supported == []
    assert request.typed("Subject") is None
    empty = Request.build("OPTIONS", "sip:h", [])
    for name in ("via", "from_", "to", "from_tag", "to_tag", "call_id", "cseq"):
        with pytest.raises(RemoteProtocolError, match="missing") as caught:
            getattr(empty, name)
        assert caught.value.message is empty
    assert empty.vias == []
    assert empty.reply_via is None


def test_present_fields() -> None:
    """The common ones as attributes."""
    request = options(
        ("Max-Forwards", "0070"),
        ("Expires", "60"),
        ("Content-Type", "multipart/Mixed; Boundary=x"),
        ("Route", "<sip:r;lr>, <sip:s>"),
        ("Record-Route", "<sip:rr;lr>"),
        ("Path", "<sip:p;lr>"),
        ("Require", "100rel, timer"),
        ("Proxy-Require", "x"),
        ("Supported", ""),
        ("Contact", '"C" <sip:c@h>;q=0.5, sip:d@h'),
        ("X-Unknown", "a, b"),
        ("Subject", ""),
    )
    assert request.max_forwards == 70
    assert request.expires == 60
    assert request.content_type == ContentType("multipart", "mixed", {"boundary": "x"})
    assert len(request.routes) == 2
    assert str(request.record_routes[0].uri) == "sip:rr;lr"
    assert len(request.paths) == 1
    assert request.require == ["100rel", "timer"]
    assert request.proxy_require == ["x"]
    assert request.supported == []
    assert isinstance(request.contacts, list)
    assert [contact.display for contact in request.contacts] == ["C", ""]
    assert request.typed("X-Unknown") == ["a, b"]
    assert request.typed("Subject") == ""
    assert request.content_length == 0
    assert len(request.typed("via")) == 1


def test_typed_values_are_kept() -> None:
    """Parsed once, until an edit."""
    request = options(("Contact", "<sip:c@h>"), ("Route", "<sip:r>"))
    assert request.contacts is request.contacts
    assert request.routes is request.routes
    assert request.from_ is request.from_
    assert request.to.uri is request.to.uri
    assert request.vias is request.vias


def test_a_message_at_rest_says_the_same() -> None:
    """A message kept for long holds its lines alone; a later question gets equal values."""
    message = Request.build("INVITE", "sip:b@y.test", HEADERS)
    before = message.identity(), message.to_bytes(), str(message.via)
    message.rest()
    assert (message.identity(), message.to_bytes(), str(message.via)) == before


def test_malformed_fields_raise_when_read() -> None:
    """An edit cures them."""
    request = options(("Contact", "<sip:c@h"), ("Session-Expires", "soon"))
    for read in (lambda: request.contacts, lambda: request.typed("x")):
        with pytest.raises(RemoteProtocolError):
            read()
    request.set("Contact", "<sip:c@h>")
    assert isinstance(request.contacts, list)


def test_malformed_expires_counts_as_an_hour() -> None:
    """RFC 3261 20.19; the typed value still says that it is malformed."""
    for value in ("soon", "-1", str(2**32), "9" * 5000):
        request = options(("Expires", value))
        assert request.expires == 3600
        with pytest.raises(RemoteProtocolError):
            request.typed("expires")
    assert options(("Expires", str(2**32 - 1))).expires == 2**32 - 1


def test_set_body() -> None:
    """Content-Length follows, Content-Type when it is given."""
    request = options(body=b"12345")
    request.set_body(b"{}", "application/json")
    assert (request.content_length, request.get("Content-Type")) == (2, "application/json")
    request.set_body(b"")
    assert request.content_length == 0
    assert request.has("Content-Type")
    request.set_body(b"", "")
    assert not request.has("Content-Type")


def test_salvaged_via() -> None:
    """A refusal of a malformed Via still knows where to go (RFC 3261 18.2.2)."""
    request = options()
    request.set("Via", "SIP/2.0/UDP 192.0.2.15:5070;rport;maddr=1.2.3.4;;branch=x")
    with pytest.raises(RemoteProtocolError):
        _ = request.via
    via = request.reply_via
    assert via is not None
    assert (via.host, via.port, via.params) == (
        "192.0.2.15",
        5070,
        {"rport": None, "maddr": "1.2.3.4", "branch": "x"},
    )
    request.set("Via", "nonsense")
    assert request.reply_via is None
    request.set("Via", "SIP/2.0/UDP [::x]:1;a")
    assert request.reply_via is None
