"""Kinds of header field: one value, one value per line, a comma-separated list.

Theory of operation: a field's parser takes the values of all its lines,
unfolded and stripped, in order, and returns the typed value. The functions
here turn the parser of one value into the parser of a field, and write it
into ``PARSERS`` under the field's key (RFC 3261 7.3.1).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from sansip.wire.faults import malformed
from sansip.wire.names import DISPLAY
from sansip.wire.values import split_values

__all__ = ["PARSERS", "SINGLE", "ValueParser", "is_list", "many", "one", "per_line"]

T = TypeVar("T")
FieldParser = Callable[[list[str]], Any]
# Takes one value, the field's name and the section that defines it.
ValueParser = Callable[[str, str, str], T]

# key → parser of the whole field. ``registry`` fills it.
PARSERS: Final[dict[str, FieldParser]] = {}
# Fields in which a comma does not separate values.
SINGLE: Final[set[str]] = set()


def is_list(key: str) -> bool:
    """Return whether a comma separates values of field ``key``; unknown fields count as lists."""
    return key not in SINGLE


def one(key: str, parse: ValueParser[Any], section: str) -> None:
    """Register a field that has one line with one value."""
    name = DISPLAY[key]

    def parse_field(lines: list[str]) -> Any:
        if len(lines) != 1:
            raise malformed(name, "appears more than once", "RFC 3261 7.3.1")
        return parse(lines[0], name, section)

    PARSERS[key] = parse_field
    SINGLE.add(key)


def per_line(key: str, parse: ValueParser[T], section: str) -> None:
    """Register a field of which every line is one value that may hold commas."""
    name = DISPLAY[key]

    def parse_field(lines: list[str]) -> list[T]:
        return [parse(line, name, section) for line in lines]

    PARSERS[key] = parse_field
    SINGLE.add(key)


def many(key: str, parse: ValueParser[T], section: str, *, empty: bool = False) -> None:
    """Register a comma-separated list; ``empty``: it may hold nothing at all."""
    name = DISPLAY[key]

    def parse_field(lines: list[str]) -> list[T]:
        values: list[T] = []
        for line in lines:
            if not line and empty:
                continue
            for value in split_values(line):
                if not value:
                    raise malformed(name, "an empty value", section)
                values.append(parse(value, name, section))
        return values

    PARSERS[key] = parse_field
