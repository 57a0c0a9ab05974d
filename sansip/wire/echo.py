"""A plain response in brief: what a proxy needs of it to send it back, read in one pass.

Theory of operation: a response repeats lines of its request (RFC 3261 8.2.6.2), which were read and found
sound when the request came. So one pattern takes the lines apart without a look into them, and the proxy
compares them with those that it sent. The pattern takes only heads in which each field that is read has its
usual spelling and stands once, but for Via, and the top Via looks as we write it. Everything else is for the
reader. What goes back is cut out of the octets that came.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sansip.wire.abnf import PLAIN_HOST, PLAIN_PORT, TOKEN, compiled

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
    rf"(?(8)(?!)|(Record-Route: {_TEXT}))",
    rf"Via: {_TEXT}",
    rf"(?!(?i:{_NAMED})[ \t]*+:){TOKEN}:{_TEXT}",
)
# A failure goes back line by line, each of which has one reading: linear time.
_head: Final = compiled(rf"SIP/2\.0 [1-6][0-9]{{2}} {_TEXT}\r\n(?:(?:{'|'.join(_LINES)})\r\n)+").fullmatch
# As we write it (``transport.listeners``, ``client.via``), and alone on its line.
_via: Final = compiled(
    rf"Via: SIP/2\.0/[A-Z]++ (?:{PLAIN_HOST})(?::(?:{PLAIN_PORT}))?+;branch=(?P<branch>{TOKEN})\r\n"
).match
_FROM, _TO, _CALL_ID, _CSEQ, _METHOD, _LENGTH, _CONTACT, _RECORDED = 1, 2, 3, 4, 5, 6, 7, 8


class Echo:
    """A response, as far as it was read.

    Attributes:
        status: 100 to 699.
        branch: of the top Via, which stands at ``via``; the lines below it begin at ``rest``.
        method: of CSeq.
        from_, to, call_id, cseq: the lines.
        contact, recorded: the lines, None where there are none. ``recorded``: of Record-Route.
        body: the octets of the body.
        data: what goes back; ``tag``: of To. Both are for who takes it on.
    """

    __slots__ = ("_head", "_match", "body", "branch", "data", "rest", "status", "tag", "via")

    data: bytes
    tag: str | None

    def __init__(
        self, head: str, match: re.Match[str], status: int, branch: str, via: int, rest: int, body: bytes
    ) -> None:
        self._head = head
        self._match = match
        self.status = status
        self.branch = branch
        self.via = via
        self.rest = rest
        self.body = body

    @property
    def method(self) -> str:
        return self._match[_METHOD]

    @property
    def contact(self) -> str | None:
        return self._match[_CONTACT]

    @property
    def recorded(self) -> str | None:
        return self._match[_RECORDED]

    @property
    def top(self) -> str:
        """The line of the top Via."""
        return self._head[self.via : self.rest - 2]

    def repeats(self, from_: str, to: str, call_id: str, cseq: str) -> str | None:
        """Return what follows in To behind ``to``, None where one of these lines is not repeated."""
        match = self._match
        line = match[_TO]
        if match[_FROM] != from_ or match[_CALL_ID] != call_id or match[_CSEQ] != cseq:
            return None
        return line[len(to) :] if line is not None and line.startswith(to) else None

    def has(self, pattern: re.Pattern[str]) -> bool:
        """Whether ``pattern`` is found in the head."""
        return pattern.search(self._head) is not None

    @property
    def goes_back(self) -> bool:
        """Whether there is a Via below the top one."""
        return "\r\nVia: " in self._head[self.rest - 2 :]

    def octets(self, recorded: str | None) -> bytes:
        """Return the response without its top Via; with ``recorded``, that is its Record-Route line."""
        head, via, rest = self._head, self.via, self.rest
        if recorded is None:
            text = head[:via] + head[rest:]
        else:
            begin, end = self._match.span(_RECORDED)
            if begin < via:
                text = f"{head[:begin]}{recorded}{head[end:via]}{head[rest:]}"
            else:
                text = f"{head[:via]}{head[rest:begin]}{recorded}{head[end:]}"
        return f"{text}\r\n".encode() + self.body


def read_echo(data: bytes, limits: Limits) -> Echo | None:
    """Return the response in ``data``, a datagram; None where it is not plain, or near a limit."""
    end = data.find(b"\r\n\r\n")
    if end < 0 or end > limits.header_parts or end > limits.header_size or end > limits.head_size:
        return None
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
    body = data[end + 4 :]
    length = match[_LENGTH]
    if match[_TO] is None or match[_METHOD] is None or length is None or int(length) != len(body):
        return None
    most = head.count("\n") + head.count(",")
    if (
        most > limits.header_count
        or most > limits.via_count
        or most > limits.route_count
        or most > limits.contact_count
        or len(data) > limits.message_size
    ):
        return None
    return Echo(head, match, int(head[8:11]), top["branch"], via, top.end(), body)
