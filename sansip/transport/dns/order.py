"""In which order servers are tried: SRV weights and NAPTR preferences.

Theory of operation: plain functions over records. Chance comes in as ``draw``,
a function that returns a number in ``range(below)``, so that a stateless proxy
can give one that always draws the same (RFC 3263 4.4).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sansip.transport.dns.records import Naptr, Srv
from sansip.transport.transports import SECURE, TRANSPORTS

__all__ = ["Draw", "Service", "sip_services", "sort_srv"]

Draw = Callable[[int], int]

# The meaning of a NAPTR service for us.
_SERVICES = {one.service: one.name for one in TRANSPORTS.values()}


def sort_srv(records: Iterable[Srv], draw: Draw) -> list[Srv]:
    """Return ``records`` in the order to be tried (RFC 2782, "usage rules")."""
    by_priority: dict[int, list[Srv]] = {}
    for record in records:
        by_priority.setdefault(record.priority, []).append(record)
    ordered: list[Srv] = []
    for priority in sorted(by_priority):
        # The same set in whatever order it came must give the same result for
        # the same draws; records of weight 0 stand first (RFC 2782).
        left = sorted(by_priority[priority], key=lambda one: (one.weight, one.target, one.port))
        total = sum(one.weight for one in left)
        while len(left) > 1:
            chosen = draw(total + 1)
            running = 0
            for one in left:
                running += one.weight
                if running >= chosen:
                    break
            total -= one.weight
            left.remove(one)
            ordered.append(one)
        ordered += left
    return ordered


@dataclass(slots=True)
class Service:
    """A usable NAPTR: ``name`` has SRV records, or is a host if ``terminal``."""

    order: int
    transport: str
    name: str
    terminal: bool


def sip_services(records: Iterable[Naptr], transports: Iterable[str], secure: bool) -> list[Service]:
    """Return the services that this stack can use, best first (RFC 3263 4.1).

    ``secure`` keeps those for a sips URI only.
    """
    usable = frozenset(transports)
    found: list[Service] = []
    for record in sorted(records, key=lambda one: (one.order, one.preference, one.service)):
        transport = _SERVICES.get(record.service.lower())
        # RFC 3263 4.1: other services, those we do not speak, and for sips all
        # that are not SIPS, are discarded; the expression is empty.
        if transport not in usable or record.regexp or not record.replacement:
            continue
        if secure and transport not in SECURE:
            continue
        flags = record.flags.lower()
        if flags in ("s", "a"):
            found.append(Service(record.order, transport, record.replacement, flags == "a"))
    return found
