"""A plain request of a dialog in brief: what a proxy needs of it to send it on, read in one pass.

Theory of operation: as in ``brief``, one pattern reads a whole head in which each field that is read has its
usual spelling, stands once and has the simplest form; the reader accepts all that it accepts, with the same
values (``tests/wire/test_passing.py``), and reads everything else. What goes on is cut out of the octets that
came, and joined with the lines that are new (RFC 3261 16.6). Where the C module is there, it reads instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sansip.wire.abnf import PLAIN_HOST, PLAIN_PORT, TOKEN, TOKEN_CLASS, WORD, compiled
from sansip.wire.head import read_passing_parts

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
    rf"(?(22)(?!)|(Proxy-Authorization: {_TEXT}))",
    rf"(?!(?i:{_NAMED})[ \t]*+:){TOKEN}:{_TEXT}",
)
_ASKED: Final = rf"sip:(?:{_USER}@)?({PLAIN_HOST})(?::({PLAIN_PORT}))?(?:;{_PARAM}(?:={_PARAM})?+)?+"
_START: Final = rf"([A-Z]{{1,20}}) ({_ASKED}) SIP/2\.0"
# A failure goes back line by line, each of which has one reading: linear time.
_head: Final = compiled(rf"{_START}\r\n(?:(?:{'|'.join(_LINES)})\r\n)+").fullmatch
_is_ipv4: Final = compiled(_IPV4).fullmatch
_VIA, _ROUTE, _HOPS, _LENGTH, _PROOF = 5, 20, 19, 21, 22


class Passing:
    """A request, as far as it was read.

    Attributes:
        method, uri, host, port: of the Request-URI, a sip URI at an IPv4 address with one parameter at most.
        via: the line of the only Via; ``sent_host``, ``sent_port`` and ``branch`` of it; ``rport``: whether
            it has that flag.
        from_, from_tag, to, to_tag, call_id_line, call_id, cseq_line, cseq: the lines and what is in them.
        route: the line of Route.
        credentials: the line of the only Proxy-Authorization, or None.
        hops: Max-Forwards.
    """

    __slots__ = (
        "_body",
        "_came",
        "_hops",
        "_hops_end",
        "_proof",
        "_proof_end",
        "_route",
        "_route_end",
        "_via",
        "_via_end",
        "branch",
        "call_id",
        "call_id_line",
        "credentials",
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

    def __init__(self, came: bytes, parts: tuple[Any, ...]) -> None:
        self._came = came
        (
            self.method,
            self.uri,
            host,
            port,
            self.via,
            sent_host,
            sent_port,
            self.rport,
            self.branch,
            self.from_,
            self.from_tag,
            self.to,
            self.to_tag,
            self.call_id_line,
            self.call_id,
            self.cseq_line,
            self.cseq,
            self.hops,
            self.route,
            self.credentials,
            # Where stand the Via, the Route, the credentials, the digits of Max-Forwards, each with its end,
            # and the body.
            self._via,
            self._via_end,
            self._route,
            self._route_end,
            self._proof,
            self._proof_end,
            self._hops,
            self._hops_end,
            # How many fields and commas there are.
            _,
            self._body,
        ) = parts
        self.host: str = host
        self.port = None if port is None else int(port)
        self.sent_host: str = sent_host.lower()
        self.sent_port = None if sent_port is None else int(sent_port)

    @property
    def size(self) -> int:
        """How many octets were read."""
        return len(self._came)

    @property
    def body(self) -> bytes:
        """The octets of the body."""
        return self._came[self._body :]

    def has(self, pattern: re.Pattern[str]) -> bool:
        """Whether ``pattern`` is found in the head."""
        return pattern.search(self._came[: self._body].decode()) is not None

    @property
    def deciding(self) -> tuple[str, ...]:
        """The lines that decide its routing beside those of every request (RFC 5393 4.2.1)."""
        route, credentials = self.route, self.credentials
        if credentials is None:
            return (route,)
        return (route, credentials) if self._route < self._proof else (credentials, route)

    def forwarded(self, ours: str, noted: str, breadth: int, proven: bool = False) -> bytes:
        """Return the request as it goes on: ``ours`` above its Via, which is ``noted``, no Route.

        ``proven``: its credentials were for this server, and stay here (RFC 3261 22.3).
        RFC 3261 16.4, 16.6 steps 3 and 8, RFC 5393 5.3.3.
        """
        came, body = self._came, self._body
        via = self._via, self._via_end, f"{ours}\r\n{noted}".encode()
        route = self._route, self._route_end + 2, b""
        hops = self._hops, self._hops_end, b"%d" % (self.hops - 1)
        end = b"Max-Breadth: %d\r\n\r\n" % breadth
        if proven:
            changes = sorted((via, route, hops, (self._proof, self._proof_end + 2, b"")))
            joined: list[bytes] = []
            at = 0
            for begin, behind, text in changes:
                joined += came[at:begin], text
                at = behind
            return b"".join((*joined, came[at : body - 2], end, came[body:]))
        (a, b, one), (c, d, two), (e, f, three) = (
            (via, route, hops) if via < route < hops else sorted((via, route, hops))
        )
        parts = (came[:a], one, came[b:c], two, came[d:e], three, came[f : body - 2], end, came[body:])
        return b"".join(parts)


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
    parts = None if read_passing_parts is None else read_passing_parts(data)
    if parts is None:
        if read_passing_parts is not None and data.isascii():
            return None
        parts = _read_plainly(data, end)
        if parts is None:
            return None
    most = parts[-2]
    if (
        most > limits.header_count
        or most > limits.via_count
        or most > limits.route_count
        or most > limits.contact_count
    ):
        return None
    return Passing(data, parts)


def _read_plainly(data: bytes, end: int) -> tuple[Any, ...] | None:
    """Return the parts of a ``Passing``."""
    try:
        head = data[: end + 2].decode()
    except UnicodeDecodeError:
        return None
    match = _head(head)
    if match is None:
        return None
    length = match[_LENGTH]
    # Of each line there is one (groups that are looked at); without Max-Forwards one is to be added.
    if (
        length is None
        or int(length) != len(data) - end - 4
        or None in match.group(5, 11, 13, 15, 17, 19, 20)
        or _is_ipv4(match[3]) is None
    ):
        return None
    spans: Any = (
        *match.span(_VIA),
        *match.span(_ROUTE),
        *((0, 0) if match[_PROOF] is None else match.span(_PROOF)),
        *match.span(_HOPS),
    )
    if not head.isascii():
        spans = [len(head[:at].encode()) for at in spans]
    before, behind = match[8], match[10]
    if before is not None and behind is not None:
        # RFC 3261 7.3.1: a parameter that stands twice.
        return None
    groups = match.groups()
    return (
        *groups[:7],
        before is not None or behind is not None,
        groups[8],
        *groups[10:17],
        int(match[18]),
        int(match[_HOPS]),
        match[_ROUTE],
        match[_PROOF],
        *spans,
        head.count("\n") + head.count(","),
        end + 4,
    )
