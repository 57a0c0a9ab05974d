"""The rules of the scanner of heads (``sansip/wire/_head.c``), by regular expressions: its twin in Python.

Theory of operation: the *ordinary form* is what nearly every phone and proxy writes. One pattern proves that
the head is made of header lines, then each line that is read has a pattern for the whole of it. What matches
is well formed by that, and has no other reading; for all else the answer is None, and the reader
(``reader.py``) decides. It lies with the tests because in Python the reader itself is quicker (10 µs against
18). These are the rules, on octets:

- the first CRLF ends a Request-Line with a plain sip URI, or a Status-Line; nothing stands before it;
- a header line is a token, a colon, and text without controls but TAB; no folds, no CR or LF alone;
- the top Via has a name or an IPv4 address; of parameters branch (it must), rport and received, once each;
- From and To are a plain sip URI in brackets, perhaps behind a display name, with a tag or no parameter;
- Call-ID, CSeq, Max-Forwards and Content-Length have nothing behind their value, and stand once;
- CSeq names the request's method; Content-Length, if any, says how many octets are behind the head.

A *plain* sip URI has no escape, password, IPv6 reference or header, and at most one parameter.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

__all__ = ["Index", "scan"]

_TOKEN: Final = rb"[A-Za-z0-9\-.!%*_+`'~]++"
_WORD: Final = rb"""[A-Za-z0-9\-.!%*_+`'~()<>:\\"/\[\]?{}]++"""
_TEXT: Final = rb"[^\x00-\x08\x0a-\x1f\x7f]*+"
_OCTET: Final = rb"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9][0-9]|[0-9])"
_IPV4: Final = rb"(?:" + rb"\.".join([_OCTET] * 4) + rb")(?![\w\-.])"
_HOST: Final = rb"(?:" + _IPV4 + rb"|(?:\w++[.\-])*+(?<!-)[A-Za-z_]\w*+(?![.\-]))"
_PORT: Final = (
    rb"(?:[1-5][0-9]{4}|6(?:[0-4][0-9]{3}|5(?:[0-4][0-9]{2}|5(?:[0-2][0-9]|3[0-5])))|[0-9]{1,4})(?![0-9])"
)
_PARAM: Final = rb"[\w\-.!~*'()\[\]/:&+$]++"
# Groups: user, host, port.
_URI: Final = (
    rb"sip:(?:([\w\-.!~*'()&=+$,;?/]++)@)?+(" + _HOST + rb")(?::(" + _PORT + rb"))?+"
    rb"(?:;" + _PARAM + rb"(?:=" + _PARAM + rb")?+)?+"
)


def _compiled(pattern: bytes) -> re.Pattern[bytes]:
    return re.compile(pattern, re.ASCII)


_START: Final = _compiled(
    rb"(?:SIP/2\.0 ([1-6][0-9][0-9]) " + _TEXT + rb"|(" + _TOKEN + rb") (" + _URI + rb") SIP/2\.0)\r\n"
)
# All header lines and the empty one; each by itself has been proved well formed then.
_LINES: Final = _compiled(rb"(?:" + _TOKEN + rb":" + _TEXT + rb"\r\n)++(?=\r\n)")
# Groups: transport, sent-by, its host and port, then the parameters.
_VIA: Final = _compiled(
    rb"SIP/2\.0/([A-Z]++) ((" + _HOST + rb")(?::(" + _PORT + rb"))?+)"
    rb"((?:;(?:branch=" + _TOKEN + rb"|rport=" + _PORT + rb"|rport(?=[;, \t\r])|received=" + _IPV4 + rb"))++)"
    rb"(?:[ \t]*+,|(?=\r))"
)
_VIA_PARAM: Final = _compiled(rb";(branch|rport|received)(=?)([^;]*+)")
# Groups: URI with user, host and port, tag.
_ADDRESS: Final = _compiled(
    rb'(?:"[^"\\\x00-\x08\x0a-\x1f\x7f]*+"[ \t]*+|[A-Za-z0-9\-.!%*_+`\'~ \t]*+)<(' + _URI + rb")>"
    rb"(?:;tag=(" + _TOKEN + rb"))?+\r"
)
_CALL_ID: Final = _compiled(_WORD + rb"(?:@" + _WORD + rb")?+\r")
_CSEQ: Final = _compiled(rb"([0-9]{1,9}+)[ \t]++(" + _TOKEN + rb")\r")
_HOPS: Final = _compiled(rb"([0-9]{1,3}+)\r")
_LENGTH: Final = _compiled(rb"([0-9]{1,9}+)\r")


