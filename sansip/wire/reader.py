"""From octets to messages, and everything that must hold of a message before it is used.

Theory of operation: the head is decoded once and split at its line ends; each header line costs one dict
lookup from its name to its key. Then patterns check the fields that every element relies on, and prove the
ordinary form well-formed. Any other form takes the long way through the complete parsers. The long way also
finds errors: the reader reports a message that it cannot accept together with the readable part of it, so
that the message can be answered.
"""

from __future__ import annotations

from typing import Final

from sansip.errors import RemoteProtocolError, without_frames
from sansip.limits import DEFAULT, Limits
from sansip.wire.abnf import LWS, PLAIN_SIP_URI, TOKEN, compiled
from sansip.wire.faults import excerpt, malformed
from sansip.wire.head import HAS_SCANNER, read_ordinary
from sansip.wire.headers.name_addr import ORDINARY_LINE, ordinary_name_addr
from sansip.wire.headers.registry import PARSERS
from sansip.wire.headers.simple import (
    CALL_ID_LINE,
    CSEQ_LINE,
    HOPS,
    NUMBER_LINE,
    CSeq,
    parse_content_length,
    parse_max_forwards,
)
from sansip.wire.headers.via import ORDINARY_VIA_LINE, ordinary_via
from sansip.wire.message import Message, Request, Response
from sansip.wire.names import DISPLAY, SPELLINGS
from sansip.wire.uri import SipUri, parse_uri, plain_sip_uri
from sansip.wire.values import line_value

__all__ = ["check_headers", "head_end", "parse_message", "read_again", "read_message"]

