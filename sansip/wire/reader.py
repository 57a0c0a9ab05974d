"""From octets to messages, and everything that must hold of a message before it is used.

Theory of operation: the head is decoded once and split at its line ends; each
header line costs one dict lookup from its name to its key. What every element
relies on is then checked by patterns that prove the ordinary form well-formed;
whatever is not ordinary takes the long way through the complete parsers. The
long way is also where errors are found: a message that cannot be accepted is
reported together with what could be understood of it, so that it can be
answered.
"""

from __future__ import annotations

from typing import Final

from sansip.errors import RemoteProtocolError
from sansip.limits import DEFAULT, Limits
from sansip.wire.abnf import LWS, PLAIN_SIP_URI, TOKEN, compiled
from sansip.wire.faults import excerpt, malformed
from sansip.wire.headers.name_addr import ORDINARY_LINE, ordinary_name_addr
from sansip.wire.headers.registry import PARSERS
from sansip.wire.headers.simple import (
    CALL_ID_LINE,
    CSEQ_LINE,
    NUMBER_LINE,
    CSeq,
    parse_content_length,
    parse_max_forwards,
)
from sansip.wire.headers.via import ORDINARY_VIA_LINE, ordinary_via
from sansip.wire.message import Message, Request, Response
from sansip.wire.names import DISPLAY, SPELLINGS
from sansip.wire.uri import SipUri, parse_uri
from sansip.wire.values import line_value

__all__ = ["check_headers", "head_end", "parse_message"]

_NAME: Final = compiled(rf"({TOKEN}){LWS}:")
_METHOD: Final = compiled(TOKEN)
_PLAIN_URI: Final = compiled(PLAIN_SIP_URI)
_VERSION: Final = compiled("[sS][iI][pP]/[0-9]++\\.[0-9]++")
_STATUS: Final = compiled("[1-6][0-9]{2}")
_METHODS: Final = frozenset(
    "ACK BYE CANCEL INFO INVITE MESSAGE NOTIFY OPTIONS PRACK PUBLISH REFER REGISTER SUBSCRIBE UPDATE".split()
)
# RFC 3261 8.1.1: without these there is no transaction and no dialog.
_MANDATORY: Final = (
    ("via", "RFC 3261 20.42"),
    ("from", "RFC 3261 20.20"),
    ("to", "RFC 3261 20.39"),
    ("call-id", "RFC 3261 20.8"),
    ("cseq", "RFC 3261 20.16"),
)
# RFC 3261 7.3.1: more than one line only where the value is a list.
_ONCE: Final = ("from", "to", "call-id", "cseq", "content-length", "max-forwards")


def head_end(data: bytes | bytearray, start: int = 0) -> int:
    """Return the index just behind the empty line that ends the head, or -1 when it is not there yet."""
    end = data.find(b"\r\n\r\n", start)
    return end if end < 0 else end + 4


def parse_message(data: bytes, limits: Limits = DEFAULT, *, datagram: bool = True) -> Request | Response:
    """Return the message in ``data``, which holds exactly one.

    With ``datagram`` octets beyond Content-Length are dropped and a body that is
    too short is refused (RFC 3261 18.3); on a stream the framing has cut the
    message out, and a body of any other length is refused.

    Raises RemoteProtocolError; its ``message`` holds what could be understood
    (None when not even a start line was), its ``status`` what to answer.
    """
    # RFC 3261 7.5: line ends before the start line are ignored.
    if data[:2] == b"\r\n":
        data = data.lstrip(b"\r\n")
    end = data.find(b"\r\n\r\n")
    fault: RemoteProtocolError | None = None
    if end < 0 or end > limits.head_size or len(data) > limits.message_size:
        end, fault = _framing_fault(data, end, limits)
    head = data[:end].decode("utf-8", "surrogateescape")
    lines = head.split("\r\n")
    start = lines.pop(0)
    spellings = SPELLINGS
    try:
        keys = [spellings[line[: line.index(":")]] for line in lines]
    except (KeyError, ValueError):
        # A fold, an unusual spelling, an unknown name, or a mistake.
        keys, lines, header_fault = _index_lines(lines)
        fault = fault or header_fault
    parts = start.split(" ")
    message: Request | Response
    if len(parts) == 3 and parts[2] == "SIP/2.0" and parts[0] in _METHODS:
        message = request = Request.__new__(Request)
        request.method, request.uri_text, request.version = parts
        request._uri = None
    else:
        message, start_fault = _read_start(start)
        # What is wrong with the start line is worth more than what follows from it.
        fault = start_fault or fault
    message._begin(keys, lines, data[end + 4 :])
    if fault is None:
        try:
            _check(message, head, limits, datagram)
        except RemoteProtocolError as error:
            fault = error
        else:
            return message
    fault.message = message
    raise fault


