"""From settings to what the core is built from.

Theory of operation: the adapter opens the sockets and hands back the listeners with their real
ports. Only then can the stack be made, because it writes the ports into Via. So the listeners
come first (``listener_configs``), the rest later (``stack_config``).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from sansip.config import ListenerConfig, StackConfig
from sansip.module import Use
from sansip.modules.keepalive import Keepalive
from sansip.transport.transports import TCP, TLS, UDP, WS, WSS
from sansip_server.addresses import machine_addresses
from sansip_server.config.http import parse_http_listen, sharing
from sansip_server.config.listen import ListenAddress, check_domain, parse_listen
from sansip_server.config.node import node_config, node_name
from sansip_server.config.schema import Settings
from sansip_server.config.ua import ua_config
from sansip_server.faults import OperatorError
from sansip_server.modules import uses
from sansip_server.targets import is_url

__all__ = [
    "listen_addresses",
    "listener_configs",
    "other_names",
    "realm_hosts",
    "refuse_digest_without_users",
    "refuse_open_listeners",
    "served_domains",
    "settle",
    "stack_config",
]


def settle(settings: Settings) -> None:
    """Fill in settings that follow from others. Raises OperatorError for settings that must not run."""
    refuse_open_listeners(settings)
    refuse_digest_without_users(settings)
    if settings.secret_file is None and settings.store is not None and not is_url(settings.store):
        # If registrations outlive the process, dialogs must, too.
        settings.secret_file = f"{settings.store}.key"
    if settings.auth != "digest" and all(address.loopback for address in listen_addresses(settings)):
        # Only this machine can reach the server, so there are no strangers to relay for. But an operator
        # who asks for passwords expects strangers: a web server may stand in front.
        settings.proxy.unmarked_dialogs = True


def listen_addresses(settings: Settings) -> list[ListenAddress]:
    """Return the sockets to open: a wildcard becomes one for each address of the machine.

    A wildcard that advertises an address stays one socket, because peers never see its own address.
    """
    opened: list[ListenAddress] = []
    for text in settings.listen:
        listener = parse_listen(text)
        if listener.wildcard and listener.advertise_host is None:
            every = machine_addresses(listener.ipv6)
            opened += [dataclasses.replace(listener, host=address) for address in every]
        else:
            opened.append(listener)
    # The wildcard already covers an address that is written beside it.
    return list(dict.fromkeys(opened)) if all(listener.port for listener in opened) else opened


def refuse_open_listeners(settings: Settings) -> None:
    """Raise OperatorError if strangers could register: beyond loopback, and ``auth`` is not set."""
    exposed = [text for text in settings.listen if not parse_listen(text).loopback]
    if exposed and settings.auth is None:
        raise OperatorError(
            f"refusing to listen on {', '.join(exposed)} without authentication, for anybody there could"
            " register and call; ask for passwords (--auth digest --store sansip.db), or on a trusted network"
            ' say so with --auth none (auth = "..." in the configuration), or listen on a loopback address'
        )


def refuse_digest_without_users(settings: Settings) -> None:
    """Raise OperatorError if digest authentication has no store to look users up in."""
    if settings.auth == "digest" and settings.store is None and settings.ephemeral_file is None:
        raise OperatorError(
            "digest authentication needs a store of users: give --store sansip.db (or store in the"
            " configuration), and fill it with `sansip user add`"
        )


def listener_configs(listeners: Sequence[ListenAddress], http: Sequence[str] = ()) -> list[ListenerConfig]:
    """Return the listeners as the core and the adapters number them, from 0.

    A shared port is one listener for each transport. If an address has no listener for TLS, one
    that only opens connections is added (``_openers``). ``http`` is ``http.listen``.
    """
    shared = [(sharing(one, listeners), one.transport) for one in map(parse_http_listen, http)]
    configs: list[ListenerConfig] = []
    for listener in listeners:
        owner: int | None = None
        for transport in listener.transports:
            config = ListenerConfig(
                id=len(configs),
                transport=transport,
                host=listener.host,
                port=listener.port,
                advertise_host=listener.advertise_host,
                advertise_port=listener.advertise_port,
                shares=owner,
                proxies=listener.proxies,
                http=(listener, {WS: "http", WSS: "https"}.get(transport)) in shared,
            )
            configs.append(config)
            owner = configs[-1].id if owner is None else owner
    return configs + _openers(configs)


def _openers(configs: Sequence[ListenerConfig]) -> list[ListenerConfig]:
    """Return the listeners that open connections to TLS servers, if no listener is for TLS.

    RFC 3261 26.3.1: every proxy must speak TLS. Peers come back to the address of the listener
    that is shared, TCP before UDP.
    """
    secure = {config.host for config in configs if config.transport == TLS}
    owners: dict[str, ListenerConfig] = {}
    for transport in (TCP, UDP):
        for config in configs:
            if config.transport == transport and config.host not in secure:
                owners.setdefault(config.host, config)
    return [
        dataclasses.replace(
            owner,
            id=len(configs) + number,
            transport=TLS,
            shares=owner.id,
            accepts=False,
            proxies=(),
        )
        for number, owner in enumerate(owners.values())
    ]


def served_domains(settings: Settings, listeners: Sequence[ListenAddress]) -> list[str]:
    """Return the domains to serve; the server's other names mean the first one.

    Without any configured that is the first address beyond loopback, or ``localhost``; the
    other addresses mean it, and each is a realm of its own (``StackConfig.address_realms``).
    """
    domains = [check_domain(domain) for domain in settings.domains]
    if not domains:
        public = [listener for listener in listeners if not listener.loopback]
        domains = [(one.advertise_host or one.host) for one in public[:1]] or ["localhost"]
    return list(dict.fromkeys(domains))


def realm_hosts(settings: Settings, listeners: Sequence[ListenAddress]) -> list[str]:
    """Return the hosts that users may belong to: the domains, or each address if none is configured."""
    hosts = served_domains(settings, listeners)
    if not settings.domains:
        hosts += [listener.advertise_host or listener.host for listener in listeners]
        hosts += other_names(listeners)
    return list(dict.fromkeys(hosts))


def other_names(listeners: Sequence[ListenAddress]) -> list[str]:
    """Return the names of the server in addition to its domains and listeners' addresses.

    They are ``localhost``, and the machine's addresses if one socket has them all.
    """
    names: list[str] = []
    if any(listener.loopback or listener.wildcard for listener in listeners):
        names.append("localhost")
    for listener in listeners:
        if listener.wildcard:
            names += machine_addresses(listener.ipv6)
    return list(dict.fromkeys(names))


def stack_config(
    settings: Settings,
    listeners: list[ListenerConfig],
    domains: list[str],
    aliases: list[str],
    route: Callable[..., Any],
    secret: bytes | None = None,
) -> StackConfig:
    """Return the core's configuration for listeners whose ports are known."""
    return StackConfig(
        listeners=listeners,
        domains=domains,
        aliases=aliases,
        # An operator adds users by the address that the phones use; the users are the same at each address.
        address_realms=not settings.domains,
        route=route,
        limits=settings.limits,
        timers=settings.timers,
        registrar=settings.registrar,
        proxy=settings.proxy,
        ua=ua_config(settings.ua),
        modules=uses(settings.modules, [Use(Keepalive, settings.keepalive)]),
        # The Redis with the modules' rows also has their shared values.
        shares_values=settings.rows is not None,
        shares_rows=settings.rows is not None,
        keeps_rows=settings.rows is not None or settings.store is not None,
        server_name=settings.server_name,
        secret=secret,
        auth=settings.digest if settings.auth == "digest" else None,
        bearer=settings.bearer.config(),
        durable=settings.store is not None and settings.location is None,
        node=node_name(settings),
        shared=node_config(settings, listeners),
    )
