"""Which gateways get a call, in which order, and why: pure functions over offers.

Theory of operation: the offers of the longest prefix come first, then those of shorter ones. A gateway counts
by its first offer that holds: a carrier's rate for a city is its price there, whatever it asks for the rest
of the country. A stopper ends the list behind its prefix. Then the offers are sorted; among equals chance
decides by weight.
"""

from __future__ import annotations

from itertools import groupby
from math import log
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable

    from sansip.modules.lcr.gateways import Outlet
    from sansip.modules.lcr.offer import Offer
    from sansip.modules.lcr.settings import LcrSettings

__all__ = ["Candidate", "asks_who", "choose", "named", "number_at"]

_SPAN: Final = 1 << 53
_FIRST: Final = itemgetter(0)
_FIRST_TWO: Final = itemgetter(0, 1)


class Candidate:
    """An offer for one call. ``why``: the reason it is passed over, "" for one to be tried."""

    __slots__ = ("cost", "offer", "quality", "why")

    def __init__(self, offer: Offer, cost: int, quality: float, why: str = "") -> None:
        self.offer = offer
        self.cost = cost
        self.quality = quality
        self.why = why


def named(one: Candidate) -> str:
    """Return a candidate in words."""
    return f"{one.offer.gateway} ({one.offer.prefix or 'every number'})"


def asks_who(levels: Iterable[Iterable[Offer]]) -> bool:
    """Whether any of these offers is for some callers alone."""
    for offers in levels:
        for offer in offers:
            if offer.caller is not None:
                return True
    return False


def choose(
    levels: Iterable[Iterable[Offer]],
    settings: LcrSettings,
    gateways: Container[str],
    caller: str,
    unix: float,
    quality: Callable[[str], float] | None,
    number: Callable[[int], int],
) -> tuple[list[Candidate], list[Candidate]]:
    """Return the candidates in the order to be tried, and the offers that are passed over.

    ``levels``: the offers by prefix, the longest first; ``quality``: of a gateway, where the order is by it;
    ``number(n)``: a random number below n.
    """
    taken: list[Candidate] = []
    passed: list[Candidate] = []
    known: dict[str, str] = {}
    order: str = settings.order
    currency: str = settings.currency
    seconds: int = settings.call_length
    stopped = ""
    for offers in levels:
        level: list[tuple[int, int, Candidate]] = []
        stops = ""
        for offer in offers:
            why = f"behind the stopper {stopped}" if stopped else offer.obstacle(caller, unix)
            if offer.gateway not in gateways:
                why = "the configuration has no such gateway"
            cost = offer.cost(seconds)
            if offer.currency != currency:
                value = settings.value_of(offer.currency)
                if value is None:
                    why = f"lcr.currencies has no {offer.currency}"
                if value != 1:
                    cost = round(cost * (value or 0))
            one = Candidate(offer, cost, 0.0, why)
            if why:
                passed.append(one)
            else:
                level.append((offer.priority, cost, one))
                if offer.stopper:
                    stops = offer.prefix or "of every number"
        if len(level) > 1:
            level.sort(key=_FIRST_TWO)
        # Of several offers of one gateway for one prefix the first holds, as in the whole list.
        for _, _, one in level:
            name = one.offer.gateway
            if name in known:
                one.why = f"its rate for {known[name] or 'every number'} comes first"
                passed.append(one)
            else:
                known[name] = one.offer.prefix
                if quality is not None:
                    one.quality = quality(name)
                taken.append(one)
        stopped = stopped or stops
    if len(taken) < 2:
        return taken, passed
    step: float = settings.quality_step
    if len(taken) == 2:
        # As in most tables.
        first, second = taken
        key, other = _key(order, first, step), _key(order, second, step)
        if other < key:
            taken = [second, first]
        elif other == key:
            taken = _drawn(taken, number)
        return taken, passed
    ordered = sorted([(_key(order, one, step), one) for one in taken], key=_FIRST)
    if len({key for key, _ in ordered}) == len(ordered):
        return [one for _, one in ordered], passed
    drawn: list[Candidate] = []
    for _, group in groupby(ordered, key=_FIRST):
        drawn += _drawn([one for _, one in group], number)
    return drawn, passed


def _drawn(equals: list[Candidate], number: Callable[[int], int]) -> list[Candidate]:
    """Return candidates in an order that chance decides by weight."""
    if len(equals) == 1:
        return equals
    if len(equals) == 2:
        weight: int = equals[0].offer.weight
        if number(weight + equals[1].offer.weight) < weight:
            return equals
        return [equals[1], equals[0]]
    # The smaller of exponential variables with rates w1, w2 is the first with probability w1 / (w1 + w2).
    draws = [-log((number(_SPAN) + 0.5) / _SPAN) / one.offer.weight for one in equals]
    return [equals[place] for place in sorted(range(len(equals)), key=draws.__getitem__)]


def _key(order: str, one: Candidate, step: float) -> tuple[Any, ...]:
    """Return what sorts a candidate by ``order`` (``LcrSettings.order``)."""
    offer = one.offer
    if order == "prefix":
        return -len(offer.prefix), offer.priority, one.cost
    if order == "price":
        return one.cost, -len(offer.prefix), offer.priority
    if order == "priority":
        return (offer.priority,)
    return -int(one.quality / step + 1e-9), one.cost, -len(offer.prefix), offer.priority


def number_at(outlet: Outlet, user: str, number: str, offer: Offer) -> str:
    """Return the number that a gateway gets."""
    gateway = outlet.gateway
    strip = gateway.strip if offer.strip < 0 else offer.strip
    add = gateway.add if offer.add == "-" else offer.add
    return rewritten(user, number, strip, add)


def rewritten(user: str, number: str, strip: int, add: str) -> str:
    """Return the number that a gateway gets for ``user``, whose number is ``number``."""
    if strip or add:
        return f"{add}{number[strip:]}"
    if ";" in user or "%" in user:
        # RFC 4694 5: with rn another number is called than the one that has the price.
        return f"+{number}" if user[:1] == "+" or user[:3].upper() == "%2B" else number
    return user
