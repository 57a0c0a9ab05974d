"""The places of a next hop, and those that failed lately (RFC 3263 4.2, 4.3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sansip.transport.dns import Avoided, Place
from sansip.transport.next_hop import NextHop, Resolve
from sansip.wire.host import plain_host

if TYPE_CHECKING:
    from sansip.limits import Limits

__all__ = ["Places", "ResolveFunction"]

# A question about a name, and the function that is called with its answer.
ResolveFunction = Callable[[Resolve, Callable[[Any, float], None], float], None]


class Places:
    """Finds places for all requests of a stack, and remembers which of them failed.

    Attributes:
        avoided: servers of names that failed lately.
        resolve: puts the question for a name.
    """

    __slots__ = ("_limits", "avoided", "resolve")

    def __init__(self, resolve: ResolveFunction, limits: Limits) -> None:
        self._limits = limits
        self.resolve = resolve
        self.avoided = Avoided(limits.avoided)

    def take(self, found: Any, hop: NextHop, now: float) -> list[Place]:
        """Return the answer to ``hop.question()`` as places to try, best first."""
        # A bound for the places that a hostile zone can make us try.
        return self.avoided.sort(self.all(found, hop)[: self._limits.next_hops], now)

    def all(self, found: Any, hop: NextHop) -> list[Place]:
        """Return all places of the answer to ``hop.question()``."""
        if isinstance(found, Exception) or not found:
            return []
        # A resolver that knows addresses only leaves the transport out.
        # RFC 5118 4.9: an IPv4 address in IPv6 clothes, which a zone may have as AAAA, is the IPv4 address.
        return [
            (one[0], plain_host(one[1]), one[2])
            if len(one) == 3
            else (hop.transport, plain_host(one[0]), one[1])
            for one in found
        ]

    def avoid(self, place: Place, retry_after: str | None, now: float) -> None:
        """Note that ``place`` failed; ``retry_after`` is what its 503 said."""
        seconds = self._limits.avoid_time
        number = (retry_after or "").partition("(")[0].partition(";")[0].strip()
        if number.isascii() and number.isdigit() and len(number) < 10:
            # RFC 3261 21.5.4: a server is left alone for as long as it asked.
            seconds = min(float(number), 3_600.0)
        self.avoided.note(place, now + seconds)
