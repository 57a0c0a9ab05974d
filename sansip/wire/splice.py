"""The octets of a message, of which some are replaced: what leaves is cut out of what came, and joined once.

Theory of operation: a proxy changes few octets of a message (RFC 3261 16.6, 16.7). The C module puts all that
leaves into one block of memory; without it the pieces are joined.
"""

from __future__ import annotations

from operator import itemgetter
from typing import Any, Final

from sansip.wire.head import noted_in_c, spliced_octets

__all__ = ["joined_pieces", "noted", "noted_plainly", "spliced"]

_place: Final = itemgetter(0, 1)


def joined_pieces(came: bytes, *edits: Any) -> bytes:
    """Return ``came`` with octets replaced: ``edits`` are, one after the other, begin, end and text of each.

    No edit stands in another one. A text is put in as UTF-8, a number by its digits.
    """
    pieces: list[bytes] = []
    at = 0
    for begin, end, text in sorted(zip(edits[::3], edits[1::3], edits[2::3], strict=True), key=_place):
        if not at <= begin <= end:
            break
        pieces += came[at:begin], str(text).encode()
        at = end
    else:
        if at <= len(came):
            pieces.append(came[at:])
            return b"".join(pieces)
    raise ValueError("an edit stands in another one, or outside")


spliced: Final[Any] = joined_pieces if spliced_octets is None else spliced_octets


def noted_plainly(line: str, host: str, port: int) -> str:
    """Return the Via ``line``, which has the flag ``rport``, with its source noted (RFC 3581 4)."""
    before, _, behind = line.partition(";rport")
    return f"{before};rport={port};received={host}{behind}"


# The same, by the C module.
noted: Final[Any] = noted_plainly if noted_in_c is None else noted_in_c
