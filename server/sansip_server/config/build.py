"""From settings to what the core is built from.

Theory of operation: the adapter opens the sockets and hands back the listeners
with their real ports; only then can the stack be made, for its ports stand
in Via. So the listeners come first (``listener_configs``), the rest later
(``stack_config``).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sansip.config import ListenerConfig, StackConfig
from sansip_server.addresses import machine_addresses, primary_address
from sansip_server.config.listen import ListenAddress, parse_listen
from sansip_server.config.schema import Settings
from sansip_server.faults import OperatorError

__all__ = ["listen_addresses", "listener_configs", "refuse_open_listeners", "served_domains", "stack_config"]


def listen_addresses(settings: Settings) -> list[ListenAddress]:
    """Return the sockets to open; a wildcard advertises the machine's main address.

    Raises OperatorError where a wildcard has no address that it could advertise.
    """
    return [_with_public_address(parse_listen(text)) for text in settings.listen]


def _with_public_address(listener: ListenAddress) -> ListenAddress:
    if not listener.wildcard or listener.advertise_host is not None:
        return listener
    address = primary_address(listener.ipv6)
    if address is None:
        raise OperatorError(
            f"listen {listener}: this machine has no route to the world to take its address from;"
            f' write "{listener} advertise ADDRESS"'
        )
    return dataclasses.replace(listener, advertise_host=address)


def refuse_open_listeners(settings: Settings, listeners: Iterable[ListenAddress]) -> None:
    """Raise OperatorError when strangers could register: beyond loopback, without being told so."""
    exposed = [str(listener) for listener in listeners if not listener.loopback]
    if exposed and settings.auth is None:
        raise OperatorError(
            f"refusing to listen on {', '.join(exposed)} without authentication, for whoever reaches it could"
            " register and call; on a trusted network say so with --auth none"
            ' (or auth = "none" in the configuration), or listen on a loopback address'
        )


def listener_configs(listeners: Sequence[ListenAddress]) -> list[ListenerConfig]:
    """Return the listeners as the core and the adapters number them, from 0."""
    return [
        ListenerConfig(
            id=number,
            transport=listener.transport,
            host=listener.host,
            port=listener.port,
            advertise_host=listener.advertise_host,
            advertise_port=listener.advertise_port,
        )
        for number, listener in enumerate(listeners)
    ]


def served_domains(settings: Settings, listeners: Iterable[ListenAddress]) -> set[str]:
    """Return the configured domains, the server's own addresses, and ``localhost`` where that is us."""
    domains = {domain.strip("[]").rstrip(".").lower() for domain in settings.domains}
    for listener in listeners:
        if listener.wildcard:
            domains |= machine_addresses()
        else:
            domains.add(listener.host)
        if listener.advertise_host is not None:
            domains.add(listener.advertise_host)
        if listener.loopback or listener.wildcard:
            domains.add("localhost")
    return domains


def stack_config(
    settings: Settings, listeners: list[ListenerConfig], domains: set[str], route: Callable[..., Any]
) -> StackConfig:
    """Return the core's configuration for listeners whose ports are known."""
    return StackConfig(
        listeners=listeners,
        domains=domains,
        route=route,
        limits=settings.limits,
        timers=settings.timers,
        registrar=settings.registrar,
    )
