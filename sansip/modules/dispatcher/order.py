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
    from sansip.module.metrics import Counter
    from sansip.modules.dispatcher.member import Member

__all__ = [
    "Orders",
    "RoundRobin",
    "Turns",
    "by_calls",
    "by_hash",
    "by_latency",
    "by_priority",
    "by_srv",
    "drawn",
    "share_of",
]

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
        credit = self._credit
        known = len(members) == len(credit)
        total, best, most = 0, -1, 0
        uris: list[str] = []
        values: list[int] = []
        for one in members:
            destination = one.destination
            uri: str = destination.uri
            weight: int = destination.weight
            before = credit.get(uri)
            if before is None:
                known = False
                before = 0
            value = before + weight
            if best < 0 or value > most:
                best, most = len(uris), value
            uris.append(uri)
            values.append(value)
            total += weight
        if not uris:
            return []
        if not known:
            # The members changed: none has to make up for requests that went elsewhere meanwhile.
            credit = self._credit = {}
            values = [one.destination.weight for one in members]
            best = values.index(max(values))
        if len(uris) == 1:
            ordered = list(members)
        elif len(uris) == 2:
            ordered = [members[best], members[1 - best]]
        else:
            ordered = [members[place] for place in sorted(range(len(uris)), key=lambda one: -values[one])]
        values[best] -= total
        for place, uri in enumerate(uris):
            credit[uri] = values[place]
        return ordered


class Orders:
    """The orders of all groups. ``number(n)``: a random number below n; ``calls``: those of a key."""

    __slots__ = ("_calls", "_number", "_rounds")

    def __init__(self, number: Callable[[int], int], calls: Callable[[str], int]) -> None:
        self._number = number
        self._calls = calls
        self._rounds: dict[str, RoundRobin] = {}

    def of(self, group: str, algorithm: str, key: str, members: list[Member]) -> list[Member]:
        """Return ``members`` of ``group`` as ``algorithm`` has them."""
        if algorithm == "round-robin":
            rounds = self._rounds.get(group)
            if rounds is None:
                rounds = self._rounds[group] = RoundRobin()
            return rounds.order(members)
        if algorithm == "hash":
            return by_hash(members, key)
        if algorithm == "random":
            return drawn(members, self._number)
        if algorithm == "priority":
            return by_priority(members)
        if algorithm == "srv":
            return by_srv(members, self._number)
        if algorithm == "least-calls":
            return by_calls(members, lambda one: self._calls(one.key))
        if algorithm == "least-latency":
            return by_latency(members)
        # In parallel.
        return members


class Turns:
    """Counts what members get. ``counter``: of requests by group and URI."""

    __slots__ = ("_counter", "_latest")

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._latest = 0

    def take(self, one: Member) -> None:
        """A request goes to ``one``."""
        latest = self._latest = self._latest + 1
        one.turn = latest
        one.requests += 1
        destination = one.destination
        self._counter.add(destination.group, destination.uri)
