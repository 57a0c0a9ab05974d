"""Rates of a file, packed: what the helper process makes, and all workers share.

Theory of operation: the lines become records of a fixed length, sorted by prefix. For each prefix there are
its key (``number``), its length, the place of its first record, and the place of the longest prefix that it
begins with itself: these four arrays are all that a look-up walks through (``packed``). What many lines share
(names of gateways, schedules, expressions) stands once, as JSON. Each different text of a column is parsed
once.
"""

from __future__ import annotations

import csv
import json
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import MISSING, dataclass, field, fields
from operator import itemgetter
from struct import Struct
from typing import Any, Final

from sansip.modules.lcr.money import money
from sansip.modules.lcr.number import DEEPEST, prefix_key
from sansip.modules.lcr.rate import BOUNDS, Rate, moment
from sansip.modules.lcr.schedule import UTC, parse_schedule, zone_of
from sansip.patterns import Pattern

__all__ = ["HEAD", "MAGIC", "NONE", "RECORD", "Packing", "TableFault", "pack"]

MAGIC: Final = b"sansip lcr 1\n"
# Magic; how many prefixes and records; where keys, lengths, parents, firsts, records, texts begin; the end.
HEAD: Final = Struct("<16sQQ7Q")
# Price, setup, valid_from, valid_to, minimum, increment, gateway, currency, schedule, caller, add, priority,
# weight, strip, stopper, enabled.
RECORD: Final = Struct("<QQQQIIHHHHHHHbBB")
# The place of no prefix.
NONE: Final = 0xFFFFFFFF
# Faults that are told.
_TOLD: Final = 20
_MOST_TEXTS: Final = 65_535
_ORDER: Final = (
    *("price", "setup", "valid_from", "valid_to", "minimum", "increment", "gateway", "currency", "schedule"),
    *("caller", "add", "priority", "weight", "strip", "stopper", "enabled"),
)


class TableFault(ValueError):
    """Lines that cannot be used; ``str`` has one line for each, the first twenty."""

    def __init__(self, faults: list[str], more: bool = False) -> None:
        super().__init__("\n".join([*faults, *(["and more"] if more else [])]))
        self.faults = faults


@dataclass(slots=True)
class Packing:
    """What the lines may name. ``zones`` has the clocks of a zone by name, and raises ``ValueError``.

    ``currencies``: those that can be compared; none: all lines have the same one.
    """

    gateways: Collection[str]
    currency: str
    zone: str = UTC
    currencies: Collection[str] = ()
    zones: Callable[[str], tuple[tuple[int, int], ...]] = lambda name: ()
    found_zones: dict[str, tuple[tuple[int, int], ...]] = field(default_factory=dict)


class _Column(dict[str, Any]):
    """A column: text -> value. A text that is new is parsed."""

    __slots__ = ("parse",)

    def __init__(self, parse: Callable[[str], Any]) -> None:
        self.parse = parse

    def __missing__(self, text: str) -> Any:
        value = self.parse(text.strip())
        # A file with a price of its own on each line must not fill the memory.
        if len(self) < 100_000:
            self[text] = value
        return value


class _Prefixes(_Column):
    """The same, and nothing is kept: each is new."""

    def __missing__(self, text: str) -> Any:
        return self.parse(text.strip())


class _Texts:
    """Texts by number; each is judged once."""

    def __init__(self, name: str, judge: Callable[[str], str]) -> None:
        self._name = name
        self._judge = judge
        self._numbers: dict[str, int] = {}

    def __call__(self, text: str) -> int:
        number = self._numbers.get(text)
        if number is None:
            text = self._judge(text)
            number = self._numbers.setdefault(text, len(self._numbers))
            if number > _MOST_TEXTS:
                raise ValueError(f"at most {_MOST_TEXTS:,} different values in the column {self._name}")
        return number

    def __iter__(self) -> Iterator[str]:
        return iter(self._numbers)


