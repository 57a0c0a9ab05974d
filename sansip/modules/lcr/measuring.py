"""Measures gateways by what becomes of calls there, and notes with a call which gateway it is at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sansip.modules.calls import Tariff
from sansip.modules.lcr.money import shown

if TYPE_CHECKING:
    from sansip.modules.calls import Call
    from sansip.modules.lcr.gateways import Outlet
    from sansip.modules.lcr.measured import Measured
    from sansip.modules.lcr.offer import Offer
    from sansip.modules.lcr.quality import Quality
    from sansip.modules.lcr.settings import LcrSettings

__all__ = ["Measuring"]


class Measuring:
    """Notes with calls where they are, and measures that. ``settings``: a reload puts in others."""

    __slots__ = ("_measured", "settings")

    def __init__(self, settings: LcrSettings, measured: Measured) -> None:
        self.settings = settings
        self._measured = measured

    def note(self, call: Call, outlet: Outlet, offer: Offer, now: float) -> None:
        """Have the call say which gateway it is at, and what it costs: for accounting, as ``lcr.price``."""
        said = offer.said
        if said is None:
            said = offer.said = _said(offer)
        call.tariff, call.said = said
        call.gateway = offer.gateway
        call.follower = Tried(self, outlet, now)

    def failed(self, call: Call, now: float) -> None:
        """Count the attempt that the call is at, which failed."""
        tried = call.follower
        if isinstance(tried, Tried):
            tried.count(False, now)

    def share(self, outlet: Outlet, now: float) -> None:
        """Tell the other workers, where there are some."""
        if self._measured.tells:
            self._measured.share(outlet, now)


class Tried:
    """The attempt at a gateway that a call is at, for its quality; it is the call's ``Follower``."""

    __slots__ = ("_began", "_counted", "_measuring", "_outlet")

    def __init__(self, measuring: Measuring, outlet: Outlet, began: float) -> None:
        self._measuring = measuring
        self._outlet = outlet
        self._began = began
        self._counted = False

    def rang(self, call: Call, now: float) -> None:
        """The first phone rings."""
        outlet = self._outlet
        quality: Quality = outlet.quality
        quality.ringing(max(now - self._began, 0.0), now, self._measuring.settings.quality_life)
        self._measuring.share(outlet, now)

    def answered(self, call: Call, now: float) -> None:
        """The first 2xx goes back."""
        self.count(True, now)
        self._measuring.share(self._outlet, now)

    def ended(self, call: Call, now: float) -> None:
        """The call is over."""
        settings = self._measuring.settings
        if call.answered is not None:
            quality: Quality = self._outlet.quality
            quality.finished(call.duration, now, settings.quality_life)
        elif call.ended_by == "caller" and call.rang is None and now - self._began < settings.bad_delay:
            # The caller thought better of it at once: that says nothing of the gateway.
            self._counted = True
        self.count(False, now)
        self._measuring.share(self._outlet, now)

    def count(self, answered: bool, now: float) -> None:
        """Count the attempt, once."""
        if not self._counted:
            self._counted = True
            quality: Quality = self._outlet.quality
            quality.tried(answered, now, self._measuring.settings.quality_life)


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
