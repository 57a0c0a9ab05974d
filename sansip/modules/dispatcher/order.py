"""In which order the destinations of a group are tried: one pure function for each algorithm.

Theory of operation: each takes the members that may get a request now and returns them in order; the first
gets it, the others are for failover. Chance is an argument. A hash is by highest random weight (rendezvous):
each member draws a number from the key and its own URI, and the best wins, so a member that goes moves only
the keys that it had, and a member that fails leaves its keys to all others alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from math import log
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sansip.modules.dispatcher.member import Member

__all__ = ["RoundRobin", "by_calls", "by_hash", "by_latency", "by_priority", "by_srv", "drawn", "share_of"]

# A draw is a fraction of this.
_SPAN: Final = 1 << 53


def share_of(key: str, uri: str) -> float:
    """Return what member ``uri`` draws for ``key``: a number above 0 and below 1, evenly spread."""
    digest = blake2b(f"{key}\0{uri}".encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return ((int.from_bytes(digest, "big") >> 11) + 0.5) / _SPAN


def _score(share: float, weight: int) -> float:
    # The smaller of exponential variables with rates w1, w2 is the first with probability w1 / (w1 + w2).
    return -log(share) / weight


def by_hash(members: Sequence[Member], key: str) -> list[Member]:
    """Return the members as ``key`` prefers them, by weight."""
    return sorted(members, key=lambda one: _score(share_of(key, one.destination.uri), one.weight))


def drawn(members: Sequence[Member], number: Callable[[int], int]) -> list[Member]:
    """Return the members in an order drawn by weight; ``number(n)`` is a random number below n."""
    scores = {id(one): _score((number(_SPAN) + 0.5) / _SPAN, one.weight) for one in members}
    return sorted(members, key=lambda one: scores[id(one)])


def by_priority(members: Sequence[Member]) -> list[Member]:
    """Return the members by priority, those of one priority in the order of the table."""
    return sorted(members, key=lambda one: one.destination.priority)


def by_srv(members: Sequence[Member], number: Callable[[int], int]) -> list[Member]:
    """Return the members by priority, those of one priority drawn by weight (as RFC 2782 has it)."""
    return by_priority(drawn(members, number))


def by_calls(members: Sequence[Member], calls: Callable[[Member], int]) -> list[Member]:
    """Return the members by calls for each unit of weight, the fewest first."""
    return sorted(members, key=lambda one: (calls(one) / one.weight, one.turn))


def by_latency(members: Sequence[Member]) -> list[Member]:
    """Return the members by how fast they answer; one that never answered is tried first, to find out."""
    return sorted(members, key=lambda one: (one.health.latency or 0.0, one.turn))


class RoundRobin:
    """Smooth weighted round robin: over any ``sum(weights)`` requests each gets exactly its weight.

    Each turn every member's credit grows by its weight; the one with the most is chosen and pays the sum.
    """

    __slots__ = ("_credit",)

    def __init__(self) -> None:
        self._credit: dict[str, int] = {}

    def order(self, members: Sequence[Member]) -> list[Member]:
        """Return the members, the one whose turn it is first."""
        if not members:
            return []
        credit = self._credit
        uris = [one.destination.uri for one in members]
        if len(credit) != len(uris) or not all(uri in credit for uri in uris):
            # The members changed: none has to make up for requests that went elsewhere meanwhile.
            credit = self._credit = dict.fromkeys(uris, 0)
        total = 0
        for one in members:
            weight = one.destination.weight
            credit[one.destination.uri] += weight
            total += weight
        ordered = sorted(members, key=lambda one: -credit[one.destination.uri])
        credit[ordered[0].destination.uri] -= total
        return ordered
