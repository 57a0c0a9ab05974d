"""How much larger an INVITE becomes on its way as octets: near the size for TCP it goes the long way.

Theory of operation: RFC 3261 18.1.1 has a large request go over a transport with congestion control, and
what counts is the copy that leaves. Its size is known before it is made, within a few octets: the branch, the
marks and what is noted in the caller's Via have their greatest lengths. A copy that may be too large is not
made here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sansip.proxy.watched import GROWTH
from sansip.routing.opening_flows import token_size

if TYPE_CHECKING:
    from sansip.transport import Listener
    from sansip.wire.opening import Opening

__all__ = ["gained_by_modules", "gained_octets"]

# The most octets that a copy gains beside our Via and the Contact: the branch, what is noted in the caller's
# Via, Max-Breadth; and the mark in each of our Record-Route lines.
_GROWTH: Final = 120
_MARKED: Final = 40


def gained_octets(
    opening: Opening, longest: int, leaves: Listener, came: Listener | None, records: bool, flows: str | None
) -> int:
    """Return the most octets that the copy of ``opening`` gains, whose new Request-URI has ``longest``.

    ``came``: the listener that it came by, where that has a Record-Route line of its own; ``flows``: the
    address-of-record of the callee, where a line names a flow (RFC 5626 5.2).
    """
    growth = longest - len(opening.uri) + len(leaves.via) + _GROWTH
    if records:
        growth += len(leaves.record_route) + _MARKED
        if flows is not None:
            growth += token_size(flows) + token_size(opening.from_)
        if came is not None:
            growth += len(came.record_route) + _MARKED
    return growth


def gained_by_modules(longest: int) -> int:
    """Return the most octets that a copy gains which modules see, or whose body one of them replaces."""
    return GROWTH + 100 + longest