def _framing_fault(data: bytes, end: int, limits: Limits) -> tuple[int, RemoteProtocolError]:
    """Return how much of ``data`` to read as the head all the same, and what is wrong with it."""
    if len(data) > limits.message_size or max(end, 0) > limits.head_size:
        # RFC 3261 21.5.7
        fault = malformed("", "message too large", "RFC 3261 21.5.7", status=513)
    else:
        fault = malformed("", "no empty line after the header fields", "RFC 3261 7")
    size = limits.head_size if end < 0 else min(end, limits.head_size)
    if size < len(data) and end != size:
        # Cut at a line end: half a header field may say anything.
        size = max(data.rfind(b"\r\n", 0, size), 0)
    return size, fault


def _index_lines(raw: list[str]) -> tuple[list[str], list[str], RemoteProtocolError | None]:
    """Return keys, header lines with their folds joined, and the first mistake."""
    keys: list[str] = []
    lines: list[str] = []
    fault: RemoteProtocolError | None = None
    at, count = 0, len(raw)
    while at < count:
        begin = at
        line = raw[at]
        at += 1
        # RFC 3261 7.3.1: a line that begins with white space continues the one before.
        while at < count and raw[at][:1] in {" ", "\t"}:
            at += 1
        match = _NAME.match(line)
        if match is None:
            what = "a header line without a name" if ":" in line else "a header line without a colon"
            if line or begin < count - 1:
                fault = fault or malformed("", f"{what}: {excerpt(line)!r}", "RFC 3261 7.3.1")
            continue
        key = SPELLINGS.get(match[1])
        if key is None:
            key = match[1].lower()
            key = SPELLINGS.get(key, key)
        keys.append(key)
        lines.append("\r\n".join(raw[begin:at]) if at - begin > 1 else line)
    return keys, lines, fault


def _read_start(start: str) -> tuple[Request | Response, RemoteProtocolError | None]:
    """Read an unusual start line as far as possible. Raises when it is no SIP at all."""
    version, _, rest = start.partition(" ")
    if _VERSION.fullmatch(version) is not None:
        return _read_status_line(version, rest)
    method, _, rest = start.partition(" ")
    uri, _, version = rest.strip(" ").rpartition(" ")
    if _VERSION.fullmatch(version) is None or _METHOD.fullmatch(method) is None:
        raise malformed("", f"not a SIP start line: {excerpt(start)!r}", "RFC 3261 7.1")
    request = Request.__new__(Request)
    request.method = method
    request.uri_text = uri
    request._uri = None
    fault = None
    if version.upper() != "SIP/2.0":
        # RFC 3261 21.5.6
        fault = malformed("", f"{excerpt(version)} is not supported, SIP/2.0 is", "RFC 3261 7.1", status=505)
    elif start != f"{method} {uri} {version}" or not uri or uri != uri.strip(" "):
        # RFC 3261 7.1: one SP between the elements, and none after them.
        fault = malformed("", "the Request-Line needs exactly one space between its elements", "RFC 3261 7.1")
    return request, fault


def _read_status_line(version: str, rest: str) -> tuple[Response, RemoteProtocolError | None]:
    status, space, reason = rest.partition(" ")
    fault = None
    if _STATUS.fullmatch(status) is None:
        # RFC 4475 3.1.2.19
        fault = malformed("", f"{excerpt(status)!r} is not a status code, 100 to 699", "RFC 3261 7.2")
    elif version.upper() != "SIP/2.0":
        fault = malformed("", f"{excerpt(version)} is not supported, SIP/2.0 is", "RFC 3261 7.1", status=505)
    elif not space:
        fault = malformed("", "no space after the status code", "RFC 3261 7.2")
    response = Response.__new__(Response)
    response.status = 400 if fault is not None else int(status)
    response.reason = reason
    return response, fault