_NAME: Final = compiled(rf"({TOKEN}){LWS}:")
_METHOD: Final = compiled(TOKEN)
_NAMES: Final = compiled(r"\n([^:]*+)").findall
_spelled: Final = SPELLINGS.__getitem__
_via_line: Final = ORDINARY_VIA_LINE.fullmatch
_address_line: Final = ORDINARY_LINE.fullmatch
_call_id_line: Final = CALL_ID_LINE.fullmatch
_cseq_line: Final = CSEQ_LINE.fullmatch
_number_line: Final = NUMBER_LINE.fullmatch
_request_line: Final = compiled(rf"({TOKEN}) ({PLAIN_SIP_URI}) SIP/2\.0").fullmatch
_new_tuple: Final = tuple.__new__
# The usual lines of Max-Forwards and the status codes, so that neither needs a pattern.
_STATUSES: Final = {str(status): status for status in range(100, 700)}
_VERSION: Final = compiled("[sS][iI][pP]/[0-9]++\\.[0-9]++")
# RFC 3261 8.1.1: without these there is no transaction and no dialog.
_MANDATORY: Final = {
    "via": "RFC 3261 20.42",
    "from": "RFC 3261 20.20",
    "to": "RFC 3261 20.39",
    "call-id": "RFC 3261 20.8",
    "cseq": "RFC 3261 20.16",
}
# More than any message has.
_ANY: Final = 1 << 60
_UNLIMITED: Final = Limits(
    message_size=_ANY,
    head_size=_ANY,
    header_size=_ANY,
    header_count=_ANY,
    via_count=_ANY,
    route_count=_ANY,
    contact_count=_ANY,
    header_parts=_ANY,
    uri_size=_ANY,
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
    if HAS_SCANNER and (ordinary := read_ordinary(data, limits, datagram)) is not None:
        return ordinary
    return read_message(data, limits, datagram)


def read_again(data: bytes) -> Request | Response:
    """Return the message in ``data``, which was found sound before, or is a copy of one, with lines of ours.

    No limit holds for it: those of this server may be wider than the default ones, and a copy is a little
    larger than what came.
    """
    return parse_message(data, _UNLIMITED)


def read_message(data: bytes, limits: Limits, datagram: bool) -> Request | Response:
    """Return what ``parse_message`` returns, or raise as it does, without the help of the scanner."""
    end = data.find(b"\r\n\r\n")
    fault: RemoteProtocolError | None = None
    if not 0 <= end <= limits.head_size or len(data) > limits.message_size:
        end, fault = _check_size(data, end, limits)
    try:
        head = data[:end].decode()
    except UnicodeDecodeError:
        head = data[:end].decode("utf-8", "surrogateescape")
    lines = head.split("\r\n")
    start = lines.pop(0)
    names = _NAMES(head)
    count = len(lines)
    try:
        # Each LF begins a line and each CR ends one: neither stands alone. A name
        # that runs on over a line end is no key, so only the last may lack its colon.
        if len(names) != count or head.count("\r") != count or (lines and ":" not in lines[-1]):
            raise KeyError
        first = dict(zip(map(_spelled, names), lines))  # noqa: B905 (of one length)
        keys = list(first)
        if several := len(keys) != count:
            keys = list(map(_spelled, names))
    except KeyError:
        # A fold, an unusual spelling, an unknown name, or a mistake.
        keys, lines, fault = _index_lines(start, lines, fault)
        first = dict(zip(keys, lines, strict=True))
        several = len(first) != len(keys)
    message: Request | Response
    line_match = _request_line(start)
    if line_match is not None:
        method, target, scheme, user, host, port, params = line_match.groups()
        message = request = Request()
        request.method = method
        request.uri_text = target
        request.version = "SIP/2.0"
        request._uri = plain_sip_uri(target, scheme, user, host, port, params)
    elif not start and data:
        # RFC 3261 7.5: line ends before the start line are ignored.
        return read_message(data.lstrip(b"\r\n"), limits, datagram)
    else:
        message, fault = _read_start(start, fault)
    message.keys = keys
    message.lines = lines
    message.body = body = data[end + 4 :]
    message._typed = typed = {}
    message._via = message._from = message._to = message._call_id = message._cseq = None
    if several:
        # The last line of a key has won: let the first one.
        first = dict(zip(reversed(keys), reversed(lines), strict=True))
    message._first = first
    try:
        if fault is not None:
            raise fault
        if several:
            _check_once(keys)
        if len(keys) > limits.header_count:
            raise malformed("", f"more than {limits.header_count} header fields", "RFC 3261 7.3")
        if end > limits.header_size and max(map(len, lines), default=0) > limits.header_size:
            raise malformed(
                "", f"a header field of more than {limits.header_size} characters", "RFC 3261 7.3"
            )
        most = limits.header_parts
        # A short head cannot have so many.
        if end > most and head.count(";") + head.count(",") > most:
            raise malformed("", f"more than {most} parameters and values", "RFC 3261 7.3")
        try:
            via = _via_line(first["via"])
            from_ = _address_line(first["from"])
            to = _address_line(first["to"])
            call_id = _call_id_line(first["call-id"])
            cseq = _cseq_line(first["cseq"])
        except KeyError as error:
            key = error.args[0]
            raise malformed(DISPLAY[key], "missing", _MANDATORY[key]) from None
        # A match proves the ordinary form well formed; the properties read any other form, and raise.
        if via is not None:
            message._via = ordinary_via(via)
        else:
            _ = message.via
        # RFC 3261 16.3 step 1: this element only carries the values below the top Via, so the code here only
        # counts them. Their reader checks them.
        most = count + head.count(",")
        if most > limits.via_count or most > limits.route_count or most > limits.contact_count:
            _count_lists(message, limits)
        if from_ is None:
            _ = message.from_.uri
        else:
            message._from = ordinary_name_addr(from_, "From", "RFC 3261 20.20")
        if to is None:
            _ = message.to.uri
        else:
            message._to = ordinary_name_addr(to, "To", "RFC 3261 20.39")
        if call_id is None:
            _ = message.call_id
        else:
            message._call_id = call_id[1]
        if cseq is not None:
            number, cseq_method = cseq.groups()
            message._cseq = _new_tuple(CSeq, (int(number), cseq_method))
        if line_match is None or cseq is None or cseq_method != method:
            _check_rest(message, limits)
        elif len(target) > limits.uri_size:
            _check_uri(request, limits)
        line = first.get("max-forwards")
        # RFC 3261 7.3.2: in a response the field means nothing.
        if line is not None and line not in HOPS and isinstance(message, Request):
            typed["max-forwards"] = parse_max_forwards(line_value(line))
        line = first.get("content-length")
        if (body or line != "Content-Length: 0") and line != f"Content-Length: {len(body)}":
            _check_length(message, line, datagram)
    except RemoteProtocolError as error:
        error.message = message
        # The error holds this frame, and a frame that held the error would keep both, with
        # the message, until the cycle collector runs.
        fault = None
        raise
    return message


def _check_size(data: bytes, end: int, limits: Limits) -> tuple[int, RemoteProtocolError]:
    """Return how much of ``data`` to read as the head, and what is wrong with its size.

    A head that is too large, or has no end, is read as far as it may be: the
    refusal needs its first header fields.
    """
    if 0 <= end <= limits.head_size and len(data) > limits.message_size:
        # RFC 3261 21.4.11: it is the body, so without it, or with less, it would do (8.1.3.5).
        fault = malformed("", "body too large", "RFC 3261 21.4.11", status=413)
    elif len(data) > limits.message_size or end > limits.head_size:
        fault = malformed("", "message too large", "RFC 3261 21.5.7", status=513)
    else:
        fault = malformed("", "no empty line after the header fields", "RFC 3261 7")
    if end < 0 or end > limits.head_size:
        # Cut at a line end: half a header field may say anything.
        limit = min(len(data), limits.head_size)
        end = max(data.rfind(b"\r\n", 0, limit), 0) or limit
    return end, fault


def _index_lines(
    start: str, raw: list[str], fault: RemoteProtocolError | None
) -> tuple[list[str], list[str], RemoteProtocolError | None]:
    """Return keys, header lines with their folds joined, and the first mistake, which may be ``fault``."""
    keys: list[str] = []
    lines: list[str] = []
    at, count = 0, len(raw)
    if any("\n" in line or "\r" in line for line in (start, *raw)):
        # A lone CR or LF would end a line in some other parser.
        fault = fault or malformed("", "a CR or LF alone", "RFC 3261 7")
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


def _read_start(
    start: str, fault: RemoteProtocolError | None
) -> tuple[Request | Response, RemoteProtocolError | None]:
    """Read any start line as far as possible; return what is wrong, else ``fault``.

    A fault in the start line is reported before the faults that follow from it. Raises when it is no SIP at
    all.
    """
    version, _, rest = start.partition(" ")
    if version == "SIP/2.0" or _VERSION.fullmatch(version) is not None:
        return _read_status_line(version, rest, fault)
    method, _, rest = start.partition(" ")
    uri, _, version = rest.strip(" ").rpartition(" ")
    if _VERSION.fullmatch(version) is None or _METHOD.fullmatch(method) is None:
        raise malformed("", f"not a SIP start line: {excerpt(start)!r}", "RFC 3261 7.1")
    request = Request()
    request.method = method
    request.uri_text = uri
    request.version = version
    request._uri = None
    if version.upper() != "SIP/2.0":
        # RFC 3261 21.5.6
        fault = malformed("", f"{excerpt(version)} is not supported, SIP/2.0 is", "RFC 3261 7.1", status=505)
    elif start != f"{method} {uri} {version}" or not uri or uri != uri.strip(" "):
        # RFC 3261 7.1: one SP between the elements, and none after them.
        fault = malformed("", "the Request-Line needs exactly one space between its elements", "RFC 3261 7.1")
    return request, fault


def _read_status_line(
    version: str, rest: str, fault: RemoteProtocolError | None
) -> tuple[Response, RemoteProtocolError | None]:
    text, space, reason = rest.partition(" ")
    status = _STATUSES.get(text)
    if version.upper() != "SIP/2.0":
        fault = malformed("", f"{excerpt(version)} is not supported, SIP/2.0 is", "RFC 3261 7.1", status=505)
    elif status is None:
        # RFC 4475 3.1.2.19
        fault = malformed("", f"{excerpt(text)!r} is not a status code, 100 to 699", "RFC 3261 7.2")
    elif not space:
        fault = malformed("", "no space after the status code", "RFC 3261 7.2")
    response = Response()
    response.version = version
    response.status = 400 if status is None else status
    response.reason = reason
    return response, fault


def _check_once(keys: list[str]) -> None:
    """Raise RemoteProtocolError when a field that holds one value has two lines."""
    for key in _ONCE:
        if keys.count(key) > 1:
            raise malformed(DISPLAY[key], "appears more than once", "RFC 3261 7.3.1")


def _check_rest(message: Request | Response, limits: Limits) -> None:
    """Check CSeq and, in a request, its method and the Request-URI."""
    method = message.cseq.method
    if isinstance(message, Request):
        if method != message.method:
            raise malformed(
                "CSeq",
                f"method {excerpt(method)} differs from request method {excerpt(message.method)}",
                "RFC 3261 8.1.1.5",
            )
        _check_uri(message, limits)


def _check_length(message: Message, line: str | None, datagram: bool) -> None:
    """Cut the body to Content-Length, or raise RemoteProtocolError (RFC 3261 18.3)."""
    body = message.body
    if line is None:
        # Without Content-Length the body ends with the datagram.
        if body and not datagram:
            raise malformed("Content-Length", "missing on a stream", "RFC 3261 18.3")
        return
    match = _number_line(line)
    length = int(match[1]) if match is not None else parse_content_length(line_value(line))
    if length < len(body) and datagram:
        message.body = body[:length]
    elif length != len(body):
        raise malformed("Content-Length", f"{length} octets announced, {len(body)} received", "RFC 3261 18.3")


def _check_uri(request: Request, limits: Limits) -> None:
    text = request.uri_text
    if len(text) > limits.uri_size:
        # RFC 3261 21.4.12
        raise malformed("", "Request-URI too long", "RFC 3261 21.4.12", status=414)
    try:
        uri = request._uri = parse_uri(text)
    except RemoteProtocolError as error:
        raise malformed("", f"Request-URI: {error.reason}", error.section) from None
    if isinstance(uri, SipUri) and uri._headers_text is not None:
        # RFC 3261 19.1.1, RFC 4475 3.1.2.11: header fields have no place here.
        raise malformed("", "Request-URI: headers are not allowed", "RFC 3261 19.1.1")


def _count_lists(message: Message, limits: Limits) -> None:
    """Count the values of the lists that are read, or edited, value by value."""
    for key, most, section in (
        ("via", limits.via_count, "RFC 3261 20.42"),
        ("route", limits.route_count, "RFC 3261 20.34"),
        ("record-route", limits.route_count, "RFC 3261 20.30"),
        ("contact", limits.contact_count, "RFC 3261 20.10"),
    ):
        # A comma within quotes counts, too: no honest field comes near the limit.
        lines = message.raw_lines(key)
        if len(lines) + sum([line.count(",") for line in lines]) > most:
            raise malformed(DISPLAY[key], f"more than {most} values", section)


def check_headers(message: Message) -> list[RemoteProtocolError]:
    """Parse every known header field; return what is wrong, in the order of the fields."""
    faults = []
    for key in dict.fromkeys(message.keys):
        if key == "via" or key in PARSERS:
            try:
                message.typed(key)
            except RemoteProtocolError as error:
                error.message = message
                faults.append(without_frames(error))
    return faults
