"""How a stack is set up: listeners, domains, timers, policies, and the route.

Theory of operation: plain values, checked when the stack is built. The server
fills them from TOML, an embedding program by hand; the defaults are those of a
registrar and proxy for its own domains.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sansip.auth import Account, AuthConfig, BearerConfig, Ephemeral, Users
from sansip.limits import Limits
from sansip.location import NodeConfig
from sansip.module import Module, Use
from sansip.proxy import ProxyConfig
from sansip.registrar import RegistrarConfig
from sansip.routing import Route, TrustedPeer
from sansip.routing.default import route as default_route
from sansip.seat import Seat
from sansip.transaction import TimerValues
from sansip.transport.dns import DnsConfig
from sansip.ua import UserAgentConfig

__all__ = ["ListenerConfig", "Reconfiguration", "StackConfig"]


@dataclass(slots=True)
class ListenerConfig:
    """One address to listen on.

    ``host`` is an IP address without brackets; port 0 asks for any free port, which the adapter fills in when
    it has bound. ``advertise_*`` are the values for peers where they differ (a server behind a NAT).

    ``shares`` is the number of an earlier listener whose socket serves this one, too: the first octets of a
    connection tell which is meant. With ``accepts`` False the listener accepts no connections. It serves
    connections that this server opens over a transport that it does not listen on; peers know it by the
    address of the listener that it shares with. A ``transport`` that is none of SIP's is a protocol of a
    module. ``proxies`` are networks of load balancers, like ``10.0.0.0/8``: then only they may connect, and
    they must send a PROXY header. ``http``, for a WebSocket: an HTTP server beside the stack gets the
    requests that are not SIP.
    """

    id: int
    transport: str
    host: str
    port: int
    advertise_host: str | None = None
    advertise_port: int | None = None
    shares: int | None = None
    accepts: bool = True
    proxies: tuple[str, ...] = ()
    http: bool = False


@dataclass(slots=True)
class StackConfig:
    """Everything a stack is told.

    Attributes:
        listeners: at least one; the ids must differ.
        domains: hosts whose addresses-of-record are ours. Addresses of the
            listeners are always ours, and mean the first domain.
        hosted: further domains, with the realm of each ("": its own name): those that a module serves
            (``sansip.module.Core.serve``).
        route: decides on each request (``sansip.routing``).
        server_name: value of the Server field in answers made here; "" for none.
        secret: key of the marks and flow tokens in Record-Route and Path. Give the same
            after a restart, so that running dialogs go on; None takes the stack's seed.
        node: name of this server among those that share ``secret``, so that a flow token leads only to the
            node that wrote it.
        wall_offset: Unix time minus the clock given as ``now``, for Date; None
            leaves Date out. An adapter may set ``Stack.wall_offset`` later.
        auth: how to authenticate; None: this server asks no user for a password.
        bearer: tokens that prove users beside passwords (RFC 8898), judged by who answers ``ShownToken``.
        accounts: user names and passwords of ours at other servers, whose challenges
            are answered on the way (RFC 3261 22.3).
        users: returns the stored data of a user, for small sets that are at hand; None asks the outside
            (``sansip.auth.Lookup``).
        recall: returns at once a recent answer of the outside about a user, if it still holds, or None; it
            serves only to recognize a right password.
        ephemeral: the source of users with a time limit (``sansip.auth.Ephemeral``).
        nonce_keys: keys of nonces, newest first; the same on all nodes that share
            users. None takes ``secret``, or the seed.
        began: the Unix time at which this process began: it believes no older nonce that it did not
            make itself, for it cannot know how that was used. None takes the first request's.
        trusted: peers that are trusted by their address; the default route lets them call our users without a
            password, and relays for those that may relay.
        durable: acknowledge bindings only once the outside has stored them: the stack asks for each change by
            a ``sansip.location.LocationUpdate``. Give the stored bindings to ``Stack.restore`` at the start.
        shared: take part in a location that several nodes share, under the name ``node``: the stack puts
            ``SharedRead``, ``SharedWrite`` and ``Heartbeat`` of ``sansip.location`` to the outside, and
            ``durable`` has no effect. All nodes need the same ``secret``. ``Stack.join`` begins it.
        address_realms: users at an address of this server, or at one of ``aliases``, are asked in a
            realm of that name, and not in the first domain's: where no domain was chosen.
        aliases: further names of this server; like its addresses, they mean the
            first domain.
        ua: the settings for calls and requests of our own (docs/calls.md).
        modules: modules and their settings (docs/modules.md).
        shares_values: the outside keeps live values and counts of modules for several nodes (``Get``,
        ``Swap`` and
            ``Count`` of ``sansip.module.sharing`` are put to it); False: this stack has its own.
        shares_rows: other nodes write the rows of modules as well.
        keeps_rows: the outside keeps the rows of modules after the end of this process. If not, modules that
            hold in memory what they need write none.
        seat: the place of this stack among the workers of one server (``sansip.seat``). All of them need the
            same ``secret``, and the outside answers ``SharedRead`` and ``SharedWrite`` for all.
        dns: name servers to ask (RFC 3263). None puts ``Resolve`` to the outside,
            which knows addresses and no NAPTR or SRV records.
    """

    listeners: list[ListenerConfig]
    domains: list[str] = field(default_factory=list)
    hosted: dict[str, str] = field(default_factory=dict)
    route: Route = default_route
    limits: Limits = field(default_factory=Limits)
    timers: TimerValues = field(default_factory=TimerValues)
    proxy: ProxyConfig = field(default_factory=ProxyConfig)
    registrar: RegistrarConfig = field(default_factory=RegistrarConfig)
    server_name: str = "sansip"
    secret: bytes | None = None
    node: str = ""
    wall_offset: float | None = None
    auth: AuthConfig | None = None
    bearer: BearerConfig | None = None
    accounts: list[Account] = field(default_factory=list)
    users: Users | None = None
    recall: Users | None = None
    ephemeral: Ephemeral | None = None
    nonce_keys: list[bytes] | None = None
    began: float | None = None
    trusted: list[TrustedPeer] = field(default_factory=list)
    durable: bool = False
    shared: NodeConfig | None = None
    shares_rows: bool = False
    keeps_rows: bool = True
    seat: Seat | None = None
    aliases: list[str] = field(default_factory=list)
    address_realms: bool = False
    dns: DnsConfig | None = None
    ua: UserAgentConfig = field(default_factory=UserAgentConfig)
    modules: list[Use] = field(default_factory=list)
    shares_values: bool = False


@dataclass(slots=True)
class Reconfiguration:
    """New settings for a running stack (``Stack.configure``); None leaves a setting as it is.

    Attributes:
        route: decides on requests from now on; those that run end by the one that they began with.
        route_name: the route's name in a journal, so that a replay finds the same one.
        listeners: all of them. One keeps its number where its socket stays; a number that is not here
            any more is given up: nothing new is taken there, and what runs comes to its end
            (``limits.retire_time``). A number that was never used is a new listener.
        limits: the stack's own (``Stack.limits``) take their values.
        auth, dns: only where the stack has some.
        domains, aliases, address_realms, timers, proxy, registrar, ua, server_name, trusted, accounts,
            nonce_keys: as in ``StackConfig``.
        modules: new settings of modules that the stack has.
        added: further modules, with their settings. One that does not start refuses the whole change.
        removed: modules to do without. They serve requests that run, and then go (``limits.retire_time``).
    """

    route: Route | None = None
    route_name: str = ""
    listeners: Sequence[ListenerConfig] | None = None
    domains: Sequence[str] | None = None
    aliases: Sequence[str] | None = None
    address_realms: bool | None = None
    limits: Limits | None = None
    timers: TimerValues | None = None
    proxy: ProxyConfig | None = None
    registrar: RegistrarConfig | None = None
    ua: UserAgentConfig | None = None
    auth: AuthConfig | None = None
    dns: DnsConfig | None = None
    server_name: str | None = None
    trusted: Sequence[TrustedPeer] | None = None
    accounts: Sequence[Account] | None = None
    nonce_keys: Sequence[bytes] | None = None
    modules: Mapping[type[Module], Any] = field(default_factory=dict)
    added: Mapping[type[Module], Any] = field(default_factory=dict)
    removed: Sequence[type[Module]] = ()
