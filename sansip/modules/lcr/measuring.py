"""Measures gateways by what becomes of calls there, and notes with a call which gateway it is at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sansip.modules.calls import CallAnswered, CallRang, Tariff
from sansip.modules.lcr.money import shown

if TYPE_CHECKING:
    from sansip.modules.calls import Call
    from sansip.modules.lcr.gateways import Outlet
    from sansip.modules.lcr.offer import Offer
    from sansip.modules.lcr.settings import LcrSettings

__all__ = ["count", "heard", "note"]

# Where the attempt of a call stands among its variables.
_TRIED: Final = "lcr"


class Tried:
    """The attempt at a gateway that a call is at, for its quality; ``counted``: its end counts already."""

    __slots__ = ("began", "counted", "outlet")

    def __init__(self, outlet: Outlet, began: float) -> None:
        self.outlet = outlet
        self.began = began
        self.counted = False


def note(call: Call, outlet: Outlet, offer: Offer, now: float) -> None:
    """Have the call say which gateway it is at, and what it costs: for accounting, as ``lcr.price``."""
    said = offer.said
    if said is None:
        said = offer.said = _said(offer)
    call.tariff, variables = said
    call.gateway = offer.gateway
    call.variables[_TRIED] = Tried(outlet, now)
    call.variables.update(variables)


def _said(offer: Offer) -> tuple[Tariff, dict[str, str]]:
    tariff = Tariff(offer.price, offer.setup, offer.minimum, offer.increment, offer.currency)
    variables = {
        "lcr.gateway": offer.gateway,
        "lcr.prefix": offer.prefix,
        "lcr.price": shown(offer.price),
        "lcr.currency": offer.currency,
        "lcr.setup": shown(offer.setup),
        "lcr.minimum": str(offer.minimum),
        "lcr.increment": str(offer.increment),
    }
    return tariff, variables


def heard(event: Any, settings: LcrSettings, now: float) -> Outlet | None:
    """Take an event of the module ``calls``; return the gateway that it was about."""
    call: Call = event.call
    tried = call.variables.get(_TRIED)
    if not isinstance(tried, Tried):
        return None
    quality, life = tried.outlet.quality, settings.quality_life
    if isinstance(event, CallRang):
        quality.ringing(max(now - tried.began, 0.0), now, life)
    elif isinstance(event, CallAnswered):
        count(call, True, settings, now)
    else:
        if call.answered is not None:
            quality.finished(call.duration, now, life)
        elif call.ended_by == "caller" and call.rang is None and now - tried.began < settings.bad_delay:
            # The caller thought better of it at once: that says nothing of the gateway.
            tried.counted = True
        count(call, False, settings, now)
        del call.variables[_TRIED]
    return tried.outlet


def count(call: Call, answered: bool, settings: LcrSettings, now: float) -> None:
    """Count the attempt that the call is at, once."""
    tried = call.variables.get(_TRIED)
    if isinstance(tried, Tried) and not tried.counted:
        tried.counted = True
        tried.outlet.quality.tried(answered, now, settings.quality_life)
