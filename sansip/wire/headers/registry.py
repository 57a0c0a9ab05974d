"""Which parser reads which header field, and which fields are comma-separated lists.

Theory of operation: a parser takes the values of all lines of one field,
unfolded and stripped, in order, and returns the typed value. The kinds below
turn the parser of one value into the parser of a field: one that stands
alone, or a list over all lines (RFC 3261 7.3.1).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from sansip.wire.faults import malformed
from sansip.wire.headers.name_addr import NameAddr, parse_name_addr
from sansip.wire.headers.simple import (
    parse_call_id,
    parse_content_length,
    parse_cseq,
    parse_delta_seconds,
    parse_max_forwards,
)
from sansip.wire.names import DISPLAY
from sansip.wire.values import split_values

__all__ = ["PARSERS", "STAR", "Star", "is_list"]

T = TypeVar("T")
FieldParser = Callable[[list[str]], Any]


class Star:
    """The Contact value ``*`` (RFC 3261 10.2.2)."""

    __slots__ = ()

    def __str__(self) -> str:
        return "*"

    def __repr__(self) -> str:
        return "STAR"


STAR: Final = Star()
PARSERS: Final[dict[str, FieldParser]] = {}
_SINGLE: Final[set[str]] = set()


def is_list(key: str) -> bool:
    """Return whether a comma separates values of field ``key``; unknown fields count as lists."""
    return key not in _SINGLE


def one(key: str, parse: Callable[[str], Any], section: str) -> None:
    """Register a field that appears once and holds one value."""

    def parse_field(lines: list[str]) -> Any:
        if len(lines) != 1:
            raise malformed(DISPLAY[key], "appears more than once", section)
        return parse(lines[0])

    PARSERS[key] = parse_field
    _SINGLE.add(key)


def many(key: str, parse: Callable[[str], T], section: str, *, empty: bool = False) -> None:
    """Register a comma-separated list; ``empty``: it may hold nothing at all."""

    def parse_field(lines: list[str]) -> list[T]:
        if empty and not any(lines):
            return []
        values = [value for line in lines for value in split_values(line)]
        if not all(values):
            raise malformed(DISPLAY[key], "an empty value between commas", section)
        return [parse(value) for value in values]

    PARSERS[key] = parse_field


def addresses(key: str, section: str, *, brackets: bool = True) -> None:
    """Register a list of name-addr (or addr-spec, unless ``brackets``)."""
    name = DISPLAY[key]
    many(key, lambda value: parse_name_addr(value, name, section, brackets=brackets), section)


def _contacts(lines: list[str]) -> list[NameAddr] | Star:
    if len(lines) == 1 and lines[0] == "*":
        return STAR
    values = [value for line in lines for value in split_values(line)]
    return [parse_name_addr(value, "Contact", "RFC 3261 20.10") for value in values]


def _seconds(key: str, section: str) -> None:
    name = DISPLAY[key]
    one(key, lambda value: parse_delta_seconds(value, name, section), section)


PARSERS["contact"] = _contacts
addresses("route", "RFC 3261 20.34")
addresses("record-route", "RFC 3261 20.30")
addresses("path", "RFC 3327 4")
one("cseq", parse_cseq, "RFC 3261 20.16")
one("call-id", parse_call_id, "RFC 3261 20.8")
one("from", lambda value: parse_name_addr(value, "From", "RFC 3261 20.20"), "RFC 3261 20.20")
one("to", lambda value: parse_name_addr(value, "To", "RFC 3261 20.39"), "RFC 3261 20.39")
one("max-forwards", parse_max_forwards, "RFC 3261 20.22")
one("content-length", parse_content_length, "RFC 3261 20.14")
_seconds("expires", "RFC 3261 20.19")
many("require", str, "RFC 3261 20.32")
many("proxy-require", str, "RFC 3261 20.29")
many("supported", str, "RFC 3261 20.37", empty=True)
