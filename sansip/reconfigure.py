"""New settings for a running stack: it takes all of them, or none.

Theory of operation: everything is judged before anything is changed. Settings that parts of the stack read at
each use are replaced where those parts look: all of them hold the stack's own ``Limits``, which takes the
values of the new ones. The caller's objects stay as they are. Requests that run go on by the route and with
the timers that they began with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from sansip.config import ListenerConfig, Reconfiguration, StackConfig
from sansip.errors import LocalProtocolError
from sansip.location import Addresses
from sansip.transport.listeners import Listener
from sansip.transport.transports import TRANSPORTS
from sansip.wire.host import host_key, host_text, plain_host

if TYPE_CHECKING:
    from sansip.auth import Authenticator
    from sansip.bans import Bans
    from sansip.client import Client
    from sansip.clock import Wall
    from sansip.entropy import Entropy
    from sansip.limits import Limits
    from sansip.module import Modules
    from sansip.module.departure import Departures
    from sansip.module.links import Links
    from sansip.notices import LimitNotices
    from sansip.proxy import Proxy
    from sansip.registrar import Registrar
    from sansip.routing import IncomingRequest, Trusted
    from sansip.sources import SourceRates
    from sansip.transaction import TransactionLayer
    from sansip.transaction.refusals import Refusals
    from sansip.transaction.retirement import Retirement
    from sansip.transport import Flow, Listeners
    from sansip.transport.dns import Locator, Resolver
    from sansip.transport.flow_token import FlowTokens
    from sansip.ua import UserAgent

__all__ = [
    "Reconfigured",
    "all_names",
    "host",
    "listeners_of",
    "names_of",
    "own_name",
    "realms_of",
    "reconfigure",
]


class Named(Protocol):
    """The attributes that say by which names a stack is called."""

    config: StackConfig
    limits: Limits
    listeners: Listeners
    proxy: Proxy
    domains: list[str]
    addresses: Addresses
    realms: dict[str | bytes, str]


class Receives(Protocol):
    """The attributes that change in the way in (``sansip.reception.Reception``)."""

    rates: SourceRates
    refusals: Refusals
    force_rport: str
    follows_maddr: Callable[[Flow], bool] | None


class Reconfigured(Protocol):
    """The attributes that change in a stack (``sansip.stack.Stack``)."""

    config: StackConfig
    limits: Limits
    server_name: str
    listeners: Listeners
    tokens: FlowTokens
    trusted: Trusted
    proxy: Proxy
    registrar: Registrar
    authenticator: Authenticator | None
    bans: Bans
    entropy: Entropy
    modules: Modules
    departures: Departures
    links: Links
    unstarted: bool
    retiring: Retirement
    domains: list[str]
    addresses: Addresses
    realms: dict[str | bytes, str]
    route: Callable[[IncomingRequest], object]
    notices: LimitNotices
    transactions: TransactionLayer
    resolver: Resolver | None
    locator: Locator | None
    client: Client
    wall: Wall
    ua: UserAgent

    @property
    def reception(self) -> Receives: ...
    def is_trusted(self, flow: Flow) -> bool: ...
    def start(self, now: float) -> None: ...


def listeners_of(configs: Sequence[ListenerConfig]) -> list[Listener]:
    """Return the listeners that ``configs`` describe. Raises ``LocalProtocolError``."""
    if not configs:
        raise LocalProtocolError("a stack needs at least one listener")
    if any(one.id < 0 for one in configs):
        raise LocalProtocolError("listeners have numbers from 0; those below are sockets of DNS queries")
    return [
        Listener(
            one.id,
            one.transport,
            one.host,
            one.port,
            one.advertise_host,
            one.advertise_port,
            one.shares,
            one.accepts,
        )
        for one in configs
        # Others are of modules.
        if one.transport in TRANSPORTS
    ]


def names_of(config: StackConfig) -> list[str]:
    """Return the domains of ``config`` as they are compared."""
    return [plain_host(domain.lower().strip("[]")) for domain in (*config.domains, *config.hosted)]


def all_names(config: StackConfig) -> list[str]:
    """Return the names by which peers may call the server."""
    return [*config.domains, *config.hosted, *config.aliases]


def host(stack: Named, domains: Mapping[str, str]) -> None:
    """Have ``stack`` serve ``domains`` beside those of its configuration, each with its realm."""
    config = stack.config
    # The first domain has a meaning of its own: the server's addresses mean it.
    known = set(names_of(replace(config, hosted={})))
    hosted = {name: realm for name, realm in domains.items() if name not in known}
    if hosted == config.hosted:
        return
    if not known:
        raise LocalProtocolError("a server without a domain of its own cannot serve others; give it one")
    config.hosted = hosted
    _rename(stack)


def _rename(stack: Named) -> None:
    """Have all parts know the domains and names of the configuration."""
    config = stack.config
    stack.domains = names_of(config)
    stack.addresses = Addresses(stack.domains)
    stack.listeners.replace(list(stack.listeners), all_names(config), stack.limits.former_listeners)
    stack.realms = realms_of(config, stack.domains)
    stack.proxy.trust.ask_in(stack.realms.values())


def own_name(config: StackConfig) -> str:
    """Return a stack's own name: the first domain, or its first address if there is none."""
    return config.domains[0] if config.domains else host_text(config.listeners[0].host, None)


