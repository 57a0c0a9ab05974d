"""All rates: those of the file, packed, and those of rows, by prefix.

Theory of operation: a look-up goes through the prefixes of the number, the longest first. For one prefix the
rows come before the file, and a gateway that has a row for it has no other rate there. The file is replaced
whole; a request that began with the old one holds its offers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sansip.modules.lcr.number import DEEPEST
from sansip.modules.lcr.offer import Offer
from sansip.modules.lcr.packed import PackedRates
from sansip.modules.lcr.rate import Rate

__all__ = ["Rates"]


class Rates:
    """The rates of one server."""

    __slots__ = ("_live", "file", "rows")

    def __init__(self) -> None:
        self.file: PackedRates | None = None
        self.rows: dict[tuple[str, ...], Rate] = {}
        # Prefix -> key of the row -> its offer.
        self._live: dict[str, dict[tuple[str, ...], Offer]] = {}

    def __len__(self) -> int:
        """Return how many rates there are."""
        return len(self.rows) + (0 if self.file is None else len(self.file))

    def put(self, rate: Rate, offer: Offer) -> None:
        """Take a row."""
        self.rows[rate.key] = rate
        self._live.setdefault(rate.prefix, {})[rate.key] = offer

    def drop(self, key: tuple[str, ...]) -> bool:
        """Forget a row; return whether there was one."""
        if self.rows.pop(key, None) is None:
            return False
        offers = self._live[key[0]]
        del offers[key]
        if not offers:
            del self._live[key[0]]
        return True

    def replace(self, rows: Iterable[tuple[Rate, Offer]]) -> None:
        """Take all rows, in the place of those before."""
        self.rows, self._live = {}, {}
        for rate, offer in rows:
            self.put(rate, offer)

    def knows(self, number: str) -> bool:
        """Whether any rate is for ``number`` (``dialled``), whether it holds now or not."""
        if self.file is not None and self.file.places(number):
            return True
        live = self._live
        return bool(live) and any(number[:length] in live for length in range(min(len(number), DEEPEST) + 1))

    def levels(self, number: str) -> list[Sequence[Offer]]:
        """Return the offers for ``number`` (``dialled``), prefix by prefix, the longest first."""
        file, live = self.file, self._live
        places = [] if file is None else file.places(number)
        levels: list[Sequence[Offer]] = []
        if not live:
            for place in places:
                assert file is not None
                levels.append(file.offers(place))
            return levels
        packed = {} if file is None else {file.prefix(place): place for place in places}
        for length in range(min(len(number), DEEPEST), -1, -1):
            prefix = number[:length]
            offers = list(live.get(prefix, {}).values())
            own = {one.gateway for one in offers}
            if file is not None and prefix in packed:
                offers += [one for one in file.offers(packed[prefix]) if one.gateway not in own]
            if offers:
                levels.append(offers)
        return levels
