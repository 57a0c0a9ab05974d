"""A plain response in brief: what a proxy needs of it to send it back, read in one pass.

Theory of operation: a response repeats lines of its request (RFC 3261 8.2.6.2), which were read and found
sound when the request came. So one pattern takes the lines apart without a look into them, and the proxy
compares them with those that it sent. The pattern takes only heads in which each field that is read has its
usual spelling and stands once, but for Via, and the top Via looks as we write it, with ``received`` and
``rport`` as its receiver may add them. Everything else is for the reader. What goes back is cut out of the
octets that came. Where the C module is there, it reads instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sansip.wire.abnf import IPV4, PLAIN_HOST, PLAIN_PORT, TOKEN, compiled
from sansip.wire.head import read_echo_parts

if TYPE_CHECKING:
    import re

    from sansip.limits import Limits

__all__ = ["Echo", "read_echo"]

_TEXT: Final = r"[^\x00-\x08\x0a-\x1f\x7f]*+"
# Those that are read, in any spelling.
_NAMED: Final = "via|v|from|f|to|t|call-id|i|cseq|contact|m|content-length|l|record-route|max-forwards"
_LINES: Final = (
    # Lines that are looked at come once: a second one fits no line of the pattern.
    rf"(?(1)(?!)|(From: {_TEXT}))",
    rf"(?(2)(?!)|(To: {_TEXT}))",
    rf"(?(3)(?!)|(Call-ID: {_TEXT}))",
    r"(?(4)(?!)|(CSeq: [0-9]{1,9} ([A-Z]{1,20})))",
    r"(?(6)(?!)|Content-Length: *+([0-9]{1,7}))",
    rf"(?(7)(?!)|(Contact: {_TEXT}))",
    # Several of these, one below the other, are one text.
    rf"(?(8)(?!)|(Record-Route: {_TEXT}(?:\r\nRecord-Route: {_TEXT})*+))",
    rf"Via: {_TEXT}",
    rf"(?!(?i:{_NAMED})[ \t]*+:){TOKEN}:{_TEXT}",
)
# A failure goes back line by line, each of which has one reading: linear time.
_head: Final = compiled(rf"SIP/2\.0 [1-6][0-9]{{2}} {_TEXT}\r\n(?:(?:{'|'.join(_LINES)})\r\n)+").fullmatch
# As we write it (``transport.listeners``, ``client.via``), with what its receiver may note in it; then the
# others, where a phone writes all on one line (RFC 3261 7.3.1). Those have nothing that may hold a comma.
_NOTED: Final = rf"(?:;received={IPV4}|;rport=(?:{PLAIN_PORT})(?![0-9]))"
_OTHER: Final = r'SIP/2\.0/[A-Z]++ [^\x00-\x20",<>()\x7f]++'
_via: Final = compiled(
    rf"(Via: SIP/2\.0/[A-Z]++ (?:{PLAIN_HOST})(?::(?:{PLAIN_PORT}))?+)({_NOTED}*+)"
    rf";branch=({TOKEN})({_NOTED}*+)(?:, (?={_OTHER}(?:, {_OTHER})*+\r)|\r\n)"
).match
_TO, _METHOD, _LENGTH, _RECORDED = 2, 5, 6, 8


class Echo:
    """A response, as far as it was read.

    Attributes:
        status: 100 to 699.
        branch: of the top Via, whose line, but for what the sender has noted in it, is ``top``.
        method: of CSeq.
        from_, to, call_id, cseq: the lines, None where there are none; so are ``contact`` and ``recorded``,
            those of Record-Route, with a line end between two.
        goes_back: whether there is a Via below the top one.
        data: what goes back; ``tag``: of To. Both are for who takes it on.
    """

    __slots__ = (
        "_begin",
        "_body",
        "_came",
        "_end",
        "_rest",
        "_via",
        "branch",
        "call_id",
        "contact",
        "cseq",
        "data",
        "from_",
        "goes_back",
        "method",
        "recorded",
        "status",
        "tag",
        "to",
        "top",
    )

    data: bytes
    tag: str | None

    def __init__(self, came: bytes, parts: tuple[Any, ...]) -> None:
        self._came = came
        (
            self.status,
            self.branch,
            self.method,
            self.top,
            self.from_,
            self.to,
            self.call_id,
            self.cseq,
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
        ) = parts

    @property
    def body(self) -> bytes:
        """The octets of the body."""
        return self._came[self._body :]

    @property
    def came(self) -> bytes:
        """The response as it came."""
        return self._came

    def repeats(self, from_: str, to: str, call_id: str, cseq: str) -> str | None:
        """Return what follows in To behind ``to``, None where one of these lines is not repeated."""
        line = self.to
        if self.from_ != from_ or self.call_id != call_id or self.cseq != cseq:
            return None
        return line[len(to) :] if line is not None and line.startswith(to) else None

    def has(self, pattern: re.Pattern[str]) -> bool:
        """Whether ``pattern`` is found in the head."""
        return pattern.search(self._came[: self._body].decode()) is not None

    def octets(self, recorded: str | None) -> bytes:
        """Return the response without its top Via; with ``recorded``, that is its Record-Route line."""
        came, via, rest = self._came, self._via, self._rest
        if recorded is None:
            return came[:via] + came[rest:]
        begin, end = self._begin, self._end
        if begin < via:
            return b"".join((came[:begin], recorded.encode(), came[end:via], came[rest:]))
        return b"".join((came[:via], came[rest:begin], recorded.encode(), came[end:]))


def read_echo(data: bytes, limits: Limits) -> Echo | None:
    """Return the response in ``data``, a datagram; None where it is not plain, or near a limit."""
    end = data.find(b"\r\n\r\n")
    if (
        end < 0
        or end > limits.header_parts
        or end > limits.header_size
        or end > limits.head_size
        or len(data) > limits.message_size
    ):
        return None
    parts = None if read_echo_parts is None else read_echo_parts(data)
    if parts is None:
        if read_echo_parts is not None and data.isascii():
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
    return Echo(data, parts)


def _read_plainly(data: bytes, end: int) -> tuple[Any, ...] | None:
    """Return the parts of an ``Echo``."""
    try:
        head = data[: end + 2].decode()
    except UnicodeDecodeError:
        return None
    via = head.find("\r\nVia: ") + 2
    top = _via(head, via)
    if via < 2 or top is None:
        return None
    match = _head(head)
    if match is None:
        return None
    length = match[_LENGTH]
    if match[_TO] is None or match[_METHOD] is None or length is None or int(length) != len(data) - end - 4:
        return None
    own, noted, branch, behind_branch = top.groups()
    line = f"{own};branch={branch}"
    if noted or behind_branch:
        noted += behind_branch
        if noted.count("received") > 1 or noted.count("rport") > 1:
            # RFC 3261 7.3.1: a parameter that stands twice.
            return None
    rest = top.end()
    begin, behind = match.span(_RECORDED)
    goes_back = head[rest - 2] == "," or "\r\nVia: " in head[rest - 2 :]
    if head[rest - 2] == ",":
        # The line stays, and its first value goes.
        via += len("Via: ")
    most = head.count("\n") + head.count(",")
    if not head.isascii():
        via, rest, begin, behind = (len(head[: max(at, 0)].encode()) for at in (via, rest, begin, behind))
    from_, to, call_id, cseq, method, _, contact, recorded = match.groups()
    return (
        *(int(head[8:11]), branch, method, line, from_, to, call_id, cseq, contact, recorded),
        *(via, rest, begin, behind, goes_back, most, end + 4),
    )