def realms_of(config: StackConfig, domains: Sequence[str]) -> dict[str | bytes, str]:
    """Return the realm of users at each host, as ``host_key`` has it; "" stands for any other."""
    named = {name: realm for name, realm in config.hosted.items() if realm}
    if config.auth is not None:
        named |= config.auth.realm_by_domain()
    hosts = list(domains)
    if config.address_realms:
        addresses = [(one.advertise_host or one.host, one.host) for one in config.listeners]
        hosts += [*(host for pair in addresses for host in pair), *config.aliases]
    realms: dict[str | bytes, str] = {host_key(host): named.get(host, host) for host in hosts[::-1]}
    first = domains[0] if domains else "sansip"
    return {**realms, "": named.get(first, first)}


def reconfigure(stack: Reconfigured, change: Reconfiguration, now: float) -> None:
    """Have ``stack`` take ``change``.

    Raises ``ModuleFault`` or ``LocalProtocolError``, and changes nothing then.
    """
    if stack.unstarted:
        stack.start(now)
    modules = stack.modules
    if change.added or change.removed:
        modules = modules.changed(change.added, change.removed)
    route = modules.bind(change.route or stack.config.route)
    modules.check(change.modules)
    listeners = None if change.listeners is None else listeners_of(change.listeners)
    if change.auth is not None and stack.authenticator is None:
        raise LocalProtocolError("a stack that asks nobody for a password cannot begin to while it runs")
    if change.dns is not None and stack.resolver is None:
        raise LocalProtocolError("a stack that asks no name servers cannot begin to while it runs")
    _start(stack, modules, change, now)
    if modules is not stack.modules:
        _take_modules(stack, modules, now)
    stack.route = route
    if change.route is not None:
        # For those who ask what runs here: the watchdog names it by its file.
        stack.config.route = change.route
    if change.server_name is not None:
        stack.config.server_name = stack.server_name = stack.reception.refusals.server_name = (
            change.server_name
        )
    _take_policies(stack, change)
    if listeners is not None or change.domains is not None or change.aliases is not None:
        _take_listeners(stack, change, listeners, now)
    config = stack.config
    config.ua = change.ua or config.ua
    stack.ua.configure(config.ua, config.timers, own_name(config))
    if change.trusted is not None:
        stack.trusted.replace(change.trusted)
        stack.proxy.trust.count(stack.trusted.peers)
    if change.accounts is not None:
        stack.client.auth.replace(change.accounts)
    if change.nonce_keys is not None and stack.authenticator is not None:
        stack.authenticator.rotate(change.nonce_keys, stack.wall.unix(now))
    stack.modules.configure(change.modules, now)


def _start(stack: Reconfigured, modules: Modules, change: Reconfiguration, now: float) -> None:
    """Start those of ``modules`` that are new: the last step that can fail.

    A module may look at the names and limits as it starts, so it finds the new ones.
    """
    config = stack.config
    before = Reconfiguration(
        domains=list(config.domains),
        aliases=list(config.aliases),
        address_realms=config.address_realms,
        limits=replace(config.limits),
    )
    _take_names(stack, change)
    try:
        modules.start(now)
    except BaseException:
        _take_names(stack, before)
        raise


