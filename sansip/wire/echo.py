"""A plain response in brief: what a proxy needs of it to send it back, read in one pass.

Theory of operation: a response repeats lines of its request (RFC 3261 8.2.6.2), which were read and found
sound when the request came. So its lines are taken apart (``plain_head``) without a look into them, and the
proxy compares them with those that it sent. The top Via has to look as we write it, with ``received`` and
``rport`` as its receiver may add them. What goes back is cut out of the octets that came.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sansip.wire.abnf import IPV4, PLAIN_HOST, PLAIN_PORT, TOKEN, compiled
from sansip.wire.head import (
    CUT_BRANCH,
    CUT_METHOD,
    CUT_TOP,
    cut_repeats,
    cut_returned,
    cut_text,
    read_echo_parts,
)
from sansip.wire.plain_head import LENGTH_LINE, TEXT, BriefReader, InBrief, head_pattern, line, octets_at
from sansip.wire.splice import spliced

if TYPE_CHECKING:
    import re

    from sansip.limits import Limits

__all__ = ["READER", "Echo", "read_echo"]

_head: Final = head_pattern(
    rf"SIP/2\.0 [1-6][0-9]{{2}} {TEXT}",
    (
        line("from_", f"From: {TEXT}"),
        line("to", f"To: {TEXT}"),
        line("call_id", f"Call-ID: {TEXT}"),
        line("cseq", "CSeq: [0-9]{1,9} (?P<method>[A-Z]{1,20})"),
        LENGTH_LINE,
        line("contact", f"Contact: {TEXT}"),
        # Several of these, one below the other, are one text.
        line("recorded", rf"Record-Route: {TEXT}(?:\r\nRecord-Route: {TEXT})*+"),
        f"Via: {TEXT}",
    ),
    "via|v|from|f|to|t|call-id|i|cseq|contact|m|content-length|l|record-route|max-forwards",
    ("to", "method", "length"),
)
_KEEPS: Final = ("length", "method", "from_", "to", "call_id", "cseq", "contact", "recorded")
_tag_of: Final = compiled(rf";tag=({TOKEN})\Z").search
# As we write it (``transport.listeners``, ``client.via``), with what its receiver may note in it; then the
# others, where a phone writes all on one line (RFC 3261 7.3.1). Those have nothing that may hold a comma.
_NOTED: Final = rf"(?:;received={IPV4}|;rport=(?:{PLAIN_PORT})(?![0-9]))"
_OTHER: Final = r'SIP/2\.0/[A-Z]++ [^\x00-\x20",<>()\x7f]++'
_via: Final = compiled(
    rf"(Via: SIP/2\.0/[A-Z]++ (?:{PLAIN_HOST})(?::(?:{PLAIN_PORT}))?+)({_NOTED}*+)"
    rf";branch=({TOKEN})({_NOTED}*+)(?:, (?={_OTHER}(?:, {_OTHER})*+\r)|\r\n)"
).match


_spliced: Final[Any] = spliced
# Replaced by tests where the scanner is not installed.
_text: Final[Any] = cut_text
_repeats: Final[Any] = cut_repeats
_returned: Final[Any] = cut_returned
_PARTS: Final = 18


class Echo(InBrief):
    """A response, as far as it was read.

    Attributes:
        status: 100 to 699.
        key: of the transaction that it answers: branch of the top Via, and method of CSeq (RFC 3261 17.1.3).
        contact, recorded: the lines of Contact and Record-Route, with a line end between two; None: none.
        goes_back: whether there is a Via below the top one.
        data: what goes back, which who takes it on writes; ``tag``: of To, once it ``repeats`` its request.
    """

    __slots__ = (
        "_begin",
        "_cut",
        "_end",
        "_lines",
        "_rest",
        "_via",
        "contact",
        "data",
        "goes_back",
        "key",
        "recorded",
        "status",
        "tag",
    )

    status: int
    key: str
    contact: str | None
    recorded: str | None
    # What the C module has kept of it, in the place of all that follows; None where the pattern has read.
    _cut: Any
    # Branch, method, top Via, From, To, tag of To, Call-ID and CSeq.
    _lines: tuple[Any, ...]
    _via: int
    _rest: int
    _begin: int
    _end: int
    goes_back: bool
    data: bytes
    tag: str | None

    def __init__(self, came: bytes, parts: tuple[Any, ...]) -> None:
        self._came = came
        if _text is not None and len(parts) < _PARTS:
            (
                self.status,
                self.key,
                self.contact,
                self.recorded,
                self.goes_back,
                self._cut,
                _,
                self._body,
            ) = parts
            return
        self._cut = None
        self._lines = parts[1:9]
        self.key = f"{parts[1]} {parts[2]}"
        self.status = parts[0]
        (
            self.contact,
            self.recorded,
            # Where stand the top Via, the lines below it, the Record-Route line and its end, and the body.
            self._via,
            self._rest,
            self._begin,
            self._end,
            self.goes_back,
            # How many fields and commas there are.
            _,
            self._body,
        ) = parts[9:]

    @property
    def branch(self) -> str:
        """The branch of the top Via."""
        text: str = self._lines[0] if self._cut is None else _text(self._cut, CUT_BRANCH)
        return text

    @property
    def method(self) -> str:
        """The method of CSeq."""
        text: str = self._lines[1] if self._cut is None else _text(self._cut, CUT_METHOD)
        return text

    @property
    def top(self) -> str:
        """The line of the top Via, but for what the sender has noted in it."""
        text: str = self._lines[2] if self._cut is None else _text(self._cut, CUT_TOP)
        return text

    @property
    def came(self) -> bytes:
        """The response as it came."""
        return self._came

    def repeats(self, via: str, from_: str, to: str, call_id: str, cseq: str, tag: str | None) -> bool:
        """Whether ``via`` is on top, and these lines are repeated, so that the reader accepts all of them.

        ``tag``: that of ``to``; if it is None, one may follow. It, or that one, is ``self.tag`` then.
        """
        cut = self._cut
        if cut is not None:
            found = _repeats(cut, via, from_, to, call_id, cseq, tag)
            if found is False:
                return False
            self.tag = found
            return True
        _, _, top, own_from, line, own, own_call_id, own_cseq = self._lines
        if top != via or own_from != from_ or own_call_id != call_id or own_cseq != cseq or line is None:
            return False
        if line != to:
            if tag is not None or own is None or line != f"{to};tag={own}":
                return False
            tag = own
        self.tag = tag
        return True

    def octets(self, recorded: str | None) -> bytes:
        """Return the response without its top Via; with ``recorded``, that is its Record-Route line."""
        back: bytes
        if self._cut is not None:
            back = _returned(self._cut, recorded)
            return back
        via, rest = self._via, self._rest
        back = (
            _spliced(self._came, via, rest, "")
            if recorded is None
            else _spliced(self._came, via, rest, "", self._begin, self._end, recorded)
        )
        return back


def _parts_of(match: re.Match[str], kept: tuple[Any, ...], head: str, body: int) -> tuple[Any, ...] | None:
    """Return the parts of an ``Echo``."""
    via = head.find("\r\nVia: ") + 2
    top = _via(head, via)
    if via < 2 or top is None:
        return None
    own, noted, branch, behind_branch = top.groups()
    if noted or behind_branch:
        noted += behind_branch
        if noted.count("received") > 1 or noted.count("rport") > 1:
            # RFC 3261 7.3.1: a parameter that stands twice.
            return None
    rest = top.end()
    goes_back = head[rest - 2] == "," or "\r\nVia: " in head[rest - 2 :]
    if head[rest - 2] == ",":
        # The line stays, and its first value goes.
        via += len("Via: ")
    to = kept[3]
    tag = _tag_of(to)
    recorded = (0, 0) if kept[7] is None else match.span("recorded")
    places: tuple[int, ...] = (via, rest, *recorded)
    if not head.isascii():
        places = octets_at(head, places)
    return (
        int(head[8:11]),
        branch,
        kept[1],
        f"{own};branch={branch}",
        kept[2],
        to,
        None if tag is None else tag[1],
        *kept[4:],
        *places,
        goes_back,
        head.count("\n") + head.count(","),
        body,
    )


READER: Final = BriefReader(Echo, _head, _KEEPS, _parts_of, read_echo_parts, asks=False)


def read_echo(data: bytes, limits: Limits) -> Echo | None:
    """As ``READER.read``; its class is known here, so compiled code makes it without a look-up."""
    parts = READER.parts(data, limits)
    return None if parts is None else Echo(data, parts)
