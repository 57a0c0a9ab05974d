"""A plain INVITE that begins a call, in brief: what a proxy needs of it to send it on, read in one pass.

Theory of operation: as in ``passing``, one pattern reads a whole head in which each field that is read has
its usual spelling, stands once and has the simplest form; the reader accepts all that it accepts, with the
same values (``tests/wire/test_opening.py``), and reads everything else. What goes on, and the 100 that goes
back, are cut out of the octets that came, and joined with the lines that are new (RFC 3261 16.6, 8.2.6.2).
Where the C module is there, it reads instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sansip.wire.abnf import PLAIN_HOST, PLAIN_PORT, TOKEN, TOKEN_CLASS, WORD, compiled
from sansip.wire.head import read_opening_parts

if TYPE_CHECKING:
    import re

    from sansip.limits import Limits

__all__ = ["Opening", "read_opening"]

_TEXT: Final = r"[^\x00-\x08\x0a-\x1f\x7f]*+"
_USER: Final = r"[\w\-.!~*'()&=+$/]++"
_PARAM: Final = r"[\w\-.!~*'()\[\]/:&+$]++"
_DISPLAY: Final = rf'(?:"[^"\\\x00-\x08\x0a-\x1f\x7f]*+"[ \t]*+|[{TOKEN_CLASS} \t]*+)'
_BEHIND_HOST: Final = rf"(?::(?:{PLAIN_PORT}))?+(?:;{_PARAM}(?:={_PARAM})?+)?+"
_ADDRESS: Final = rf"{_DISPLAY}<sip:(?:{_USER}@)?+(?:{PLAIN_HOST}){_BEHIND_HOST}>"
_BRANCH: Final = rf";branch=(z9hG4bK{TOKEN})"
# Those that are read, in any spelling, and those by which the route, or the copy that leaves, would differ.
_NAMED: Final = (
    "via|v|from|f|to|t|call-id|i|cseq|max-forwards|content-length|l|contact|m|route|record-route|timestamp"
    "|authorization|proxy-authorization|proxy-require|max-breadth"
)
_LINES: Final = (
    rf"(?(5)(?!)|(Via: SIP/2\.0/[A-Z]++ ({PLAIN_HOST})(?::({PLAIN_PORT}))?(;rport)?{_BRANCH}(;rport)?))",
    rf"(?(11)(?!)|(From: {_DISPLAY}<sip:(?:{_USER}@)?+({PLAIN_HOST}){_BEHIND_HOST}>;tag=({TOKEN})))",
    rf"(?(14)(?!)|(To: {_ADDRESS}))",
    rf"(?(15)(?!)|(Call-ID: ({WORD}(?:@{WORD})?+)))",
    r"(?(17)(?!)|(CSeq: ([0-9]{1,9}) INVITE))",
    r"(?(19)(?!)|Max-Forwards: ([1-9][0-9]?))",
    rf"(?(20)(?!)|(Contact: {_ADDRESS}))",
    r"(?(21)(?!)|Content-Length: *+([0-9]{1,7}))",
    rf"(?(22)(?!)|(Route: {_TEXT}))",
    rf"(?(23)(?!)|(Proxy-Authorization: {_TEXT}))",
    rf"(?!(?i:{_NAMED})[ \t]*+:){TOKEN}:{_TEXT}",
)
_ASKED: Final = rf"sip:([\w\-.+]++)@({PLAIN_HOST})(?::({PLAIN_PORT}))?(?:;{_PARAM}(?:={_PARAM})?+)?+"
_START: Final = rf"INVITE ({_ASKED}) SIP/2\.0\r\n"
# A failure goes back line by line, each of which has one reading: linear time.
_head: Final = compiled(rf"{_START}(?:(?:{'|'.join(_LINES)})\r\n)+").fullmatch
_VIA, _FROM, _TO, _CALL_ID, _CSEQ, _HOPS, _LENGTH, _ROUTE, _PROOF = 5, 11, 14, 15, 17, 19, 21, 22, 23


class Opening:
    """An INVITE, as far as it was read.

    Attributes:
        uri, user, host, port: of the Request-URI, a sip URI with one parameter at most.
        via: the line of the only Via; ``sent_host``, ``sent_port`` and ``branch`` of it; ``rport``: whether
            it has that flag.
        from_, from_host, from_tag, to, call_id_line, call_id, cseq_line, cseq: the lines and what is in them;
            To has no tag.
        contact: the line of the only Contact, which holds one address.
        route: the line of the only Route, or None. It does not go on.
        credentials: the line of the only Proxy-Authorization, or None.
        hops: Max-Forwards.
        proven: whether its credentials have been found to be those of its sender; written by who checks.
    """

    __slots__ = (
        "_body",
        "_call_id",
        "_came",
        "_cseq",
        "_from",
        "_hops",
        "_hops_end",
        "_lines",
        "_proof",
        "_proof_end",
        "_route",
        "_route_end",
        "_to",
        "_via",
        "_via_end",
        "branch",
        "call_id",
        "call_id_line",
        "contact",
        "credentials",
        "cseq",
        "cseq_line",
        "from_",
        "from_host",
        "from_tag",
        "hops",
        "host",
        "port",
        "proven",
        "route",
        "rport",
        "sent_host",
        "sent_port",
        "to",
        "uri",
        "user",
        "via",
    )

    def __init__(self, came: bytes, parts: tuple[Any, ...]) -> None:
        self._came = came
        self.proven = False
        (
            self.uri,
            self.user,
            host,
            port,
            self.via,
            sent_host,
            sent_port,
            self.rport,
            self.branch,
            self.from_,
            from_host,
            self.from_tag,
            self.to,
            self.call_id_line,
            self.call_id,
            self.cseq_line,
            self.cseq,
            self.hops,
            self.contact,
            self.route,
            self.credentials,
            # Where stand the lines, the Via and the digits of Max-Forwards, with their ends, ...
            self._lines,
            self._via,
            self._via_end,
            self._hops,
            self._hops_end,
            # ... the lines of Route and of the credentials, ...
            self._route,
            self._route_end,
            self._proof,
            self._proof_end,
            # ... the other lines that answers copy, and the body.
            self._from,
            self._to,
            self._call_id,
            self._cseq,
            # How many fields and commas there are.
            _,
            self._body,
        ) = parts
        self.host: str = host.lower()
        self.port = None if port is None else int(port)
        self.sent_host: str = sent_host.lower()
        self.sent_port = None if sent_port is None else int(sent_port)
        self.from_host: str = from_host.lower()

    def has(self, pattern: re.Pattern[str]) -> bool:
        """Whether ``pattern`` is found in the head."""
        return pattern.search(self._came[: self._body].decode()) is not None

    @property
    def body(self) -> bytes:
        """The body."""
        return self._came[self._body :]

    @property
    def deciding(self) -> tuple[str, ...]:
        """The lines that decide its routing beside those of every request (RFC 5393 4.2.1)."""
        route, credentials = self.route, self.credentials
        if route is None or credentials is None:
            return () if route is credentials else (route or credentials or "",)
        return (route, credentials) if self._route < self._proof else (credentials, route)

    def forwarded(self, uri: str, ours: str, noted: str, breadth: int, proven: bool = False) -> bytes:
        """Return the request as it goes on to ``uri``: ``ours`` above its other lines, its Via ``noted``.

        ``ours``: our Record-Route lines, each with its line end. Our Via is part of ``noted``. ``proven``:
        its credentials were for this server, and stay here (RFC 3261 22.3).
        RFC 3261 16.6 steps 1 to 4 and 8, RFC 5393 5.3.3.
        """
        came, body, lines = self._came, self._body, self._lines
        begin, hops = self._via, self._hops
        start = f"INVITE {uri} SIP/2.0\r\n{ours}".encode()
        left, end = b"%d" % (self.hops - 1), b"Max-Breadth: %d\r\n\r\n" % breadth
        if proven or self.route is not None:
            changes = [(begin, self._via_end, noted.encode()), (hops, self._hops_end, left)]
            if self.route is not None:
                changes.append((self._route, self._route_end + 2, b""))
            if proven:
                changes.append((self._proof, self._proof_end + 2, b""))
            changes.sort()
            parts = [start]
            for at, behind, text in changes:
                parts += came[lines:at], text
                lines = behind
            return b"".join((*parts, came[lines : body - 2], end, came[body:]))
        if begin < hops:
            middle = came[lines:begin], noted.encode(), came[self._via_end : hops], left
            behind = self._hops_end
        else:
            middle = came[lines:hops], left, came[self._hops_end : begin], noted.encode()
            behind = self._via_end
        return b"".join((start, *middle, came[behind : body - 2], end, came[body:]))

    def trying(self, noted: str) -> bytes:
        """Return the 100 (RFC 3261 8.2.6.1, 8.2.6.2); ``noted``: its Via."""
        return self.answer("SIP/2.0 100 Trying", noted, self.to, "Content-Length: 0\r\n\r\n")

    def answer(self, start: str, noted: str, to: str, rest: str) -> bytes:
        """Return an answer (RFC 3261 8.2.6.2): its first line, Via and To, and ``rest`` behind the copied."""
        a, b, c, d, e = noted, self.from_, to, self.call_id_line, self.cseq_line
        if not self._via < self._from < self._to < self._call_id < self._cseq:
            places = self._via, self._from, self._to, self._call_id, self._cseq
            a, b, c, d, e = [line for _, line in sorted(zip(places, (a, b, c, d, e), strict=True))]
        return f"{start}\r\n{a}\r\n{b}\r\n{c}\r\n{d}\r\n{e}\r\n{rest}".encode()


def read_opening(data: bytes, limits: Limits) -> Opening | None:
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
    parts = None if read_opening_parts is None else read_opening_parts(data)
    if parts is None:
        if read_opening_parts is not None and data.isascii():
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
    return Opening(data, parts)


def _read_plainly(data: bytes, end: int) -> tuple[Any, ...] | None:
    """Return the parts of an ``Opening``."""
    try:
        head = data[: end + 2].decode()
    except UnicodeDecodeError:
        return None
    match = _head(head)
    if match is None:
        return None
    length = match[_LENGTH]
    # Of each line there is one (groups that are looked at).
    if length is None or int(length) != len(data) - end - 4 or None in match.group(5, 11, 14, 15, 17, 19, 20):
        return None
    start = match.start
    spans: Any = (
        head.find("\n") + 1,
        *match.span(_VIA),
        *match.span(_HOPS),
        *((0, 0) if match[_ROUTE] is None else match.span(_ROUTE)),
        *((0, 0) if match[_PROOF] is None else match.span(_PROOF)),
        *(start(_FROM), start(_TO), start(_CALL_ID), start(_CSEQ)),
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
        match[20],
        match[_ROUTE],
        match[_PROOF],
        *spans,
        head.count("\n") + head.count(","),
        end + 4,
    )
