"""ENUM: telephone numbers in DNS (RFC 6116).

Theory of operation: a number's digits, backwards, are a domain; its NAPTR records
say which URIs it has. A rule is a substitution by a regular expression, written
by the owner of the zone, so only expressions are taken that cannot run
away: no quantifier on a group, and a few quantifiers at the most.

    numbers = await ask(DnsLookup(enum_domain("+441632960083"), "NAPTR"))
    uris = enum_uris("+441632960083", numbers)
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from sansip.transport.dns.records import Naptr, Record

__all__ = ["enum_domain", "enum_uris"]

# E.164: fifteen digits; the rest is room for private numbering.
_LONGEST = 32
_QUANTIFIERS = 4
_RUNAWAY = re.compile(r"\)[*+?{]|[*+?}][*+?{]|\\[1-9].*\\[1-9]|\(\?")


def enum_domain(number: str, suffix: str = "e164.arpa") -> str:
    """Return the domain of ``number`` (RFC 6116 3.2). Raises ``ValueError`` where it has no digits."""
    digits = [digit for digit in number if digit.isascii() and digit.isdigit()]
    if not digits or len(digits) > _LONGEST:
        raise ValueError(f"{number!r} is no telephone number")
    return ".".join([*reversed(digits), suffix])


def enum_uris(number: str, records: Iterable[Record], service: str = "sip") -> list[str]:
    """Return the URIs that terminal ``records`` give ``number`` for ``service``, best first.

    ``number`` has a "+" in front (RFC 6116 3.1). Rules that cannot be used are left out.
    """
    uris: list[str] = []
    rules = [one for one in records if isinstance(one, Naptr)]
    for rule in sorted(rules, key=lambda one: (one.order, one.preference)):
        if rule.flags.lower() == "u" and _offers(rule.service, service):
            uri = _substitute(rule.regexp, number)
            if uri is not None:
                uris.append(uri)
    return uris


def _offers(services: str, wanted: str) -> bool:
    # RFC 6116 3.4.3: "E2U+sip+…"; before RFC 3761 it was "sip+E2U".
    names = services.lower().split("+")
    types = [name.partition(":")[0] for name in names if name != "e2u"]
    return "e2u" in names and wanted in types


def _substitute(regexp: str, number: str) -> str | None:
    """Apply ``!expression!replacement!flags`` (RFC 3402 3.2)."""
    if len(regexp) < 3 or len(number) > _LONGEST + 1:
        return None
    parts = re.split(r"(?<!\\)" + re.escape(regexp[0]), regexp[1:])
    if len(parts) != 3 or parts[2] not in ("", "i"):
        return None
    expression, replacement = parts[0], parts[1]
    if _RUNAWAY.search(expression) or sum(map(expression.count, "*+?{")) > _QUANTIFIERS:
        return None
    try:
        match = re.search(expression, number, re.ASCII | (re.IGNORECASE if parts[2] else 0))
        if match is None:
            return None
        return re.sub(r"\\(\d|.)", lambda found: _piece(match, found[1]), replacement)
    except (re.error, IndexError, OverflowError):
        return None


def _piece(match: re.Match[str], mark: str) -> str:
    return (match[int(mark)] or "") if mark in "0123456789" else mark
