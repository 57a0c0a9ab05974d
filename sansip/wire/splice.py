"""The octets of a message, of which some are replaced: what leaves is cut out of what came, and joined once.

Theory of operation: a proxy changes few octets of a message (RFC 3261 16.6, 16.7). The C module puts all that
leaves into one block of memory; without it the pieces are joined.
"""

from __future__ import annotations

from operator import itemgetter
from typing import Any, Final

from sansip.wire.head import spliced_octets

__all__ = ["joined_pieces", "spliced"]

_place: Final = itemgetter(0, 1)


def joined_pieces(came: bytes, *edits: Any) -> bytes:
    """Return ``came`` with octets replaced: ``edits`` are, one after the other, begin, end and text of each.

    No edit stands in another one. A text is put in as UTF-8.
    """
    pieces: list[bytes] = []
    at = 0
    for begin, end, text in sorted(zip(edits[::3], edits[1::3], edits[2::3], strict=True), key=_place):
        if not at <= begin <= end:
            break
        pieces += came[at:begin], text.encode()
        at = end
    else:
        if at <= len(came):
            pieces.append(came[at:])
            return b"".join(pieces)
    raise ValueError("an edit stands in another one, or outside")


spliced: Final[Any] = joined_pieces if spliced_octets is None else spliced_octets
