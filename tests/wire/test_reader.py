"""From octets to messages: framing, rules, limits, and the text of a refusal."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sansip.errors import RemoteProtocolError
from sansip.limits import DEFAULT
from sansip.wire import Request, Response, check_headers, head_end, parse_message, response_to

FIELDS = {
    "Via": "SIP/2.0/UDP h;branch=z9hG4bK1",
    "From": "<sip:a@h>;tag=1",
    "To": "<sip:b@h>",
    "Call-ID": "x@y",
    "CSeq": "1 OPTIONS",
}


def octets(start: Any = "OPTIONS sip:b@h SIP/2.0", body: Any = b"", **fields: Any) -> bytes:
    """Return a message of the mandatory fields, changed or (None) left out; ``_`` stands for ``-``."""
    lines = [start]
    for name, value in (FIELDS | {name.replace("_", "-"): value for name, value in fields.items()}).items():
        if value is not None:
            lines.append(f"{name}: {value}")
    return "\r\n".join([*lines, "\r\n"]).encode("utf-8", "surrogateescape") + body


def refused(data: bytes, *, datagram: bool = True) -> RemoteProtocolError:
    with pytest.raises(RemoteProtocolError) as caught:
        parse_message(data, datagram=datagram)
    return caught.value


def test_smallest_request_and_response() -> None:
    """RFC 2543 peers need no branch, no From tag, no Max-Forwards and no Content-Length."""
    request = parse_message(octets(Via="SIP/2.0/UDP h", From="<sip:a@h>"))
    assert isinstance(request, Request)
    assert (request.via.branch, request.from_tag, request.max_forwards) == (None, None, None)
    response = parse_message(octets("SIP/2.0 200 OK"))
    assert isinstance(response, Response)
    assert (response.status, response.reason, response.version) == (200, "OK", "SIP/2.0")


def test_version_has_no_case() -> None:
    """RFC 3261 7.1: SIP/2.0 in any case, and it is sent on as it came."""
    for start in ("OPTIONS sip:b@h sip/2.0", "sip/2.0 200 OK"):
        assert parse_message(octets(start)).to_bytes().startswith(start.encode())


def test_line_ends_before_the_start_line() -> None:
    """RFC 3261 7.5"""
    assert isinstance(parse_message(b"\r\n\r\n" + octets()), Request)
    for nothing in (b"", b"\r\n", b"\r\n\r\n", b"\r\n\r\n\r\n\r\n"):
        assert refused(nothing).message is None


@pytest.mark.parametrize(
    ("start", "status", "said"),
    [
        ("OPTIONS sip:b@h SIP/3.0", 505, "SIP/3.0"),
        ("OPTIONS sip:b@h SIP/2.00", 505, "SIP/2.00"),
        ("SIP/1.0 200 OK", 505, "SIP/1.0"),
        ("OPTIONS  sip:b@h SIP/2.0", 400, "space"),
        ("OPTIONS sip:b@h SIP/2.0 ", 400, "space"),
        ("OPTIONS SIP/2.0", 400, "space"),
        ("OPTIONS <sip:b@h> SIP/2.0", 400, "Request-URI"),
        ("OPTIONS sip:b@h; lr SIP/2.0", 400, "Request-URI"),
        ("OPTIONS sip:b@h?a=b SIP/2.0", 400, "headers"),
        ("OPTIONS sip:b@h;a;a SIP/2.0", 400, "more than once"),
        ("OPTIONS sip:b@[::1::] SIP/2.0", 400, "IPv6"),
        ("OPTIONS tel:7 SIP/2.0", 400, "phone-context"),
        ("OPTIONS sip SIP/2.0", 400, "not a URI"),
        ("INVITE sip:b@h SIP/2.0", 400, "CSeq: method OPTIONS differs from request method INVITE"),
        ("options sip:b@h SIP/2.0", 400, "differs"),
        ("SIP/2.0 99 x", 400, "status code"),
        ("SIP/2.0 700 x", 400, "status code"),
        ("SIP/2.0 0200 x", 400, "status code"),
        ("SIP/2.0 ٢٠٠ x", 400, "status code"),
        ("SIP/2.0  200 x", 400, "status code"),
        ("SIP/2.0 200", 400, "space"),
    ],
)
def test_start_lines(start: str, status: int, said: str) -> None:
    """RFC 3261 7.1, 7.2: refused with what could be understood."""
    error = refused(octets(start))
    assert error.status == status
    assert said in error.reason
    assert error.section.startswith("RFC ")
    assert error.message is not None
    assert error.message.call_id == "x@y"
    if isinstance(error.message, Request):
        answer = response_to(error.message, error.status, to_tag="t")
        assert parse_message(answer.to_bytes()).to_tag == "t"


@pytest.mark.parametrize(
    "start", ["", "nonsense", "OPTIONS sip:b@h", "OPT(IONS sip:b@h SIP/2.0", "GET / HTTP/1.1", "SIP/2 200 OK"]
)
def test_no_sip_at_all(start: str) -> None:
    """Nothing to answer."""
    assert refused(octets(start)).message is None


@pytest.mark.parametrize(
    "uri", ["tel:+1", "urn:service:sos", "sips:b@h", "SIP:h", "http://h/x?y", "sip:b@[::1]:5060;lr;x"]
)
def test_request_uris(uri: str) -> None:
    """Any scheme is legal here: 416 is decided above."""
    request = parse_message(octets(f"OPTIONS {uri} SIP/2.0"))
    assert isinstance(request, Request)
    assert str(request.uri) == request.uri_text == uri


@pytest.mark.parametrize("name", FIELDS)
def test_mandatory_fields(name: str) -> None:
    """RFC 3261 8.1.1: each must be there."""
    error = refused(octets(**{name.replace("-", "_"): None}))
    assert (error.reason, error.status, error.field) == (f"{name}: missing", 400, name)


@pytest.mark.parametrize("name", ["From", "To", "Call-ID", "CSeq", "Max-Forwards", "Content-Length"])
def test_fields_that_appear_once(name: str) -> None:
    """RFC 3261 7.3.1, RFC 4475 3.3.8, 3.3.9; also when both say the same, in any spelling."""
    value = FIELDS.get(name, "0")
    data = octets(**{name.replace("-", "_"): value}).replace(
        b"\r\n\r\n", f"\r\n{name.upper()} : {value}\r\n\r\n".encode()
    )
    error = refused(data)
    assert error.field == name
    assert "more than once" in error.reason


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Via", "SIP/2.0 h"),
        ("Via", ""),
        ("Via", "SIP/2.0/UDP"),
        ("Via", "SIP/2.0/UDP h;branch="),
        ("Via", "SIP/2.0/UDP h;branch=z;branch=y"),
        ("Via", "SIP/2.0/UDP h;rport;branch=x;rport"),
        ("Via", "SIP/2.0/UDP h:99999;branch=z"),
        ("Via", "SIP/2.0/UDP h;rport=x"),
        ("Via", "SIP/2.0/UDP h;received=(h)"),
        ("Via", "SIP/2.0/UDP h;ttl=256"),
        ("Via", "SIP/2.0/UDP h;maddr"),
        ("Via", ", SIP/2.0/UDP h;branch=z"),
        ("Via", "SIP/2.0/UDP [::1::2];branch=z"),
        ("From", ""),
        ("From", "a@h"),
        ("From", "<sip:a@h"),
        ("From", '"a <sip:a@h>'),
        ("From", "A, B <sip:a@h>"),
        ("From", "<sip:a@h>;tag=1;tag=2"),
        ("From", "<sip:a@h>;tag"),
        ("From", '<sip:a@h>;tag="1"'),
        ("From", "sip:a@h?x=y;tag=1"),
        ("From", "<sip:a@h;x;x>;tag=1"),
        ("To", "<sip:b@h>, <sip:c@h>"),
        ("To", "< sip:b@h>"),
        ("Call-ID", ""),
        ("Call-ID", "a b"),
        ("Call-ID", "a@b@c"),
        ("Call-ID", "a, b"),
        ("CSeq", ""),
        ("CSeq", "1"),
        ("CSeq", "OPTIONS 1"),
        ("CSeq", "-1 OPTIONS"),
        ("CSeq", "1 OPT(IONS"),
        ("CSeq", "4294967296 OPTIONS"),
        ("CSeq", "9" * 5000 + " OPTIONS"),
        ("CSeq", "١ OPTIONS"),
        ("Max-Forwards", "x"),
        ("Max-Forwards", "256"),
        ("Max-Forwards", "-1"),
        ("Content-Length", "-1"),
        ("Content-Length", "x"),
        ("Content-Length", ""),
        ("Content-Length", "0, 0"),
        ("Content-Length", "9" * 5000),
        ("Content-Length", "1_0"),
    ],
)
def test_malformed_fields(name: str, value: str) -> None:
    """Refused by name, with the message so far; in a response just the same."""
    for start in ("OPTIONS sip:b@h SIP/2.0", "SIP/2.0 200 OK"):
        data = octets(start, **{name.replace("-", "_"): value})
        if name == "Max-Forwards" and start.startswith("SIP"):
            # RFC 3261 7.3.2: a request's field means nothing in a response.
            parse_message(data)
            continue
        error = refused(data)
        assert error.field == name, error.reason
        assert error.status == 400
        assert error.section.startswith("RFC ")
        assert error.message is not None


def test_cseq_numbers() -> None:
    """RFC 3261 8.1.1.5 and RFC 4475 3.1.2.4: what a receiver can hold is accepted; zeros may lead."""
    assert parse_message(octets(CSeq="4294967295 OPTIONS")).cseq.number == 2**32 - 1
    assert parse_message(octets(CSeq="0" * 100 + "9 \t OPTIONS")).cseq == (9, "OPTIONS")


@pytest.mark.parametrize("top", ["SIP/2.0/UDP h;branch=z9hG4bK1", "SIP/2.0/UDP h ;branch=z9hG4bK1"])
def test_lower_vias_are_carried(top: str) -> None:
    """RFC 3261 16.3 step 1: only the used Via is checked; a reader of the others hears of the fault."""
    for data in (octets(Via=f"{top}\r\nVia: SIP/2.0/UDP"), octets(Via=f"{top}, SIP/2.0/UDP h;;")):
        message = parse_message(data)
        assert message.via.branch == "z9hG4bK1"
        with pytest.raises(RemoteProtocolError):
            _ = message.vias
        message.pop_first_value("via")
        with pytest.raises(RemoteProtocolError):
            _ = message.via


def test_folds_compact_forms_and_unknown_names() -> None:
    """RFC 3261 7.3.1, 7.3.3: all spellings of one message."""
    data = (
        b"OPTIONS sip:b@h SIP/2.0\r\nv :\r\n SIP / 2.0\r\n\t/UDP h ;branch = z9hG4bK1\r\n"
        b"F: <sip:a@h>\r\n ;tag=1\r\n"
        b"t:sip:b@h\r\ni\t: x@y\r\nX-Unknown: 1\r\ncSEQ: 1\r\n   OPTIONS\r\nL:3\r\n\r\nabc"
    )
    message = parse_message(data)
    assert message.keys == ["via", "from", "to", "call-id", "x-unknown", "cseq", "content-length"]
    assert message.via.branch == "z9hG4bK1"
    assert message.from_tag == "1"
    assert message.to_bytes() == data


@pytest.mark.parametrize(
    "line",
    [
        b"no colon",
        b": no name",
        b"a b: c",
        b"\xff: c",
        b"a\x00: c",
        b"(x): y",
        b"a: b\nc: d",
        b"a: b\rc: d",
        b"a: b\r",
        b"\na: b",
    ],
)
def test_malformed_header_lines(line: bytes) -> None:
    """RFC 3261 7.3.1; a lone CR or LF would be a line end to some other parser."""
    error = refused(octets().replace(b"From", line + b"\r\nFrom"))
    assert error.status == 400
    assert isinstance(error.message, Request)
    assert error.message.call_id == "x@y"


@pytest.mark.parametrize("line", [b"Subject", b"Via", b"X", b"Subject x"])
def test_header_lines_without_a_colon(line: bytes) -> None:
    """Also a known name alone, wherever it stands."""
    for data in (octets()[:-2] + line + b"\r\n\r\n", octets().replace(b"From", line + b"\r\nFrom")):
        assert "without a colon" in refused(data).reason


def test_a_fold_of_the_start_line() -> None:
    """There is no header field to continue yet."""
    assert isinstance(refused(octets().replace(b"\r\nVia", b"\r\n x\r\nVia")).message, Request)
    assert refused(octets().replace(b"SIP/2.0\r\n", b"SIP/2.0\nX: y\r\n")).status == 400


def test_octets_that_are_no_utf8() -> None:
    """They survive the way through."""
    data = octets(Subject="\udcff\udcfe é", body=b"\xff")
    message = parse_message(data)
    assert message.get("Subject") == "\udcff\udcfe é"
    assert message.to_bytes() == data


def test_datagram_bodies() -> None:
    """RFC 3261 18.3: more is dropped, less is refused, without a length it is all."""
    assert parse_message(octets(body=b"12345", Content_Length="3")).body == b"123"
    assert parse_message(octets(body=b"12345", Content_Length="0")).body == b""
    assert parse_message(octets(body=b"12345", Content_Length="00005")).body == b"12345"
    assert parse_message(octets(body=b"12345")).body == b"12345"
    error = refused(octets(body=b"12345", Content_Length="6"))
    assert (error.status, error.field) == (400, "Content-Length")
    assert error.message is not None


def test_stream_bodies() -> None:
    """RFC 3261 18.3: the framing has cut exactly, and Content-Length is what it cut by."""
    data = octets(body=b"12345", Content_Length="5")
    assert parse_message(data, datagram=False).body == b"12345"
    for wrong in (octets(body=b"12345", Content_Length="4"), octets(body=b"12345")):
        assert refused(wrong, datagram=False).field == "Content-Length"
    assert parse_message(octets(), datagram=False).body == b""


def test_no_empty_line() -> None:
    """A request without the empty line can be answered."""
    error = refused(octets(Max_Forwards="70")[:-2])
    assert "empty line" in error.reason
    assert error.message is not None
    assert error.message.max_forwards == 70
    # The last line may have been cut anywhere.
    cut = refused(octets(Max_Forwards="70")[:-5]).message
    assert cut is not None
    assert not cut.has("Max-Forwards")
    assert refused(b"OPTIONS sip:b@h SIP/2.0").status == 400


def test_head_end() -> None:
    """Behind the empty line, or -1."""
    data = octets(body=b"x")
    assert data[head_end(data) :] == b"x"
    assert head_end(data, len(data) - 2) == -1
    assert head_end(bytearray(b"a\r\n\r")) == -1


# --- limits: every one of them is reached


def limited(data: bytes, **limits: int) -> RemoteProtocolError:
    with pytest.raises(RemoteProtocolError) as caught:
        parse_message(data, replace(DEFAULT, **limits))
    error = caught.value
    assert isinstance(error.message, Request)
    assert error.message.via.branch == "z9hG4bK1"
    return error


def test_message_size() -> None:
    """→ 413 (RFC 3261 21.4.11): the body is too large."""
    data = octets(body=b"x" * 1000)
    parse_message(data, replace(DEFAULT, message_size=len(data)))
    assert limited(data, message_size=len(data) - 1).status == 413


def test_head_size() -> None:
    """→ 513, with as many header fields as fit"""
    data = octets(Subject="x" * 1000)
    size = head_end(data) - 4
    parse_message(data, replace(DEFAULT, head_size=size))
    error = limited(data, head_size=size - 1)
    assert error.status == 513
    assert error.message is not None
    assert error.message.keys == ["via", "from", "to", "call-id", "cseq"]
    assert refused(b"OPTIONS " + b"x" * 100_000).message is None


def test_header_size() -> None:
    """→ 400, folds included"""
    for value in ("x" * 1000, "\r\n ".join(["x" * 90] * 11)):
        data = octets(Subject=value)
        parse_message(data, replace(DEFAULT, header_size=len(value) + 9))
        assert "header field" in limited(data, header_size=len(value) + 8).reason


def test_header_count() -> None:
    """→ 400"""
    data = octets().replace(b"\r\n\r\n", b"\r\nX: y" * 10 + b"\r\n\r\n")
    parse_message(data, replace(DEFAULT, header_count=15))
    assert "header fields" in limited(data, header_count=14).reason


def test_via_count() -> None:
    """→ 400, on one line or on many"""
    vias = ["SIP/2.0/UDP h;branch=z9hG4bK1"] * 5
    for data in (octets(Via=", ".join(vias)), octets(Via="\r\nVia: ".join(vias))):
        parse_message(data, replace(DEFAULT, via_count=5))
        assert limited(data, via_count=4).field == "Via"


def test_uri_size() -> None:
    """→ 414 (RFC 3261 21.4.12), well formed or not"""
    for uri in ("sip:" + "b" * 100 + "@h", "sip:" + "b" * 100 + "<"):
        error = limited(octets(f"OPTIONS {uri} SIP/2.0"), uri_size=99)
        assert error.status == 414
    parse_message(octets("OPTIONS sip:" + "b" * 100 + "@h SIP/2.0"), replace(DEFAULT, uri_size=106))


def test_check_headers() -> None:
    """Every known field is looked at, also those that no element must understand."""
    message = parse_message(octets(Contact="<sip:c", Date="now", X_Y="((", Supported="a,,b", Subject="fine"))
    faults = check_headers(message)
    assert [fault.field for fault in faults] == ["Contact", "Date", "Supported"]
    assert all(fault.message is message for fault in faults)
    assert check_headers(parse_message(octets())) == []
