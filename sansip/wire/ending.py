"""An ACK that may end a refused INVITE, in brief: by what it names its transaction, read in one pass.

Theory of operation: as ``plain_head`` says. Nothing goes on, so the octets are not kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sansip.wire.abnf import PLAIN_HOST, TOKEN
from sansip.wire.head import read_ending_parts
from sansip.wire.plain_head import (
    ADDRESS,
    BEHIND_HOST,
    CALL_ID_LINE,
    LENGTH_LINE,
    USER,
    VIA_LINE,
    BriefReader,
    head_pattern,
    line,
    value,
)

if TYPE_CHECKING:
    import re

__all__ = ["READER", "Ending", "read_ending"]

_ASKED: Final = rf"sip:(?:{USER}@)?+(?:{PLAIN_HOST}){BEHIND_HOST}"
_head: Final = head_pattern(
    rf"ACK {_ASKED} SIP/2\.0",
    (
        VIA_LINE,
        line("from_", rf"From: {ADDRESS};tag={TOKEN}"),
        value("to_tag", f"To: {ADDRESS};tag=", TOKEN),
        CALL_ID_LINE,
        line("cseq", "CSeq: [0-9]{1,9} ACK"),
        line("hops", "Max-Forwards: [1-9]?[0-9]"),
        LENGTH_LINE,
    ),
    "via|v|from|f|to|t|call-id|i|cseq|max-forwards|content-length|l",
    ("via", "from_", "to_tag", "call_id", "cseq", "length"),
)
_KEEPS: Final = ("length", "sent_host", "sent_port", "branch", "to_tag", "call_id")


class Ending:
    """An ACK, as far as it was read.

    Attributes:
        sent_host, sent_port, branch: of the only Via.
        to_tag, call_id: what its fields say.
    """

    __slots__ = ("branch", "call_id", "sent_host", "sent_port", "to_tag")

    def __init__(self, _: bytes, parts: tuple[Any, ...]) -> None:
        self.sent_host, self.sent_port, self.branch, self.to_tag, self.call_id, _, _ = parts


def _parts_of(match: re.Match[str], kept: tuple[Any, ...], head: str, body: int) -> tuple[Any, ...]:
    """Return the parts of an ``Ending``."""
    host, port = kept[1:3]
    return (
        host.lower(),
        None if port is None else int(port),
        *kept[3:],
        head.count("\n") + head.count(","),
        body,
    )


READER: Final = BriefReader(Ending, _head, _KEEPS, _parts_of, read_ending_parts)
read_ending: Final = READER.read
