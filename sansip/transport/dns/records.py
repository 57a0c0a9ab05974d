"""DNS records as plain values, and the two questions about them.

Theory of operation: names are text in lower case without the final dot; an address, a pointer's name and a
text are ``str``; a record with several fields is a class. ``DnsLookup`` asks for the records of one name,
``Resolve`` (in ``transport.next_hop``) for the places where a URI's host can be reached.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["KINDS", "DnsLookup", "LookupFailed", "Naptr", "Record", "Srv"]

# Record types that can be asked for.
KINDS = frozenset({"A", "AAAA", "CNAME", "NAPTR", "PTR", "SRV", "TXT"})


@dataclass(slots=True)
class Srv:
    """A server of a service (RFC 2782). ``target`` is "" where the service is declined."""

    priority: int
    weight: int
    port: int
    target: str


@dataclass(slots=True)
class Naptr:
    """A rule of the DDDS (RFC 3403 4.1)."""

    order: int
    preference: int
    flags: str
    service: str
    regexp: str
    replacement: str


Record: TypeAlias = str | Srv | Naptr


@dataclass(slots=True)
class DnsLookup:
    """The question for the records of ``name``; a route may ``await ask(DnsLookup(...))``.

    ``kind`` is one of ``KINDS``. The answer is a list of ``str``, ``Srv`` or
    ``Naptr``, as the name server ordered them, empty where there are none
    (also where the name does not exist), or ``LookupFailed``.
    """

    name: str
    kind: str


class LookupFailed(Exception):
    """No name server gave an answer; ``silent`` where none said anything at all."""

    def __init__(self, reason: str, *, silent: bool = False) -> None:
        super().__init__(reason)
        self.silent = silent
