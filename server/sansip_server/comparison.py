"""The values that a reload changes: those of the new settings that differ from the running ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from sansip.module import Module, Use
from sansip.modules.keepalive import Keepalive
from sansip.modules.upstream import Upstreams
from sansip_server.config.dns import dns_config
from sansip_server.config.ua import ua_config
from sansip_server.modules import uses

if TYPE_CHECKING:
    from sansip.config import ListenerConfig, Reconfiguration, StackConfig
    from sansip_server.config.schema import Settings

__all__ = ["changed", "compare"]


def changed(now: Any, before: Any) -> Any:
    """Return ``now`` if it differs from ``before``, else None."""
    return now if now != before else None


def compare(
    change: Reconfiguration,
    settings: Settings,
    config: StackConfig,
    modules: Iterable[Module],
    listeners: Sequence[ListenerConfig],
    domains: list[str],
) -> None:
    """Put the values of ``settings`` into ``change`` that differ from ``config`` and those of ``modules``."""
    change.listeners = changed(list(listeners), config.listeners)
    change.domains = changed(domains, config.domains)
    change.address_realms = changed(not settings.domains, config.address_realms)
    change.limits = changed(settings.limits, config.limits)
    change.timers = changed(settings.timers, config.timers)
    change.proxy = changed(settings.proxy, config.proxy)
    change.registrar = changed(settings.registrar, config.registrar)
    change.ua = changed(ua_config(settings.ua), config.ua)
    change.server_name = changed(settings.server_name, config.server_name)
    if config.auth is not None:
        change.auth = changed(settings.digest, config.auth)
    if config.dns is not None:
        change.dns = changed(dns_config(settings.dns), config.dns)
    wanted = uses(settings.modules, [Use(Keepalive, settings.keepalive)])
    given = {use.kind: use.settings for use in wanted if use.kind is not Upstreams}
    running = {type(module): module.settings for module in modules}
    del running[Upstreams]  # of ``access``
    for kind, one in given.items():
        given[kind] = kind.Settings() if one is None else one
    change.modules = {kind: one for kind, one in given.items() if running.get(kind, one) != one}
    change.added = {kind: one for kind, one in given.items() if kind not in running}
    change.removed = [kind for kind in running if kind not in given]
