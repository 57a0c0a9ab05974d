"""A plain request of a dialog in brief: what a proxy needs of it to send it on, read in one pass.

Theory of operation: it is read as ``plain_head`` says. What goes on is cut out of the octets that came, and
joined with the lines that are new (RFC 3261 16.6). The C module leaves one with a Timestamp to the
reader, and takes a few more users (``_octets.h``): both ways end in the same octets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sansip.wire.abnf import PLAIN_HOST, PLAIN_PORT, TOKEN, compiled
from sansip.wire.head import cut_passed, read_passing_parts
from sansip.wire.plain_head import (
    ADDRESS,
    CALL_ID_LINE,
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

__all__ = ["READER", "Passing", "read_passing"]

_ASKED: Final = rf"sip:(?:{USER}@)?(?P<host>{PLAIN_HOST})(?::(?P<port>{PLAIN_PORT}))?{ONE_PARAM}"
_head: Final = head_pattern(
    rf"(?P<method>[A-Z]{{1,20}}) (?P<uri>{_ASKED}) SIP/2\.0",
    (
        VIA_LINE,
        line("from_", rf"From: {ADDRESS};tag=(?P<from_tag>{TOKEN})"),
        line("to", rf"To: {ADDRESS};tag=(?P<to_tag>{TOKEN})"),
        CALL_ID_LINE,
        line("cseq_line", "CSeq: (?P<cseq>[0-9]{1,9}) (?P=method)"),
        # RFC 3261 16.6 step 3: without it one is to be added.
        value("hops", "Max-Forwards: ", "[1-9][0-9]?"),
        line("route", f"Route: {TEXT}"),
        LENGTH_LINE,
        line("credentials", f"Proxy-Authorization: {TEXT}"),
    ),
    # Those that are read, and those by which others than the mark would decide.
    "via|v|from|f|to|t|call-id|i|cseq|max-forwards|content-length|l|route"
    "|authorization|proxy-authorization|proxy-require|max-breadth",
    ("via", "from_", "to", "call_id", "cseq", "hops", "route", "length"),
)
_KEEPS: Final = (
    *("length", "cseq", "hops", "route", "credentials", "rport", "rport_behind"),
    *("method", "uri", "host", "port", "via", "sent_host", "sent_port", "branch"),
    *("from_", "from_tag", "to", "to_tag", "call_id_line", "call_id", "cseq_line"),
)
# Lines that change are found by the numbers of their groups.
_VIA, _ROUTE, _PROOF, _HOPS = [_head.groupindex[name] for name in ("via", "route", "credentials", "hops")]
_is_ipv4: Final = compiled(r"[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}").fullmatch


# Replaced by tests where the scanner is not installed.
_passed: Final[Any] = cut_passed
_PARTS: Final = 32


class Passing(RequestInBrief):
    """A request, as far as it was read.

    Attributes:
        method: the host of its Request-URI is an IPv4 address.
        from_, to, call_id_line, cseq_line: the lines; branch: of Via.
        to_tag: of To.
        route: the line of Route.
    """

    __slots__ = (
        "branch",
        "call_id_line",
        "cseq_line",
        "from_",
        "method",
        "route",
        "to",
        "to_tag",
    )

    method: str
    branch: str
    from_: str
    to: str
    to_tag: str
    call_id_line: str
    cseq_line: str
    route: str

    def __init__(self, came: bytes, parts: tuple[Any, ...]) -> None:
        self._came = came
        if _passed is not None and len(parts) < _PARTS:
            (
                self.method,
                self.uri,
                self.host,
                self.port,
                self.via,
                self.sent_host,
                self.sent_port,
                self.rport,
                self.sent_by,
                self.key,
                self.branch,
                self.from_,
                self.from_tag,
                self.to,
                self.to_tag,
                self.call_id_line,
                self.call_id,
                self.cseq_line,
                self.cseq,
                self.route,
                self.credentials,
                self._cut,
                _,
                self._body,
            ) = parts
            return
        self._cut = None
        (
            self.method,
            self.uri,
            self.host,
            self.port,
            self.via,
            self.sent_host,
            self.sent_port,
            self.rport,
            self.sent_by,
            self.key,
            self.branch,
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
        self._left = hops - 1

    @property
    def size(self) -> int:
        """How many octets were read."""
        return len(self._came)

    @property
    def deciding(self) -> tuple[str, ...]:
        """The lines that decide its routing beside those of every request (RFC 5393 4.2.1)."""
        route, credentials = self.route, self.credentials
        if credentials is None:
            return (route,)
        return (route, credentials) if self._is_route_first else (credentials, route)

    def forwarded(self, ours: str, noted: str, breadth: int, proven: bool = False) -> bytes:
        """Return the request as it goes on: ``ours`` above its Via, which is ``noted``, no Route.

        ``proven``: its credentials were for this server, and stay here (RFC 3261 22.3).
        RFC 3261 16.4, 16.6 steps 3 and 8, RFC 5393 5.3.3.
        """
        passed: bytes
        if self._cut is not None:
            passed = _passed(self._cut, ours, noted, breadth, proven)
            return passed
        body, proof = self._body, self._proof
        passed = joined_pieces(
            self._came,
            self._via, self._via_end, f"{ours}\r\n{noted}",
            self._route, self._route_end + 2, "",
            proof, self._proof_end + 2 if proven and proof else proof, "",
            self._hops, self._hops_end, str(self._left),
            body - 2, body - 2, f"Max-Breadth: {breadth}\r\n",
        )  # fmt: skip
        return passed


def _parts_of(match: re.Match[str], kept: tuple[Any, ...], head: str, body: int) -> tuple[Any, ...] | None:
    """Return the parts of a ``Passing``."""
    cseq, hops, route, credentials, rport, rport_behind = kept[1:7]
    if _is_ipv4(kept[9]) is None:
        return None
    span = match.span
    places: tuple[int, ...] = (
        *span(_VIA),
        *span(_ROUTE),
        *((0, 0) if credentials is None else span(_PROOF)),
        *span(_HOPS),
    )
    if not head.isascii():
        places = octets_at(head, places)
    method, uri, host, port, via, sent_host, sent_port, branch = kept[7:15]
    sent_host = sent_host.lower()
    sent_by = sent_host if sent_port is None else f"{sent_host}:{int(sent_port)}"
    return (
        method,
        uri,
        host,
        None if port is None else int(port),
        via,
        sent_host,
        None if sent_port is None else int(sent_port),
        rport is not None or rport_behind is not None,
        sent_by,
        f"{branch} {sent_by}",
        *kept[14:],
        int(cseq),
        int(hops),
        route,
        credentials,
        *places,
        head.count("\n") + head.count(","),
        body,
    )


READER: Final = BriefReader(Passing, _head, _KEEPS, _parts_of, read_passing_parts)


def read_passing(data: bytes, limits: Limits) -> Passing | None:
    """As ``READER.read``; its class is known here, so compiled code makes it without a look-up."""
    parts = READER.parts(data, limits)
    return None if parts is None else Passing(data, parts)
