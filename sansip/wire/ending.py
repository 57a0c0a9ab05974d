"""An ACK that may end a refused INVITE, in brief: by what it names its transaction, read in one pass.

Theory of operation: as in ``passing``, one pattern reads a whole head in which each field that is read has
its usual spelling, stands once and has the simplest form; the reader accepts all that it accepts, with the
same values (``tests/wire/test_ending.py``), and reads everything else. Nothing goes on, so the octets are not
kept. Where the C module is there, it reads instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sansip.wire.abnf import PLAIN_HOST, PLAIN_PORT, TOKEN, TOKEN_CLASS, WORD, compiled
from sansip.wire.head import read_ending_parts

if TYPE_CHECKING:
    from sansip.limits import Limits

__all__ = ["Ending", "read_ending"]

_TEXT: Final = r"[^\x00-\x08\x0a-\x1f\x7f]*+"
_USER: Final = r"[\w\-.!~*'()&=+$/]++"
_PARAM: Final = r"[\w\-.!~*'()\[\]/:&+$]++"
_DISPLAY: Final = rf'(?:"[^"\\\x00-\x08\x0a-\x1f\x7f]*+"[ \t]*+|[{TOKEN_CLASS} \t]*+)'
_ASKED: Final = rf"sip:(?:{_USER}@)?+(?:{PLAIN_HOST})(?::(?:{PLAIN_PORT}))?+(?:;{_PARAM}(?:={_PARAM})?+)?+"
_ADDRESS: Final = rf"{_DISPLAY}<{_ASKED}>"
_BRANCH: Final = rf";branch=(z9hG4bK{TOKEN})"
# Those that are read, in any spelling.
_NAMED: Final = "via|v|from|f|to|t|call-id|i|cseq|max-forwards|content-length|l"
_LINES: Final = (
    rf"(?(1)(?!)|(Via: SIP/2\.0/[A-Z]++ ({PLAIN_HOST})(?::({PLAIN_PORT}))?(;rport)?{_BRANCH}(;rport)?))",
    rf"(?(7)(?!)|(From: {_ADDRESS};tag={TOKEN}))",
    rf"(?(8)(?!)|(To: {_ADDRESS};tag=({TOKEN})))",
    rf"(?(10)(?!)|Call-ID: ({WORD}(?:@{WORD})?+))",
    r"(?(11)(?!)|(CSeq: [0-9]{1,9} ACK))",
    r"(?(12)(?!)|(Max-Forwards: [1-9]?[0-9]))",
    r"(?(13)(?!)|Content-Length: *+([0-9]{1,7}))",
    rf"(?!(?i:{_NAMED})[ \t]*+:){TOKEN}:{_TEXT}",
)
# A failure goes back line by line, each of which has one reading: linear time.
_head: Final = compiled(rf"ACK {_ASKED} SIP/2\.0\r\n(?:(?:{'|'.join(_LINES)})\r\n)+").fullmatch
_HOST, _PORT, _BEFORE, _ID, _BEHIND, _TAG, _CALL_ID, _LENGTH = 2, 3, 4, 5, 6, 9, 10, 13


class Ending:
    """An ACK, as far as it was read.

    Attributes:
        sent_host, sent_port, branch: of the only Via.
        to_tag, call_id: what its fields say.
    """

    __slots__ = ("branch", "call_id", "sent_host", "sent_port", "to_tag")

    def __init__(self, parts: tuple[Any, ...]) -> None:
        host, port, self.branch, self.to_tag, self.call_id, _ = parts
        self.sent_host: str = host.lower()
        self.sent_port = None if port is None else int(port)


def read_ending(data: bytes, limits: Limits) -> Ending | None:
    """Return the ACK in ``data``, a datagram; None where it is not plain, or near a limit."""
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
    parts = None if read_ending_parts is None else read_ending_parts(data)
    if parts is None:
        if read_ending_parts is not None and data.isascii():
            return None
        parts = _read_plainly(data, end)
        if parts is None:
            return None
    most = parts[-1]
    if (
        most > limits.header_count
        or most > limits.via_count
        or most > limits.route_count
        or most > limits.contact_count
    ):
        return None
    return Ending(parts)


def _read_plainly(data: bytes, end: int) -> tuple[Any, ...] | None:
    """Return the parts of an ``Ending``."""
    try:
        head = data[: end + 2].decode()
    except UnicodeDecodeError:
        return None
    match = _head(head)
    if match is None:
        return None
    length = match[_LENGTH]
    # Of each line there is one (groups that are looked at); a parameter of Via stands once (RFC 3261 7.3.1).
    if (
        length is None
        or int(length) != len(data) - end - 4
        or None in match.group(1, 7, 8, 10, 11)
        or (match[_BEFORE] is not None and match[_BEHIND] is not None)
    ):
        return None
    most = head.count("\n") + head.count(",")
    return match[_HOST], match[_PORT], match[_ID], match[_TAG], match[_CALL_ID], most
