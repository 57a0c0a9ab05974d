"""CSeq, Call-ID and the header fields whose value is a number.

Theory of operation: these are read for every message, so the patterns here
take a whole header line. Numbers are compared with their bounds only after
their length is known to be small, for a peer can send a megabyte of digits.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from sansip.wire.abnf import LWS, TOKEN, WORD, compiled
from sansip.wire.faults import excerpt, malformed

__all__ = [
    "CALL_ID_LINE",
    "CSEQ_LINE",
    "HOPS",
    "NUMBER_LINE",
    "CSeq",
    "parse_call_id",
    "parse_content_length",
    "parse_cseq",
    "parse_delta_seconds",
    "parse_max_forwards",
    "parse_number",
]

CSEQ_LINE: Final = compiled(rf"[^:]*+:{LWS}([0-9]{{1,9}})[ \t]++({TOKEN}){LWS}")
CALL_ID_LINE: Final = compiled(rf"[^:]*+:{LWS}({WORD}(?:@{WORD})?+){LWS}")
NUMBER_LINE: Final = compiled(rf"[^:]*+:{LWS}([0-9]{{1,9}}){LWS}")
_CSEQ: Final = compiled(rf"([0-9]++)[ \t]++({TOKEN})")
_CALL_ID: Final = compiled(rf"{WORD}(?:@{WORD})?+")
_DIGITS: Final = compiled("[0-9]++")


class CSeq(NamedTuple):
    """The CSeq header field (RFC 3261 20.16)."""

    number: int
    method: str

    def __str__(self) -> str:
        return f"{self.number} {self.method}"


def parse_number(text: str, name: str, section: str, largest: int) -> int:
    """Return the number that is all of ``text``; raises RemoteProtocolError beyond ``largest``."""
    if _DIGITS.fullmatch(text) is None:
        raise malformed(name, f"expected a number, got {excerpt(text)!r}", section)
    # Leading zeros are legal in any quantity (RFC 4475 3.1.1.1).
    digits = text.lstrip("0")
    if len(digits) > 20 or int(digits or "0") > largest:
        raise malformed(name, f"{excerpt(text)} is above {largest}", section)
    return int(digits or "0")


def parse_cseq(text: str, name: str = "CSeq", section: str = "RFC 3261 20.16") -> CSeq:
    """Return the CSeq in ``text`` (unfolded, stripped). Raises RemoteProtocolError when malformed.

    RFC 3261 8.1.1.5 asks senders to stay below 2**31; RFC 4475 3.1.2.4 refuses numbers above 2**32-1. A
    careless sender may count up to a number between the two, and a receiver can hold it: it is accepted.
    """
    match = _CSEQ.fullmatch(text)
    if match is None:
        raise malformed(name, f"expected number and method, got {excerpt(text)!r}", section)
    return CSeq(parse_number(match[1], name, "RFC 3261 8.1.1.5", 0xFFFFFFFF), match[2])


def parse_call_id(text: str, name: str = "Call-ID", section: str = "RFC 3261 20.8") -> str:
    """Return ``text`` when it is a Call-ID: word, or word@word (RFC 3261 20.8)."""
    if _CALL_ID.fullmatch(text) is None:
        raise malformed(name, f"expected word[@word], got {excerpt(text)!r}", section)
    return text


# The ordinary Max-Forwards lines and their values.
HOPS: Final = {f"Max-Forwards: {hops}": hops for hops in range(256)}


def parse_max_forwards(text: str, name: str = "Max-Forwards", section: str = "RFC 3261 20.22") -> int:
    """Return Max-Forwards, 0 to 255 (RFC 3261 20.22)."""
    return parse_number(text, name, section, 255)


def parse_content_length(text: str, name: str = "Content-Length", section: str = "RFC 3261 20.14") -> int:
    """Return Content-Length in octets (RFC 3261 20.14)."""
    return parse_number(text, name, section, 0xFFFFFFFF)


def parse_delta_seconds(text: str, name: str, section: str) -> int:
    """Return a count of seconds, 0 to 2**32-1 (RFC 3261 20.19)."""
    return parse_number(text, name, section, 0xFFFFFFFF)