class _Judges:
    """The columns of a file of rates."""

    def __init__(self, packing: Packing) -> None:
        self._packing = packing
        self._known = ", ".join(sorted(packing.gateways)) or "none"
        self._currency = packing.currency
        self.texts = {
            "gateway": _Texts("gateway", self._gateway),
            "currency": _Texts("currency", self._money),
            "schedule": _Texts("schedule", self._schedule),
            "caller": _Texts("caller", _pattern),
            "add": _Texts("add", _added),
        }
        parse: dict[str, Callable[[str], Any]] = {
            "prefix": prefix_key,
            "price": money,
            "setup": money,
            "valid_from": moment,
            "valid_to": moment,
            "stopper": _flag,
            "enabled": _flag,
            **self.texts,
        }
        for name, least, most in BOUNDS:
            parse[name] = _whole(least, most)
        defaults = {one.name: one.default for one in fields(Rate)}
        self.columns = {
            name: (_Prefixes if name == "prefix" else _Column)(_with_default(one, defaults[name]))
            for name, one in parse.items()
        }

    def _gateway(self, text: str) -> str:
        if text not in self._packing.gateways:
            raise ValueError(f"one of the gateways in [[lcr.gateways]]: {self._known:.200}")
        return text

    def _money(self, text: str) -> str:
        packing = self._packing
        text = text or packing.currency
        if text != packing.currency and text not in packing.currencies:
            raise ValueError(f"{packing.currency}, or a currency that [lcr.currencies] has a value for")
        return text

    def _schedule(self, text: str) -> str:
        packing = self._packing
        if text:
            zone = zone_of(text, packing.zone)
            if zone != UTC and zone not in packing.found_zones:
                packing.found_zones[zone] = packing.zones(zone)
            parse_schedule(text, packing.zone, packing.found_zones)
        return text


def _with_default(parse: Callable[[str], Any], default: Any) -> Callable[[str], Any]:
    if default is MISSING or default == "":
        return parse
    instead = str(default).lower() if isinstance(default, bool) else str(default)
    return lambda text: parse(text or instead)


def _pattern(text: str) -> str:
    if text:
        try:
            Pattern(text)
        except ValueError as error:
            raise ValueError(f"an expression that the URI in From fits: {error}") from None
    return text


def _added(text: str) -> str:
    if text != "-":
        prefix_key(text.removeprefix("+"))
    return text


def _flag(text: str) -> int:
    value = text.lower()
    if value in ("1", "true", "yes"):
        return 1
    if value in ("0", "false", "no"):
        return 0
    raise ValueError("true or false")


def _whole(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and len(digits) < 10 and least <= int(text) <= most):
            raise ValueError(f"a whole number from {least} to {most:,}")
        return int(text)

    return parse


def pack(lines: Iterable[str], name: str, packing: Packing) -> list[bytes]:
    """Return the packed table of a file's lines, in pieces. Raises ``TableFault``; ``name`` is the file's."""
    judges = _Judges(packing)
    keys, records = array("Q"), bytearray()
    _read(lines, name, judges, keys, records)
    order = sorted(range(len(keys)), key=keys.__getitem__)
    size = RECORD.size
    ordered = bytearray(len(records))
    one_keys, lengths, parents, firsts = array("Q"), array("B"), array("I"), array("I")
    path: list[int] = []
    before = -1
    for place, at in enumerate(order):
        ordered[place * size : place * size + size] = records[at * size : at * size + size]
        key = keys[at]
        if key == before:
            continue
        before = key
        while path and key >> 64 - 4 * lengths[path[-1]] != one_keys[path[-1]] >> 64 - 4 * lengths[path[-1]]:
            path.pop()
        parents.append(path[-1] if path else NONE)
        path.append(len(one_keys))
        one_keys.append(key)
        lengths.append(_length(key))
        firsts.append(place)
    firsts.append(len(order))
    texts: dict[str, Any] = {kind: list(found) for kind, found in judges.texts.items()}
    texts |= {"zone": packing.zone, "zones": packing.found_zones, "name": name}
    pieces = [one.tobytes() for one in (one_keys, lengths, parents, firsts)]
    pieces += [bytes(ordered), json.dumps(texts).encode()]
    starts = [HEAD.size]
    for number, piece in enumerate(pieces):
        # Numbers of eight octets stand at multiples of eight.
        pieces[number] = piece + bytes(-len(piece) % 8)
        starts.append(starts[-1] + len(pieces[number]))
    return [HEAD.pack(MAGIC, len(one_keys), len(order), *starts), *pieces]


