"""Loads the rates: the file, which the outer half packs in a process of its own, and the rows.

Theory of operation: a load that is overtaken by another is dropped. Where a file has a fault the old rates
stay, and ``trouble`` names it. A call that comes before the first rates waits for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sansip.module import CommandError
from sansip.modules.lcr.events import FindZone, LoadRates, RatesLoaded, RatesRefused
from sansip.modules.lcr.offer import Offer
from sansip.modules.lcr.packed import PackedRates
from sansip.modules.lcr.rate import Rate, offer_of
from sansip.modules.lcr.schedule import UTC, zone_of
from sansip.routing.awaitables import sleep

if TYPE_CHECKING:
    from sansip.module import Core, Rows
    from sansip.modules.lcr.rates import Rates
    from sansip.modules.lcr.settings import LcrSettings

__all__ = ["Loading"]

# Seconds between two looks at rates that are being packed.
_AGAIN: Final = 0.1
# Seconds that a call waits for the first rates.
_PATIENCE: Final = 5.0


class Loading:
    """Fills ``rates`` from the file and from ``rows``.

    Attributes:
        trouble: what is wrong with them, "" while all is well.
        begun: whether rows and file have been read once.
    """

    def __init__(self, core: Core, rows: Rows[Rate], rates: Rates) -> None:
        self._core = core
        self._rows = rows
        self._rates = rates
        self._zones: dict[str, tuple[tuple[int, int], ...]] = {}
        self._loads = 0
        self.trouble = ""
        self.begun = False

    async def begin(self, settings: LcrSettings) -> None:
        """Read the file, where it changed, and the rows."""
        try:
            await self.load(settings, anew=False)
            await self._read_rows(settings)
        finally:
            self.begun = True

    async def _read_rows(self, settings: LcrSettings) -> None:
        rows = await self._rows.all()
        made = []
        for rate in rows:
            try:
                made.append((rate, await self.offer(settings, rate)))
            except ValueError as error:
                # A zone that is gone from this machine, or a row that others wrote.
                self.trouble = f"row {rate.prefix} of gateway {rate.gateway}: {error}"
        self._rates.replace(made)

    async def load(self, settings: LcrSettings, *, anew: bool) -> PackedRates | None:
        """Take the rates of the file. Raises ``CommandError`` where they are refused."""
        if not settings.file:
            self._rates.file = None
            return None
        self._loads += 1
        mine, began = self._loads, self._core.ua.now
        try:
            found = await self._core.ask(LoadRates(anew))
            while found is None:
                await sleep(_AGAIN)
                found = await self._core.ask(LoadRates())
        except Exception as error:
            self.trouble = str(error)
            self._core.notify(RatesRefused(str(error)), self._core.ua.now)
            raise CommandError(f"lcr.reload: {error}") from None
        if mine == self._loads:
            self._rates.file, self.trouble = found, ""
            now = self._core.ua.now
            self._core.notify(RatesLoaded(found.name, len(found), found.prefixes, now - began), now)
        rates: PackedRates = found
        return rates

    async def offer(self, settings: LcrSettings, rate: Rate) -> Offer:
        if rate.schedule:
            zone = zone_of(rate.schedule, settings.zone)
            if zone != UTC and zone not in self._zones:
                self._zones[zone] = await self._core.ask(FindZone(zone))
        if rate.currency and settings.value_of(rate.currency) is None:
            raise ValueError(
                f"currency is {rate.currency!r:.20};"
                f" expected {settings.currency}, or one that lcr.currencies has"
            )
        return offer_of(rate, settings.currency, settings.zone, self._zones)

    async def until_begun(self) -> None:
        """Wait for the first rates: a call that comes as soon as the server is ready is not refused."""
        waited = 0.0
        while not self.begun and waited < _PATIENCE:
            await sleep(_AGAIN)
            waited += _AGAIN