def _check(message: Request | Response, head: str, limits: Limits, datagram: bool) -> None:
    """Raise RemoteProtocolError unless what every element relies on holds; cut the body."""
    keys = message.keys
    first = message._first
    typed = message._typed
    size = len(keys)
    # Line ends come in pairs: a lone CR or LF would read differently elsewhere.
    breaks = head.count("\n")
    if head.count("\r") != breaks or breaks != head.count("\r\n"):
        raise malformed("", "a CR or LF alone", "RFC 3261 7")
    if size > limits.header_count:
        raise malformed("", f"more than {limits.header_count} header fields", "RFC 3261 7.3")
    if len(head) > limits.header_size and max(map(len, message.lines)) > limits.header_size:
        raise malformed("", f"a header field of more than {limits.header_size} characters", "RFC 3261 7.3")
    for key, section in _MANDATORY:
        if key not in first:
            raise malformed(DISPLAY[key], "missing", section)
    if len(first) != size:
        for key in _ONCE:
            if keys.count(key) > 1:
                raise malformed(DISPLAY[key], "appears more than once", "RFC 3261 7.3.1")

    match = ORDINARY_VIA_LINE.fullmatch(first["via"])
    if match is None:
        _check_vias(message, limits)
    else:
        typed["via top"] = ordinary_via(match)
        if len(first) != size and keys.count("via") > 1:
            _check_vias(message, limits)
    match = ORDINARY_LINE.fullmatch(first["from"])
    if match is not None and not match[12]:
        typed["from"] = ordinary_name_addr(match)
    else:
        _ = message.from_.uri
    match = ORDINARY_LINE.fullmatch(first["to"])
    if match is not None and not match[12]:
        typed["to"] = ordinary_name_addr(match)
    else:
        _ = message.to.uri
    match = CALL_ID_LINE.fullmatch(first["call-id"])
    if match is not None:
        typed["call-id"] = match[1]
    else:
        _ = message.call_id
    match = CSEQ_LINE.fullmatch(first["cseq"])
    if match is not None:
        method = match[2]
        typed["cseq"] = CSeq(int(match[1]), method)
    else:
        method = message.cseq.method

    if isinstance(message, Request):
        # RFC 3261 8.1.1.5
        if method != message.method:
            raise malformed(
                "CSeq",
                f"method {excerpt(method)} differs from request method {excerpt(message.method)}",
                "RFC 3261 8.1.1.5",
            )
        line = first.get("max-forwards")
        if line is not None:
            match = NUMBER_LINE.fullmatch(line)
            hops = int(match[1]) if match is not None else 256
            typed["max-forwards"] = hops if hops <= 255 else parse_max_forwards(line_value(line))
        _check_uri(message, limits)

    line = first.get("content-length")
    body = message.body
    if line is None:
        # RFC 3261 18.3: without Content-Length the body ends with the datagram.
        if body and not datagram:
            raise malformed("Content-Length", "missing on a stream", "RFC 3261 18.3")
        return
    match = NUMBER_LINE.fullmatch(line)
    length = int(match[1]) if match is not None else parse_content_length(line_value(line))
    typed["content-length"] = length
    if length < len(body) and datagram:
        message.body = body[:length]
    elif length != len(body):
        raise malformed("Content-Length", f"{length} octets announced, {len(body)} received", "RFC 3261 18.3")


def _check_uri(request: Request, limits: Limits) -> None:
    text = request.uri_text
    if len(text) > limits.uri_size:
        # RFC 3261 21.4.12
        raise malformed("", "Request-URI too long", "RFC 3261 21.4.12", status=414)
    match = _PLAIN_URI.fullmatch(text)
    if match is not None:
        uri = request._uri = SipUri(text, match.groups())
    else:
        try:
            uri = request._uri = parse_uri(text)
        except RemoteProtocolError as error:
            raise malformed("", f"Request-URI: {error.reason}", error.section) from None
        if not isinstance(uri, SipUri):
            return
    if uri._headers_text is not None:
        # RFC 3261 19.1.1, RFC 4475 3.1.2.11: header fields have no place here.
        raise malformed("", "Request-URI: headers are not allowed", "RFC 3261 19.1.1")


def _check_vias(message: Message, limits: Limits) -> None:
    """Check that every Via value is well formed (the first line may be known to be)."""
    lines = [line for key, line in zip(message.keys, message.lines, strict=True) if key == "via"]
    if len(lines) > limits.via_count:
        raise malformed("Via", f"more than {limits.via_count} values", "RFC 3261 20.42")
    if all(ORDINARY_VIA_LINE.fullmatch(line) is not None for line in lines):
        return
    vias = message.vias
    if len(vias) > limits.via_count:
        raise malformed("Via", f"more than {limits.via_count} values", "RFC 3261 20.42")
    message._typed["via top"] = vias[0]


def check_headers(message: Message) -> list[RemoteProtocolError]:
    """Parse every known header field; return what is wrong, in the order of the fields."""
    faults = []
    for key in dict.fromkeys(message.keys):
        if key == "via" or key in PARSERS:
            try:
                message.typed(key)
            except RemoteProtocolError as error:
                error.message = message
                faults.append(error)
    return faults
