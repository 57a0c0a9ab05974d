"""What operators see of gateways and of candidates for a call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sansip.modules.calls import Calls
from sansip.modules.lcr.choice import Candidate, number_at
from sansip.modules.lcr.gateways import Outlet
from sansip.modules.lcr.money import shown
from sansip.modules.lcr.offer import Offer
from sansip.modules.lcr.settings import LcrSettings
from sansip.wire import SipUri

__all__ = ["Explained", "Row", "explained", "reason", "row_of", "uri_at"]


@dataclass(slots=True)
class Explained:
    """One candidate in `lcr.explain`. ``place``: its turn, 0 for one that is passed over, with the reason."""

    place: int
    gateway: str
    prefix: str
    number: str
    price: str
    currency: str
    cost: str
    priority: int
    weight: int
    quality: float | None
    why: str


@dataclass(slots=True)
class Row:
    """A gateway in `lcr.list`; seconds, None for an unknown value."""

    gateway: str
    uri: str
    state: str
    why: str
    calls: int
    max_calls: int
    requests: int
    failed: int
    latency: float | None
    quality: float
    asr: float | None
    acd: float | None
    pdd: float | None


def explained(
    place: int,
    one: Candidate,
    outlet: Outlet | None,
    dialled: tuple[str, str],
    settings: LcrSettings,
    why: str,
) -> Explained:
    """Return a candidate as `lcr.explain` shows it; ``dialled``: the user of the URI, and its number."""
    offer = one.offer
    return Explained(
        place,
        offer.gateway,
        offer.prefix,
        "" if outlet is None else number_at(outlet, *dialled, offer),
        shown(offer.price),
        offer.currency,
        f"{shown(one.cost)} {settings.currency}",
        offer.priority,
        offer.weight,
        round(one.quality, 4) if settings.order == "quality" else None,
        why,
    )


def row_of(outlet: Outlet, calls: Calls, settings: LcrSettings, now: float) -> Row:
    """Return a gateway as `lcr.list` shows it."""
    health, gateway = outlet.health, outlet.gateway
    figures = outlet.quality.figures(gateway.name, settings, now)
    return Row(
        gateway.name,
        gateway.uri,
        health.state(now),
        health.why,
        calls.count(outlet.key),
        gateway.max_calls,
        outlet.requests,
        outlet.failed,
        None if health.latency is None else round(health.latency, 6),
        round(figures.quality, 4),
        None if figures.asr is None else round(figures.asr, 4),
        None if figures.acd is None else round(figures.acd, 3),
        None if figures.pdd is None else round(figures.pdd, 3),
    )


def uri_at(outlet: Outlet, original: Any, number: str, offer: Offer) -> SipUri:
    """Return the Request-URI that a gateway gets."""
    user = original.user if isinstance(original, SipUri) else None
    # RFC 3261 25.1: a user has # as %23.
    return outlet.uri.replace(user=number_at(outlet, user or number, number, offer).replace("#", "%23"))


def reason(settings: LcrSettings, one: Candidate) -> str:
    """Return why a candidate has its place."""
    offer = one.offer
    match settings.order:
        case "prefix":
            return f"prefix of {len(offer.prefix)} digits, priority {offer.priority}, {shown(one.cost)}"
        case "price":
            return f"{shown(one.cost)} for {settings.call_length} s"
        case "priority":
            return f"priority {offer.priority}"
        case "quality":
            return f"quality {one.quality:.2f}, {shown(one.cost)}"
