"""Look-ups in a packed table: octets that this process only reads, wherever they lie.

Theory of operation: the prefixes are sorted, so the one that stands last before a number is the only place to
look at: if it is no prefix of the number itself, one of the prefixes that it begins with may be, and of those
each knows the next. So a look-up is one binary search and a few steps, and finds all prefixes, longest first.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sansip.modules.lcr.number import DEEPEST, key_of
from sansip.modules.lcr.offer import Offer
from sansip.modules.lcr.packing import HEAD, MAGIC, NONE, RECORD
from sansip.modules.lcr.schedule import Schedule, parse_schedule
from sansip.patterns import Pattern

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["PackedRates"]

_MARKS = "?0123456789*#"
# Offers that are kept as objects.
_KEPT: Final = 4_096


@dataclass(slots=True)
class PackedRates:
    """The rates of a file. ``data``: as ``packing.pack`` made it. Raises ``ValueError`` for anything else."""

    data: bytes | memoryview
    name: str = field(init=False)
    _keys: Any = field(init=False, repr=False)
    _lengths: Any = field(init=False, repr=False)
    _parents: Any = field(init=False, repr=False)
    _firsts: Any = field(init=False, repr=False)
    _records: Any = field(init=False, repr=False)
    _texts: dict[str, Any] = field(init=False, repr=False)
    _schedules: dict[int, Schedule | None] = field(init=False, repr=False)
    _callers: dict[int, Pattern | None] = field(init=False, repr=False)
    # Place -> its offers; and how many more may be kept.
    _made: dict[int, tuple[Offer, ...]] = field(init=False, repr=False)
    _room: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        data = memoryview(self.data)
        if len(data) < HEAD.size:
            raise ValueError("no packed rates")
        magic, prefixes, rates, keys, lengths, parents, firsts, records, texts, end = HEAD.unpack_from(data)
        if not magic.startswith(MAGIC) or len(data) != end:
            raise ValueError("no packed rates")
        self._keys = data[keys : keys + 8 * prefixes].cast("Q")
        self._lengths = data[lengths : lengths + prefixes]
        self._parents = data[parents : parents + 4 * prefixes].cast("I")
        self._firsts = data[firsts : firsts + 4 * prefixes + 4].cast("I")
        self._records = data[records : records + RECORD.size * rates]
        self._texts = json.loads(bytes(data[texts:end]).rstrip(b"\0"))
        self.name = self._texts["name"]
        self._schedules, self._callers, self._made, self._room = {}, {}, {}, _KEPT

    def __len__(self) -> int:
        """Return how many rates there are."""
        return len(self._records) // RECORD.size

    @property
    def prefixes(self) -> int:
        """How many different prefixes there are."""
        return len(self._keys)

    def places(self, number: str) -> list[int]:
        """Return where the prefixes of ``number`` are (``dialled``), the longest first."""
        key = key_of(number)
        keys, lengths, parents = self._keys, self._lengths, self._parents
        place = bisect_right(keys, key) - 1
        if place < 0:
            return []
        while (keys[place] ^ key) >> 64 - 4 * lengths[place]:
            place = parents[place]
            if place == NONE:
                return []
        found = [place]
        while (place := parents[place]) != NONE:
            found.append(place)
        return found

    def offers(self, place: int) -> tuple[Offer, ...]:
        """Return the offers of the prefix at ``place``; those of the busiest prefixes are kept."""
        found = self._made.get(place)
        if found is None:
            found = tuple(self._read(place))
            if self._room < len(found):
                self._made.clear()
                self._room = _KEPT
            if self._room >= len(found):
                self._room -= len(found)
                self._made[place] = found
        return found

    def _read(self, place: int) -> Iterator[Offer]:
        prefix = self.prefix(place)
        texts, size = self._texts, RECORD.size
        gateways, currencies, adds = texts["gateway"], texts["currency"], texts["add"]
        for number in range(self._firsts[place], self._firsts[place + 1]):
            (
                price,
                setup,
                begins,
                ends,
                minimum,
                increment,
                gateway,
                currency,
                schedule,
                caller,
                add,
                priority,
                weight,
                strip,
                stopper,
                enabled,
            ) = RECORD.unpack_from(self._records, number * size)
            yield Offer(
                prefix,
                gateways[gateway],
                price,
                currencies[currency],
                setup,
                minimum,
                increment,
                begins,
                ends,
                self._schedule(schedule),
                self._caller(caller),
                priority,
                weight,
                bool(stopper),
                bool(enabled),
                strip,
                adds[add],
            )

    @property
    def gateways(self) -> list[str]:
        """The names of all gateways that it has rates of."""
        found: list[str] = self._texts["gateway"]
        return found

    def prefix(self, place: int) -> str:
        """Return the prefix at ``place``."""
        key = self._keys[place]
        return "".join(_MARKS[key >> 60 - 4 * at & 15] for at in range(min(self._lengths[place], DEEPEST)))

    def _schedule(self, number: int) -> Schedule | None:
        if number not in self._schedules:
            text = self._texts["schedule"][number]
            zones = {
                name: tuple((at, ahead) for at, ahead in changes)
                for name, changes in self._texts["zones"].items()
            }
            self._schedules[number] = parse_schedule(text, self._texts["zone"], zones) if text else None
        return self._schedules[number]

    def _caller(self, number: int) -> Pattern | None:
        if number not in self._callers:
            text = self._texts["caller"][number]
            self._callers[number] = Pattern(text) if text else None
        return self._callers[number]