def _take_modules(stack: Reconfigured, modules: Modules, now: float) -> None:
    """Have ``modules`` in the place of those that there are."""
    gone = modules.succeed(stack.modules, now)
    stack.modules = modules
    stack.proxy.hooks = modules.hooks
    stack.links.take(modules.kinds, now)
    if gone:
        stack.departures.begin(gone, now)


def _bound(stack: Reconfigured, limits: Limits) -> None:
    """Have the limits in force be ``limits``, and tell the parts that took a copy of one."""
    stack.config.limits = limits
    stack.limits.take(limits)
    stack.reception.rates.bound(limits)
    stack.transactions.bound(limits)
    stack.notices.most = limits.notices
    stack.bans.most = limits.bans
    stack.proxy.shifts.most = limits.raised_dialogs
    stack.proxy.marks.most = limits.refreshed_dialogs
    stack.client.places.avoided.size = limits.avoided
    stack.proxy.hooks.hook_time = limits.hook_time
    if stack.resolver is not None:
        stack.resolver.cache.bound(limits.dns_cache)


def _take_policies(stack: Reconfigured, change: Reconfiguration) -> None:
    config = stack.config
    config.timers = change.timers or config.timers
    config.proxy = change.proxy or config.proxy
    if change.timers is not None or change.proxy is not None:
        stack.transactions.values = config.timers
        stack.proxy.configure(config.proxy, config.timers)
        stack.client.configure(config.proxy.failover_time, config.proxy.tcp_above)
        stack.reception.force_rport = config.proxy.force_rport
        stack.reception.follows_maddr = stack.is_trusted if config.proxy.via_maddr == "trusted" else None
    if change.registrar is not None:
        config.registrar = change.registrar
        stack.registrar.configure(change.registrar)
    if change.auth is not None and stack.authenticator is not None:
        config.auth = change.auth
        stack.authenticator.configure(change.auth)
        stack.realms = realms_of(config, stack.domains)
        stack.proxy.trust.ask_in(stack.realms.values())
    if change.dns is not None and stack.resolver is not None and stack.locator is not None:
        config.dns = change.dns
        stack.resolver.configure(change.dns)
        stack.locator.listen(_reach(stack.listeners))


def _take_names(stack: Reconfigured, change: Reconfiguration) -> None:
    """Take other limits, domains and aliases: the names that others call us by."""
    config = stack.config
    if change.limits is not None:
        _bound(stack, change.limits)
    if change.domains is None and change.aliases is None and change.address_realms is None:
        return
    if change.domains is not None:
        config.domains = list(change.domains)
    if change.aliases is not None:
        config.aliases = list(change.aliases)
    if change.address_realms is not None:
        config.address_realms = change.address_realms
    _rename(stack)


def _take_listeners(
    stack: Reconfigured, change: Reconfiguration, listeners: list[Listener] | None, now: float
) -> None:
    """Take other listeners, and have all parts look at our addresses anew."""
    config = stack.config
    before = list(stack.listeners)
    if change.listeners is not None:
        config.listeners = list(change.listeners)
    # Listeners that stay are the same objects: the requests that use them need not look again.
    known = {one.id: one for one in before}
    after = [known[one.id] if known.get(one.id) == one else one for one in listeners or before]
    stack.listeners.replace(after, all_names(config), stack.limits.former_listeners)
    numbers = {one.id for one in after}
    stack.retiring.end(numbers)
    gone = [(one.id, one.transport) for one in before if one.id not in numbers]
    stack.retiring.begin(gone, stack.proxy.timers, now)
    stack.ua.listeners_changed(now)
    stack.tokens.listen(stack.listeners)
    stack.realms = realms_of(config, stack.domains)
    stack.proxy.trust.ask_in(stack.realms.values())
    if stack.locator is not None:
        stack.locator.listen(_reach(stack.listeners))


def _reach(listeners: Listeners) -> list[tuple[str, bool]]:
    return [(one.transport, one.is_ipv6) for one in listeners]
