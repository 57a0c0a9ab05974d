"""ENUM: telephone numbers in DNS (RFC 6116).

Theory of operation: a number's digits, backwards, are a domain; its NAPTR records
say which URIs it has. A rule is a substitution by a regular expression, written
by the owner of the zone, so only expressions are taken that cannot run away
(``sansip.patterns``).

    numbers = await ask(DnsLookup(enum_domain("+441632960083"), "NAPTR"))
    uris = enum_uris("+441632960083", numbers)
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from sansip.patterns import Pattern, Template
from sansip.transport.dns.records import Naptr, Record

__all__ = ["enum_domain", "enum_uris"]

# E.164: fifteen digits; the rest is room for private numbering.
_LONGEST = 32
# Rules of one number that are used, the best ones.
_RULES = 20
# POSIX names of characters (RFC 3402 3.2 has POSIX's extended expressions), for use within brackets.
_CLASSES = (
    ("[:digit:]", "0-9"),
    ("[:alpha:]", "A-Za-z"),
    ("[:alnum:]", "0-9A-Za-z"),
    ("[:xdigit:]", "0-9A-Fa-f"),
)
# Marks that mean something in an expression: behind a backslash they stay escaped.
_SPECIAL = frozenset(".^$*+?{}[]|()")


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
    # The owner of a zone may write any number of rules, and each has to be judged.
    for rule in sorted(rules, key=lambda one: (one.order, one.preference))[:_RULES]:
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
    mark = regexp[0]
    # RFC 3402 3.2: neither a digit nor a flag nor a backslash divides.
    if mark in "0123456789i\\":
        return None
    parts = re.split(r"(?<!\\)" + re.escape(mark), regexp[1:])
    if len(parts) != 3 or parts[2] not in ("", "i"):
        return None
    expression = parts[0].replace(f"\\{mark}", mark) if mark not in _SPECIAL else parts[0]
    for name, members in _CLASSES:
        expression = expression.replace(name, members)
    try:
        pattern = Pattern(expression, ignore_case=parts[2] == "i")
        match = pattern.search(number)
        made = None if match is None else Template(parts[1], pattern.groups).expand(match)
    except ValueError:
        return None
    # What a zone says becomes part of a message: no line ends, no blanks.
    return made if made is not None and made.isprintable() and " " not in made else None
