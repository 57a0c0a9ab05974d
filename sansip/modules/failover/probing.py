"""OPTIONS to servers, and the addresses that their names have.

Theory of operation: a module asks each of its servers every ``interval`` seconds, a tenth more or less by
chance, but for those that it asks already; and a server that it suspects at once. The answer is judged by
``Health``. Addresses are looked up now and then, so that requests which come from a server are recognised.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sansip.transport.dns import DnsLookup
from sansip.wire.host import is_address

if TYPE_CHECKING:
    from sansip.module import Core
    from sansip.modules.failover.health import Thresholds
    from sansip.modules.failover.server import Server

__all__ = ["RESOLVE", "Probe", "jittered", "probe", "resolve", "waiting"]

# Seconds between two looks at the names of servers.
RESOLVE: Final = 300.0
# Seconds that a name server may take.
_PATIENCE: Final = 5.0


@dataclass(slots=True)
class Probe:
    """How servers are asked.

    Attributes:
        sender: the URI in From.
        within: seconds that an OPTIONS waits for its answer.
        not_alive: answers of a server that must not get requests.
    """

    sender: str
    within: float
    not_alive: list[int]


def jittered(core: Core, interval: float) -> float:
    """Return ``interval``, a tenth more or less: neither a whole farm at once, nor two nodes in step."""
    return interval * (0.9 + core.entropy.number(201) / 1_000)


def waiting(one: Server, now: float) -> bool:
    """Whether ``one`` is to be asked now."""
    health = one.health
    return health.admin != "disabled" and one.asked_at is None and now >= health.rests_until


async def probe(core: Core, one: Server, how: Probe, again: bool, thresholds: Thresholds) -> str:
    """Ask one server whether it lives (RFC 3261 11); return "up", "down" or "resting" where that is news.

    ``again``: it is asked again and again.
    """
    asked_at = core.ua.now if one.asked_at is None else one.asked_at
    try:
        answer = await core.ua.request("OPTIONS", one.uri, from_=how.sender, within=how.within)
    finally:
        one.asked_at = None
    if answer.status in how.not_alive:
        why = f"{answer.status} {answer.reason} to OPTIONS"
        return one.health.probe_failed(why, again, thresholds, core.ua.now)
    now = core.ua.now
    return "up" if one.health.probe_answered(now - asked_at, thresholds, now) else ""


async def resolve(core: Core, servers: Iterable[Server]) -> None:
    """Find the addresses of servers that have names."""
    for one in tuple(servers):
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