class Index:
    """Where in a message stands what a proxy reads; the names are those of the C module (``_head.pyi``).

    What is not there is 0, or -1 where it is a number.
    """

    def __init__(self) -> None:
        self.hops = self.port = self.sent_port = self.to_port = -1

    def __getattr__(self, name: str) -> int:
        return 0

    def __setattr__(self, name: str, value: int) -> None:
        self.__dict__[name] = value


def _span(match: re.Match[bytes], group: int) -> tuple[int, int]:
    """Return where ``group`` stands; zeros where it does not."""
    begin, end = match.span(group)
    return (0, 0) if begin < 0 else (begin, end)


def _number(match: re.Match[bytes], group: int) -> int:
    text = match[group]
    return -1 if text is None else int(text)


def _read_start(data: bytes, index: Index) -> int:
    """Read the start line; return where the next one begins, or 0."""
    match = _START.match(data)
    if match is None:
        return 0
    if match[1] is not None:
        index.status = int(match[1])
    else:
        index.method_end = match.end(2)
        index.uri, index.uri_end = match.span(3)
        index.user, index.user_end = _span(match, 4)
        index.host, index.host_end = match.span(5)
        index.port = _number(match, 6)
    return match.end()


def _read_via(data: bytes, index: Index, line: int, value: int, end: int) -> bool:
    index.via_lines += 1
    if index.via_lines > 1:
        return True
    match = _VIA.match(data, value, end)
    if match is None:
        return False
    index.via_line, index.via_line_end = line, end
    index.via = value
    index.via_transport, index.via_transport_end = match.span(1)
    index.sent_by, index.sent_by_end = match.span(2)
    index.sent_host_end = match.end(3)
    index.sent_port = _number(match, 4)
    begin, index.via_end = match.span(5)
    seen: set[bytes] = set()
    for param in _VIA_PARAM.finditer(data, begin, index.via_end):
        name, equals, _ = param.groups()
        if name in seen:
            return False
        seen.add(name)
        if name == b"branch":
            index.branch, index.branch_end = param.span(3)
        elif name == b"rport" and not equals:
            index.rport = param.end(1)
    return index.branch != 0


def _read_from(data: bytes, index: Index, line: int, value: int, end: int) -> bool:
    match = _ADDRESS.match(data, value, end)
    if match is None or index.from_line:
        return False
    index.from_line, index.from_line_end = line, end
    index.from_uri, index.from_uri_end = match.span(1)
    index.from_tag, index.from_tag_end = _span(match, 5)
    return True


def _read_to(data: bytes, index: Index, line: int, value: int, end: int) -> bool:
    match = _ADDRESS.match(data, value, end)
    if match is None or index.to_line:
        return False
    index.to_line, index.to_line_end = line, end
    index.to_uri, index.to_uri_end = match.span(1)
    index.to_user, index.to_user_end = _span(match, 2)
    index.to_host, index.to_host_end = match.span(3)
    index.to_port = _number(match, 4)
    index.to_tag, index.to_tag_end = _span(match, 5)
    return True


def _read_call_id(data: bytes, index: Index, line: int, value: int, end: int) -> bool:
    if _CALL_ID.match(data, value, end) is None or index.call_id_line:
        return False
    index.call_id_line, index.call_id_line_end = line, end
    index.call_id, index.call_id_end = value, end - 2
    return True


