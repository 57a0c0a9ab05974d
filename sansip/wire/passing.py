"""A plain request of a dialog in brief: what a proxy needs of it to send it on, read in one pass.

Theory of operation: as in ``brief``, one pattern reads a whole head in which each field that is read has its
usual spelling, stands once and has the simplest form; the reader accepts all that it accepts, with the same
values (``tests/wire/test_passing.py``), and reads everything else. What goes on is cut out of the octets that
came, and joined with the lines that are new (RFC 3261 16.6).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sansip.wire.abnf import PLAIN_HOST, PLAIN_PORT, TOKEN, TOKEN_CLASS, WORD, compiled

if TYPE_CHECKING:
    import re

    from sansip.limits import Limits

__all__ = ["Passing", "read_passing"]

_TEXT: Final = r"[^\x00-\x08\x0a-\x1f\x7f]*+"
_USER: Final = r"[\w\-.!~*'()&=+$/]++"
_PARAM: Final = r"[\w\-.!~*'()\[\]/:&+$]++"
_DISPLAY: Final = rf'(?:"[^"\\\x00-\x08\x0a-\x1f\x7f]*+"[ \t]*+|[{TOKEN_CLASS} \t]*+)'
_ADDRESS: Final = (
    rf"{_DISPLAY}<sip:(?:{_USER}@)?+(?:{PLAIN_HOST})(?::(?:{PLAIN_PORT}))?+(?:;{_PARAM}(?:={_PARAM})?+)?+>"
)
_BRANCH: Final = rf";branch=(z9hG4bK{TOKEN})"
_IPV4: Final = r"[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}"
# Those that are read, in any spelling, and those by which others than the mark would decide.
_NAMED: Final = (
    "via|v|from|f|to|t|call-id|i|cseq|max-forwards|content-length|l|route"
    "|authorization|proxy-authorization|proxy-require|max-breadth"
)
_LINES: Final = (
    rf"(?(5)(?!)|(Via: SIP/2\.0/[A-Z]++ ({PLAIN_HOST})(?::({PLAIN_PORT}))?(;rport)?{_BRANCH}(;rport)?))",
    rf"(?(11)(?!)|(From: {_ADDRESS};tag=({TOKEN})))",
    rf"(?(13)(?!)|(To: {_ADDRESS};tag=({TOKEN})))",
    rf"(?(15)(?!)|(Call-ID: ({WORD}(?:@{WORD})?+)))",
    r"(?(17)(?!)|(CSeq: ([0-9]{1,9}) \1))",
    r"(?(19)(?!)|Max-Forwards: ([1-9][0-9]?))",
    rf"(?(20)(?!)|(Route: {_TEXT}))",
    r"(?(21)(?!)|Content-Length: *+([0-9]{1,7}))",
    rf"(?!(?i:{_NAMED})[ \t]*+:){TOKEN}:{_TEXT}",
)
_START: Final = rf"([A-Z]{{1,20}}) (sip:(?:{_USER}@)?({PLAIN_HOST})(?::({PLAIN_PORT}))?) SIP/2\.0"
# A failure goes back line by line, each of which has one reading: linear time.
_head: Final = compiled(rf"{_START}\r\n(?:(?:{'|'.join(_LINES)})\r\n)+").fullmatch
_is_ipv4: Final = compiled(_IPV4).fullmatch
_VIA, _ROUTE, _HOPS, _LENGTH = 5, 20, 19, 21


class Passing:
    """A request, as far as it was read.

    Attributes:
        method, uri, host, port: of the Request-URI, a sip URI at an IPv4 address without parameters.
        via: the line of the only Via; ``sent_host``, ``sent_port`` and ``branch`` of it; ``rport``: whether
            it has that flag.
        from_, from_tag, to, to_tag, call_id_line, call_id, cseq_line, cseq: the lines and what is in them.
        route: the line of Route.
        hops: Max-Forwards.
    """

    __slots__ = (
        "_body",
        "_head",
        "_match",
        "branch",
        "call_id",
        "call_id_line",
        "cseq",
        "cseq_line",
        "from_",
        "from_tag",
        "hops",
        "host",
        "method",
        "port",
        "route",
        "rport",
        "sent_host",
        "sent_port",
        "to",
        "to_tag",
        "uri",
        "via",
    )

    def __init__(self, head: str, match: re.Match[str], body: bytes) -> None:
        self._head = head
        self._match = match
        self._body = body
        (
            self.method,
            self.uri,
            host,
            port,
            self.via,
            sent_host,
            sent_port,
            before,
            self.branch,
            behind,
            self.from_,
            self.from_tag,
            self.to,
            self.to_tag,
            self.call_id_line,
            self.call_id,
            self.cseq_line,
            self.cseq,
            hops,
            self.route,
            _,
        ) = match.groups()
        self.host: str = host
        self.port = None if port is None else int(port)
        self.sent_host: str = sent_host.lower()
        self.sent_port = None if sent_port is None else int(sent_port)
        self.rport = before is not None or behind is not None
        self.hops = int(hops)

    def has(self, pattern: re.Pattern[str]) -> bool:
        """Whether ``pattern`` is found in the head."""
        return pattern.search(self._head) is not None

    def forwarded(self, ours: str, noted: str, breadth: int) -> bytes:
        """Return the request as it goes on: ``ours`` above its Via, which is ``noted``, no Route.

        RFC 3261 16.4, 16.6 steps 3 and 8, RFC 5393 5.3.3.
        """
        head, match = self._head, self._match
        begin, end = match.span(_VIA)
        hops, hops_end = match.span(_HOPS)
        route, route_end = match.span(_ROUTE)
        parts = [
            (begin, end, f"{ours}\r\n{noted}"),
            (route, route_end + 2, ""),
            (hops, hops_end, str(self.hops - 1)),
        ]
        if not begin < route < hops:
            parts.sort()
        (a, b, one), (c, d, two), (e, f, three) = parts
        text = f"{head[:a]}{one}{head[b:c]}{two}{head[d:e]}{three}{head[f:]}Max-Breadth: {breadth}\r\n\r\n"
        return text.encode() + self._body


def read_passing(data: bytes, limits: Limits) -> Passing | None:
    """Return the request in ``data``, a datagram; None where it is not plain, or near a limit."""
    end = data.find(b"\r\n\r\n")
    if (
        end < 0
        or end > limits.header_parts
        or end > limits.header_size
        or end > limits.head_size
        or end > limits.uri_size
        or len(data) > limits.message_size
    ):
        return None
    try:
        head = data[: end + 2].decode()
    except UnicodeDecodeError:
        return None
    match = _head(head)
    if match is None:
        return None
    body = data[end + 4 :]
    length = match[_LENGTH]
    # Of each line there is one (groups that are looked at); without Max-Forwards one is to be added.
    if length is None or int(length) != len(body) or None in match.group(5, 11, 13, 15, 17, 19, 20):
        return None
    most = head.count("\n") + head.count(",")
    if (
        most > limits.header_count
        or most > limits.via_count
        or most > limits.route_count
        or most > limits.contact_count
        or _is_ipv4(match[3]) is None
    ):
        return None
    return Passing(head, match, body)
