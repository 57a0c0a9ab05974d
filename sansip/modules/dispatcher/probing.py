"""OPTIONS to destinations, and the addresses that their names have.

Theory of operation: every ``probe_interval`` seconds, a tenth more or less by chance, each destination is
asked that is not asked already. The answer is judged by ``Health``. Addresses are looked up now and then, so
that requests which come from a destination are recognised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sansip.transport.dns import DnsLookup
from sansip.wire.host import is_address

if TYPE_CHECKING:
    from sansip.module import Core
    from sansip.modules.dispatcher.groups import Groups
    from sansip.modules.dispatcher.health import Thresholds
    from sansip.modules.dispatcher.member import Member
    from sansip.modules.dispatcher.settings import DispatcherSettings

__all__ = ["RESOLVE", "jittered", "probe", "resolve", "waiting"]

# Seconds between two looks at the names of destinations.
RESOLVE: Final = 300.0
# Seconds that a name server may take.
_PATIENCE: Final = 5.0


def jittered(core: Core, interval: float) -> float:
    """Return ``interval``, a tenth more or less: neither a whole farm at once, nor two nodes in step."""
    return interval * (0.9 + core.entropy.number(201) / 1_000)


def waiting(groups: Groups, now: float) -> list[Member]:
    """Return the destinations to be asked now."""
    return [
        one
        for one in groups
        if one.destination.probe
        and one.health.admin != "disabled"
        and one.asked_at is None
        and now >= one.health.rests_until
    ]


async def probe(core: Core, one: Member, settings: DispatcherSettings, thresholds: Thresholds) -> str:
    """Ask one destination whether it lives (RFC 3261 11); return "up" or "down" where that is news."""
    asked_at = core.ua.now if one.asked_at is None else one.asked_at
    domain = core.domains[0] if core.domains else "invalid"
    sender = settings.probe_from or f"sip:dispatcher@{domain}"
    try:
        answer = await core.ua.request("OPTIONS", one.uri, from_=sender, within=settings.probe_timeout)
    finally:
        one.asked_at = None
    if answer.status in settings.not_alive:
        news = one.health.probe_failed(f"{answer.status} {answer.reason} to OPTIONS", thresholds)
        return "down" if news else ""
    return "up" if one.health.probe_answered(core.ua.now - asked_at, thresholds) else ""


async def resolve(core: Core, groups: Groups) -> None:
    """Find the addresses of destinations that have names."""
    for one in tuple(groups):
        if is_address(one.uri.host):
            continue
        found: set[str] = set()
        for kind in ("A", "AAAA"):
            try:
                found.update(str(each) for each in await core.ask(DnsLookup(one.uri.host, kind), _PATIENCE))
            except Exception:
                # Whatever the name server says: the old addresses stand.
                found |= one.addresses
        one.addresses = frozenset(found)