def _read_cseq(data: bytes, index: Index, line: int, value: int, end: int) -> bool:
    match = _CSEQ.match(data, value, end)
    if match is None or index.cseq_line:
        return False
    index.cseq_line, index.cseq_line_end = line, end
    index.cseq = int(match[1])
    index.cseq_method, index.cseq_method_end = match.span(2)
    # RFC 3261 8.1.1.5
    return bool(index.status) or match[2] == data[: index.method_end]


def _read_hops(data: bytes, index: Index, line: int, value: int, end: int) -> bool:
    match = _HOPS.match(data, value, end)
    if match is None or index.hops >= 0:
        return False
    index.hops = int(match[1])
    index.hops_value, index.hops_value_end = match.span(1)
    # RFC 3261 20.22
    return index.hops <= 255


def _read_length(data: bytes, index: Index, line: int, value: int, end: int) -> bool:
    """Stand for Content-Length, which is compared in the end."""
    raise NotImplementedError


def _read_route(data: bytes, index: Index, line: int, value: int, end: int) -> bool:
    index.route_lines += 1
    index.route_line = index.route_line or line
    return True


def _read_contact(data: bytes, index: Index, line: int, value: int, end: int) -> bool:
    index.contact_lines += 1
    index.contact_line = index.contact_line or line
    return True


def _noting(name: str) -> _Read:
    """Return what notes the first line of a field in ``name``."""

    def read(data: bytes, index: Index, line: int, value: int, end: int) -> bool:
        if not getattr(index, name):
            setattr(index, name, line)
        return True

    return read


# Takes the octets, the index, where the line and its value begin, and where the next line does.
_Read = Callable[[bytes, Index, int, int, int], bool]
_READERS: Final[dict[bytes, _Read]] = {
    b"via": _read_via,
    b"v": _read_via,
    b"from": _read_from,
    b"f": _read_from,
    b"to": _read_to,
    b"t": _read_to,
    b"call-id": _read_call_id,
    b"i": _read_call_id,
    b"cseq": _read_cseq,
    b"max-forwards": _read_hops,
    b"content-length": _read_length,
    b"l": _read_length,
    b"route": _read_route,
    b"contact": _read_contact,
    b"m": _read_contact,
    b"record-route": _noting("record_route_line"),
    b"require": _noting("require_line"),
    b"proxy-require": _noting("proxy_require_line"),
    b"max-breadth": _noting("max_breadth_line"),
    b"expires": _noting("expires_line"),
}


def scan(data: bytes) -> Index | None:
    """Return where in ``data``, one whole message, stands what a proxy reads; None: another form."""
    index = Index()
    at = index.lines = _read_start(data, index)
    if not at:
        return None
    lines = _LINES.match(data, at)
    if lines is None:
        return None
    end = lines.end()
    index.end, index.body = end - 2, end + 2
    index.fields = data.count(b"\r\n", at, end)
    index.commas = data.count(b",", 0, end)
    length: bytes | None = None
    longest = 0
    for line in data[at : end - 2].split(b"\r\n"):
        begin, size = at, len(line)
        at += size + 2
        if size > longest:
            longest = size
        colon = line.find(b":")
        read = _READERS.get(line[:colon].lower())
        if read is None:
            continue
        value = begin + colon + 1
        while data[value] in b" \t":
            value += 1
        if read is _read_length:
            # The only one of which nothing is kept.
            found = _LENGTH.match(data, value, at)
            if found is None or length is not None:
                return None
            length = found[1]
            index.length_line = begin
        elif not read(data, index, begin, value, at):
            return None
    index.longest = longest
    if not (index.via_line and index.from_line and index.to_line and index.call_id_line and index.cseq_line):
        return None
    return index if length is None or int(length) == len(data) - index.body else None