def _length(key: int) -> int:
    """Return how many characters the prefix of ``key`` has."""
    # The lowest bit that is set lies in the last one.
    return DEEPEST - ((key & -key).bit_length() - 1) // 4 if key else 0


def _read(lines: Iterable[str], name: str, judges: _Judges, keys: array[int], records: bytearray) -> None:
    faults: list[str] = []
    reader = csv.reader(lines, strict=True)
    try:
        header = next(reader, None)
        if header is not None and len(header) == 1 and ";" in header[0]:
            faults.append(f"{name}:1: the columns are separated by semicolons; expected commas")
        names = [one.strip().lstrip("\ufeff") for one in header or ()]
        if not faults:
            faults += _judge_header(name, names)
        if faults:
            raise TableFault(faults)
        _fill(reader, name, names, judges, keys, records, faults)
    except csv.Error as error:
        faults.append(f"{name}:{reader.line_num}: {error}; expected values separated by commas (RFC 4180)")
    except UnicodeDecodeError as error:
        faults.append(f"{name}:{reader.line_num + 1}: {error.reason}; expected UTF-8")
    if faults:
        raise TableFault(faults[:_TOLD], len(faults) > _TOLD)


def _judge_header(name: str, names: list[str]) -> list[str]:
    known = [one.name for one in fields(Rate)]
    if not names:
        return [f"{name}:1: it is empty; expected a first line with the names of columns: {', '.join(known)}"]
    faults = []
    for number, one in enumerate(names, 1):
        if one not in known:
            faults.append(f"{name}:1: column {number} is {one!r:.40}; expected one of {', '.join(known)}")
        elif names.index(one) != number - 1:
            faults.append(f"{name}:1: column {number} is {one} once more; expected it once")
    if not faults:
        faults += [
            f"{name}:1: there is no column {one}; expected gateway and prefix"
            for one in ("gateway", "prefix")
            if one not in names
        ]
    return faults


def _fill(
    reader: Any,
    name: str,
    names: list[str],
    judges: _Judges,
    keys: array[int],
    records: bytearray,
    faults: list[str],
) -> None:
    columns = [judges.columns[one] for one in names]
    lacking = [one for one in _ORDER if one not in names]
    defaults = [judges.columns[one][""] for one in lacking]
    places = {one: number for number, one in enumerate([*names, *lacking])}
    chosen = itemgetter(*(places[one] for one in _ORDER))
    prefix, begins, ends = places["prefix"], places["valid_from"], places["valid_to"]
    width, packed, extend, add = len(names), RECORD.pack, records.extend, keys.append
    for row in reader:
        if len(row) != width:
            if row:
                faults.append(
                    f"{name}:{reader.line_num}: it has {len(row)} columns; expected {width}, as line 1 has"
                )
        else:
            try:
                values = [column[text] for column, text in zip(columns, row, strict=True)] + defaults
            except ValueError:
                faults += _faults_of(row, columns, names, f"{name}:{reader.line_num}")
            else:
                if values[ends] and values[ends] <= values[begins]:
                    faults.append(f"{name}:{reader.line_num}: valid_to is not after valid_from")
                add(values[prefix])
                extend(packed(*chosen(values)))
        if len(faults) > _TOLD:
            return


def _faults_of(row: list[str], columns: list[_Column], names: list[str], where: str) -> list[str]:
    faults = []
    for number, (text, column, name) in enumerate(zip(row, columns, names, strict=True), 1):
        try:
            column[text]
        except ValueError as error:
            faults.append(f"{where}: column {number} ({name}) is {text!r:.60}; expected {error}")
    return faults
