"""A plain INVITE that begins a call, in brief: what a proxy needs of it to send it on, read in one pass.

Theory of operation: it is read as ``plain_head`` says. What goes on, and the 100 that goes back, are cut out
of the octets that came, and joined with the lines that are new (RFC 3261 16.6, 8.2.6.2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sansip.wire.abnf import PLAIN_HOST, PLAIN_PORT, TOKEN
from sansip.wire.head import CUT_BRANCH, CUT_FROM_HOST, cut_answered, cut_opened, cut_text, read_opening_parts
from sansip.wire.plain_head import (
    ADDRESS,
    BEHIND_HOST,
    CALL_ID_LINE,
    DISPLAY,
    LENGTH_LINE,
    ONE_PARAM,
    TEXT,
    USER,
    VIA_LINE,
    BriefReader,
    RequestInBrief,
    head_pattern,
    line,
    octets_at,
    value,
)
from sansip.wire.splice import joined_pieces

if TYPE_CHECKING:
    import re

    from sansip.limits import Limits

__all__ = ["READER", "Opening", "read_opening"]

_ASKED: Final = rf"sip:(?P<user>[\w\-.+]++)@(?P<host>{PLAIN_HOST})(?::(?P<port>{PLAIN_PORT}))?{ONE_PARAM}"
_SENDER: Final = rf"{DISPLAY}<sip:(?:{USER}@)?+(?P<from_host>{PLAIN_HOST}){BEHIND_HOST}>"
_head: Final = head_pattern(
    rf"INVITE (?P<uri>{_ASKED}) SIP/2\.0",
    (
        VIA_LINE,
        line("from_", rf"From: {_SENDER};tag=(?P<from_tag>{TOKEN})"),
        line("to", f"To: {ADDRESS}"),
        CALL_ID_LINE,
        line("cseq_line", "CSeq: (?P<cseq>[0-9]{1,9}) INVITE"),
        # RFC 3261 16.6 step 3: without it one is to be added.
        value("hops", "Max-Forwards: ", "[1-9][0-9]?"),
        line("contact", f"Contact: {ADDRESS}"),
        LENGTH_LINE,
        line("route", f"Route: {TEXT}"),
        line("credentials", f"Proxy-Authorization: {TEXT}"),
    ),
    # Those that are read, and those by which the route, or the copy that leaves, would differ.
    "via|v|from|f|to|t|call-id|i|cseq|max-forwards|content-length|l|contact|m|route|record-route|timestamp"
    "|authorization|proxy-authorization|proxy-require|max-breadth",
    ("via", "from_", "to", "call_id", "cseq", "hops", "contact", "length"),
)
_KEEPS: Final = (
    *("length", "cseq", "hops", "contact", "route", "credentials", "rport", "rport_behind"),
    *("uri", "user", "host", "port", "via", "sent_host", "sent_port", "branch"),
    *("from_", "from_host", "from_tag", "to", "call_id_line", "call_id", "cseq_line"),
)
# Lines that are changed or moved are found by the numbers of their groups.
_VIA, _HOPS, _ROUTE, _PROOF, _FROM, _TO, _CALL_ID, _CSEQ = [
    _head.groupindex[name]
    for name in ("via", "hops", "route", "credentials", "from_", "to", "call_id_line", "cseq_line")
]


# Replaced by tests where the scanner is not installed.
_opened: Final[Any] = cut_opened
_answered: Final[Any] = cut_answered
_text: Final[Any] = cut_text
_PARTS: Final = 38


class Opening(RequestInBrief):
    """An INVITE, as far as it was read.

    Attributes:
        user: of the Request-URI.
        from_, to, call_id_line, cseq_line: the lines. To has no tag.
        contact: the line of the only Contact, which holds one address.
        route: the line of the only Route, or None. It does not go on.
        proven: whether its credentials have been found to be those of its sender; written by who checks.
    """

    __slots__ = (
        "_call_id",
        "_cseq",
        "_from",
        "_lines",
        "_to",
        "_written_branch",
        "_written_host",
        "call_id_line",
        "contact",
        "cseq_line",
        "from_",
        "proven",
        "route",
        "to",
        "user",
    )

    user: str
    from_: str
    to: str
    call_id_line: str
    cseq_line: str
    contact: str
    route: str | None
    _lines: int
    _from: int
    _to: int
    _call_id: int
    _cseq: int
    _written_branch: str
    _written_host: str

    def __init__(self, came: bytes, parts: tuple[Any, ...]) -> None:
        self._came = came
        self.proven = False
        if _text is not None and len(parts) < _PARTS:
            (
                self.uri,
                self.user,
                self.host,
                self.port,
                self.via,
                self.sent_host,
                self.sent_port,
                self.rport,
                self.sent_by,
                self.key,
                self.from_,
                self.from_tag,
                self.to,
                self.call_id_line,
                self.call_id,
                self.cseq_line,
                self.cseq,
                self.contact,
                self.route,
                self.credentials,
                self._cut,
                _,
                self._body,
            ) = parts
            return
        self._cut = None
        (
            self.uri,
            self.user,
            self.host,
            self.port,
            self.via,
            self.sent_host,
            self.sent_port,
            self.rport,
            self.sent_by,
            self.key,
            self._written_branch,
            self.from_,
            self._written_host,
            self.from_tag,
            self.to,
            self.call_id_line,
            self.call_id,
            self.cseq_line,
            self.cseq,
            hops,
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
        self._left = hops - 1

    @property
    def branch(self) -> str:
        """The branch of the only Via."""
        cut = self._cut
        branch: str = self._written_branch if cut is None else _text(cut, CUT_BRANCH)
        return branch

    @property
    def from_host(self) -> str:
        """The host of the URI of From."""
        cut = self._cut
        host: str = self._written_host if cut is None else _text(cut, CUT_FROM_HOST)
        return host

    @property
    def deciding(self) -> tuple[str, ...]:
        """The lines that decide its routing beside those of every request (RFC 5393 4.2.1)."""
        route, credentials = self.route, self.credentials
        if route is None or credentials is None:
            return () if route is credentials else (route or credentials or "",)
        return (route, credentials) if self._is_route_first else (credentials, route)

    def forwarded(self, uri: str, ours: str, noted: str, breadth: int, proven: bool = False) -> bytes:
        """Return the request as it goes on to ``uri``: ``ours`` above its other lines, its Via ``noted``.

        ``ours``: our Record-Route lines, each with its line end. Our Via is part of ``noted``. ``proven``:
        its credentials were for this server, and stay here (RFC 3261 22.3).
        RFC 3261 16.6 steps 1 to 4 and 8, RFC 5393 5.3.3.
        """
        sent: bytes
        if self._cut is not None:
            sent = _opened(self._cut, uri, ours, noted, breadth, proven)
            return sent
        body, route, proof = self._body, self._route, self._proof
        sent = joined_pieces(
            self._came,
            0, self._lines, f"INVITE {uri} SIP/2.0\r\n{ours}",
            self._via, self._via_end, noted,
            self._hops, self._hops_end, str(self._left),
            route, route if self.route is None else self._route_end + 2, "",
            proof, self._proof_end + 2 if proven and proof else proof, "",
            body - 2, body - 2, f"Max-Breadth: {breadth}\r\n",
        )  # fmt: skip
        return sent

    def trying(self, noted: str) -> bytes:
        """Return the 100 (RFC 3261 8.2.6.1, 8.2.6.2); ``noted``: its Via."""
        return self.answer("SIP/2.0 100 Trying", noted, self.to, "Content-Length: 0\r\n\r\n")

    def answer(self, start: str, noted: str, to: str, rest: str) -> bytes:
        """Return an answer (RFC 3261 8.2.6.2): its first line, Via and To, and ``rest`` behind the copied."""
        octets: bytes
        if self._cut is not None:
            octets = _answered(self._cut, start, noted, to, rest)
            return octets
        a, b, c, d, e = noted, self.from_, to, self.call_id_line, self.cseq_line
        if not self._via < self._from < self._to < self._call_id < self._cseq:
            places = self._via, self._from, self._to, self._call_id, self._cseq
            a, b, c, d, e = [line for _, line in sorted(zip(places, (a, b, c, d, e), strict=True))]
        return f"{start}\r\n{a}\r\n{b}\r\n{c}\r\n{d}\r\n{e}\r\n{rest}".encode()


def _parts_of(match: re.Match[str], kept: tuple[Any, ...], head: str, body: int) -> tuple[Any, ...]:
    """Return the parts of an ``Opening``."""
    cseq, hops, contact, route, credentials, rport, rport_behind = kept[1:8]
    span, start = match.span, match.start
    places: tuple[int, ...] = (
        head.find("\n") + 1,
        *span(_VIA),
        *span(_HOPS),
        *((0, 0) if route is None else span(_ROUTE)),
        *((0, 0) if credentials is None else span(_PROOF)),
        *(start(_FROM), start(_TO), start(_CALL_ID), start(_CSEQ)),
    )
    if not head.isascii():
        places = octets_at(head, places)
    uri, user, host, port, via, sent_host, sent_port, branch, from_, from_host = kept[8:18]
    sent_host = sent_host.lower()
    sent_by = sent_host if sent_port is None else f"{sent_host}:{int(sent_port)}"
    return (
        uri,
        user,
        host.lower(),
        None if port is None else int(port),
        via,
        sent_host,
        None if sent_port is None else int(sent_port),
        rport is not None or rport_behind is not None,
        sent_by,
        f"{branch} {sent_by}",
        branch,
        from_,
        from_host.lower(),
        *kept[18:],
        int(cseq),
        int(hops),
        contact,
        route,
        credentials,
        *places,
        head.count("\n") + head.count(","),
        body,
    )


READER: Final = BriefReader(Opening, _head, _KEEPS, _parts_of, read_opening_parts)


def read_opening(data: bytes, limits: Limits) -> Opening | None:
    """As ``READER.read``; its class is known here, so compiled code makes it without a look-up."""
    parts = READER.parts(data, limits)
    return None if parts is None else Opening(data, parts)
