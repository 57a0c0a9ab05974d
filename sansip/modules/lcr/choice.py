"""Which gateways get a call, in which order, and why: pure functions over offers.

Theory of operation: the offers of the longest prefix come first, then those of shorter ones. A gateway counts
by its first offer that holds: a carrier's rate for a city is its price there, whatever it asks for the rest
of the country. A stopper ends the list behind its prefix. Then the offers are sorted; among equals chance
decides by weight.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from itertools import groupby
from math import log
from operator import itemgetter
from typing import Any, Final

from sansip.modules.lcr.rate import Offer
from sansip.modules.lcr.settings import LcrSettings, Ordering

__all__ = ["Candidate", "choose", "rewritten"]

_SPAN: Final = 1 << 53


@dataclass(slots=True)
class Candidate:
    """An offer for one call. ``why``: the reason it is passed over, "" for one to be tried."""

    offer: Offer
    cost: int
    quality: float
    why: str = ""


def choose(
    levels: Iterable[Iterable[Offer]],
    settings: LcrSettings,
    gateways: Container[str],
    caller: str,
    unix: float,
    quality: Callable[[str], float],
    number: Callable[[int], int],
) -> tuple[list[Candidate], list[Candidate]]:
    """Return the candidates in the order to be tried, and the offers that are passed over.

    ``levels``: the offers by prefix, the longest first; ``number(n)``: a random number below n.
    """
    taken: list[Candidate] = []
    passed: list[Candidate] = []
    known: dict[str, str] = {}
    order = settings.order
    stopped = ""
    for offers in levels:
        level = []
        stops = ""
        for offer in offers:
            why = f"behind the stopper {stopped}" if stopped else offer.obstacle(caller, unix)
            if offer.gateway not in gateways:
                why = "the configuration has no such gateway"
            value = settings.value_of(offer.currency)
            if value is None:
                why = f"lcr.currencies has no {offer.currency}"
            cost = offer.cost(settings.call_length)
            one = Candidate(offer, cost if value == 1 else round(cost * (value or 0)), 0.0, why)
            if why:
                passed.append(one)
            else:
                level.append(one)
                if offer.stopper:
                    stops = offer.prefix or "of every number"
        # Of several offers of one gateway for one prefix the first holds, as in the whole list.
        for one in sorted(level, key=lambda one: (one.offer.priority, one.cost)):
            name = one.offer.gateway
            if name in known:
                one.why = f"its rate for {known[name] or 'every number'} comes first"
                passed.append(one)
            else:
                known[name] = one.offer.prefix
                one.quality = quality(name) if order == "quality" else 0.0
                taken.append(one)
        stopped = stopped or stops
    ordered = sorted(((_key(order, one, settings.quality_step), one) for one in taken), key=itemgetter(0))
    if len({key for key, _ in ordered}) == len(ordered):
        return [one for _, one in ordered], passed
    drawn: list[Candidate] = []
    for _, group in groupby(ordered, key=itemgetter(0)):
        drawn += _drawn([one for _, one in group], number)
    return drawn, passed


def _drawn(equals: list[Candidate], number: Callable[[int], int]) -> list[Candidate]:
    """Return candidates in an order that chance decides by weight."""
    if len(equals) == 1:
        return equals
    # The smaller of exponential variables with rates w1, w2 is the first with probability w1 / (w1 + w2).
    draws = [-log((number(_SPAN) + 0.5) / _SPAN) / one.offer.weight for one in equals]
    return [equals[place] for place in sorted(range(len(equals)), key=draws.__getitem__)]


def _key(order: Ordering, one: Candidate, step: float) -> tuple[Any, ...]:
    offer = one.offer
    match order:
        case "prefix":
            return -len(offer.prefix), offer.priority, one.cost
        case "price":
            return one.cost, -len(offer.prefix), offer.priority
        case "priority":
            return (offer.priority,)
        case "quality":
            return -int(one.quality / step + 1e-9), one.cost, -len(offer.prefix), offer.priority


def rewritten(user: str, number: str, strip: int, add: str) -> str:
    """Return the number that a gateway gets for ``user``, whose number is ``number``."""
    if strip or add:
        return f"{add}{number[strip:]}"
    if ";" in user or "%" in user:
        # RFC 4694 5: with rn another number is called than the one that has the price.
        return f"+{number}" if user[:1] == "+" or user[:3].upper() == "%2B" else number
    return user
