"""The parts of one stack, put together, and what they ask of each other.

Theory of operation: each part is made of those below it, in the order of the layers. What a part
needs of one above it, it gets as a function or by the protocol ``routing.core.Core``, which this
is. Time comes in through ``sansip.stack``, messages through ``sansip.reception``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from sansip.actions import Action, Notify
from sansip.auth import Authenticator, ClientAuth
from sansip.bans import Bans
from sansip.client import Client
from sansip.clock import Timers
from sansip.config import StackConfig
from sansip.entropy import Entropy
from sansip.errors import LocalProtocolError
from sansip.events import (
    BindingsChanged,
    RouteFailed,
)
from sansip.location import (
    Addresses,
    Binding,
    MemoryLocation,
    Nodes,
    SharedLocation,
)
from sansip.module import Modules
from sansip.module.departure import Departures
from sansip.module.sockets import Sockets
from sansip.neighbours import Neighbours
from sansip.notices import LimitNotices
from sansip.proxy import Proxy, Shifts
from sansip.proxy.dialog_mark import Marks
from sansip.proxy.trust import TrustDomain, identity_of
from sansip.questions import Inside, Questions
from sansip.reconfigure import listeners_of, names_of, realms_of
from sansip.registrar import Gruus, Registrar
from sansip.routing import Trusted
from sansip.routing.changes import Changes, SharedChange
from sansip.routing.flows import binding_over
from sansip.routing.loss import connection_lost, drop, flow_lost
from sansip.transaction import TransactionLayer
from sansip.transaction.retirement import Retirement
from sansip.transaction.settlement import Settlement
from sansip.transport import Connections, Flow, Listeners, Resolve, Sender
from sansip.transport.dns import Backups, DnsLookup, Locator, Resolver
from sansip.transport.flow_token import FlowTokens
from sansip.ua import UserAgent
from sansip.wire import OtherUri, Request, SipUri, TelUri
from sansip.wire.host import host_key, host_text

__all__ = ["Assembly"]


class Assembly:
    """The parts of a stack. Raises ``LocalProtocolError`` for a configuration that cannot work."""

    def __init__(self, config: StackConfig, seed: bytes) -> None:
        if len(seed) < 16:
            raise LocalProtocolError("the seed needs at least 16 octets of randomness (os.urandom(16))")
        self.config = config
        self.limits = config.limits
        self.server_name = config.server_name
        self.wall_offset = config.wall_offset
        # The first one that a time was made by.
        self._first_offset: float | None = None
        self.listeners = Listeners(listeners_of(config.listeners), [*config.domains, *config.aliases])
        self.domains = names_of(config)
        self.addresses = Addresses(self.domains)
        self.out: list[Action] = []
        self.timers = Timers()
        self.notices = LimitNotices(self.out, config.limits.notices)
        self.entropy = Entropy(seed)
        self.prover = Entropy(config.secret) if config.secret is not None else self.entropy
        self.connections = Connections(
            self.timers, config.limits, self.out, lambda flow: bool(self.location.aors_of(flow))
        )
        self.transactions = TransactionLayer(
            self.timers, config.timers, Sender(self.out, self.connections), config.limits
        )
        shared = config.shared is not None
        self.location = SharedLocation(config.limits) if shared else MemoryLocation(config.limits)
        self.registrar = Registrar(
            config.registrar, config.limits, Gruus(config.secret or seed, self.entropy)
        )
        self.tokens = FlowTokens(
            self.listeners,
            config.secret or seed,
            config.node,
            int(self.entropy.keyed_hash("life")[:8], 16),
            self.domains[0] if self.domains else "",
        )
        self.trusted = Trusted(config.trusted)
        # Hosts of this server, whose users have a realm by their name or by another.
        self.realms = realms_of(config, self.domains)
        realms = list(dict.fromkeys(self.realms.values()))
        self.client = Client(
            self.listeners,
            self.transactions,
            self.entropy,
            config.limits,
            self._resolve,
            ClientAuth(config.accounts, self.entropy, config.limits, self.notify),
            config.proxy.failover_time,
            config.proxy.tcp_above,
        )
        self.proxy = Proxy(
            config.proxy,
            self.listeners,
            self.transactions,
            self.entropy,
            config.limits,
            self.tokens,
            partial(binding_over, self),
            self._flow_lost,
            self.client,
            Shifts(self.prover, config.limits.raised_dialogs),
            Marks(config.secret or seed, config.proxy.dialog_life, config.limits.refreshed_dialogs),
            TrustDomain(self.listeners, realms, config.auth is not None, self._believes, self.trusted.peers),
            self.notices,
        )
        self.ua = UserAgent(
            config.ua,
            self.client,
            self.listeners,
            config.timers,
            config.limits,
            self.entropy,
            self.prover.derived("tags of user agents"),
            self.notices,
            self.domains[0] if self.domains else host_text(config.listeners[0].host, None),
        )
        self.ua.tell = self.tell
        keys = config.nonce_keys or [config.secret or seed]
        self.authenticator: Authenticator | None = None
        self.bans = Bans(config.limits.bans)
        if config.auth is not None:
            self.authenticator = Authenticator(
                config.auth, keys, self.entropy, self.bans, config.ephemeral, config.began
            )
        self.users = config.users
        self.recall = config.recall
        self.durable = config.durable
        self.resolver: Resolver | None = None
        self.locator: Locator | None = None
        if config.dns is not None:
            self.resolver = Resolver(
                config.dns, self.timers, self.entropy, config.limits, self.out, self.connections.number
            )
            reach = [(one.transport, one.is_ipv6) for one in self.listeners]
            self.locator = Locator(self.resolver, reach)
        # Listeners that a reload took away.
        self.retiring = Retirement(self.transactions, self.connections, config.limits, self.out)
        self.questions = Questions(self.timers, config.limits, self.out)
        backups = Backups(self.listeners, self.ask, self.is_trusted)
        self.settlement = Settlement(self.connections, self.transactions, backups, config.limits)
        self.sockets = Sockets(self.timers, config.limits, self.out, self.connections.number)
        self.modules = Modules(self, config.modules)
        self.proxy.hooks = self.modules.hooks
        # Modules that a reload took away.
        self.departures = Departures(self.timers, config.limits, lambda: self.modules.hooks.settle())
        # Modules start at the first input, when everything is restored.
        self.unstarted = len(self.modules) > 0
        self.route = self.modules.bind(config.route)
        # One writer for each address-of-record of a shared location.
        self.changes: Changes | None = None
        if isinstance(self.location, SharedLocation):
            self.changes = Changes(self, self.location, self.notices.reached)
        self.draining = False
        self.nodes: Nodes | None = None
        if config.shared is not None:
            self.nodes = Neighbours(self, config.node, config.shared).nodes
            self.proxy.node_silent = self.nodes.suspect

    # --- what the route and the parts ask

    def _resolve(self, subject: Any, callback: Callable[[Any, float], None], now: float) -> None:
        self.ask(subject, callback, now)

    def ask(
        self, subject: Any, callback: Callable[[Any, float], None], now: float, within: float | None = None
    ) -> None:
        """Put ``subject`` to the outside; ``callback(result, now)`` gets the answer.

        ``within``: seconds to wait for it, at the most ``limits.answer_time``.

        What name servers can answer is asked of them, where some are configured.
        """
        if self.resolver is not None and self.locator is not None:
            if type(subject) is Resolve:
                self.locator.locate(subject, callback, now)
                return
            if type(subject) is DnsLookup:
                self.resolver.lookup(subject.name, subject.kind, callback, now)
                return
        if self.changes is not None and type(subject) is SharedChange:
            self.changes.put(subject, callback, now)
            return
        if isinstance(subject, Inside):
            subject.put(callback, now)
            return
        self.questions.ask(subject, callback, now, within)

    def realm_of(self, uri: SipUri | TelUri | OtherUri) -> str:
        """Return the realm of who is at ``uri``: its domain where it is ours, else the first domain."""
        realm = self.realms.get(host_key(identity_of(uri)[1]))
        return self.realms[""] if realm is None else realm

    def unix(self, now: float) -> float:
        """Return the Unix time at ``now``, as well as it is known."""
        offset = self.wall_offset
        if offset is None:
            return now
        if self._first_offset is None:
            self._first_offset = offset
        return now + offset

    def unix_passed(self, now: float) -> float:
        """Return a Unix time that has passed at ``now`` by today's clock and by that of the first use.

        For what must not end before its time because somebody set the clock forward.
        """
        return min(self.unix(now), now + (self._first_offset or 0.0))

    def flow_token(self, flow: Flow, expires_at: float) -> str:
        """Return the user part of a URI of ours that leads over ``flow`` and nowhere else.

        RFC 5626 5.2: a request with ``<sip:TOKEN@OUR-ADDRESS;lr>`` in its first Route
        goes over that flow, or gets 430 once it is gone or ``expires_at`` has passed. It
        is believed of peers that are trusted (``StackConfig.trusted``); from anybody
        else the answer is 403. Good with every stack that has the same ``secret``; one
        of a connection in this one alone.
        """
        return self.tokens.for_path(flow, self.unix(expires_at))

    def _believes(self, flow: Flow) -> bool:
        """Whether the peer of ``flow`` is one that the operator trusts, or another node of ours."""
        if len(self.trusted) and self.trusted.of(flow) is not None:
            return True
        return self.nodes is not None and self.nodes.lives_at(host_text(flow.host, flow.port))

    def is_trusted(self, flow: Flow) -> bool:
        """Whether the operator trusts the peer of ``flow``."""
        return self.trusted.of(flow) is not None

    def registered(self, aor: str, count: int) -> None:
        """The registrar changed the bindings of ``aor``; now there are ``count``."""
        self.out.append(Notify(BindingsChanged(aor, count, "registered")))

    def removed(self, aor: str) -> None:
        """An administrator removed the bindings of ``aor``."""
        self.out.append(Notify(BindingsChanged(aor, 0, "removed")))

    def dropped(self, aor: str, count: int, reason: str) -> None:
        """Bindings of ``aor`` went, for ``reason``; there are ``count`` left."""
        self.out.append(Notify(BindingsChanged(aor, count, reason)))

    def route_failed(self, request: Request, error: BaseException) -> None:
        """The route raised ``error`` as it decided on ``request``."""
        self.out.append(Notify(RouteFailed(request.method, request.uri_text, error)))

    def start(self, now: float) -> None:
        """Start the modules: at the first input, when everything is restored."""
        self.unstarted = False
        self.modules.start(now)

    def notify(self, event: Any) -> None:
        """Tell the log and other watchers of ``event`` (``sansip.events``)."""
        self.out.append(Notify(event))

    def tell(self, event: Any, now: float) -> None:
        """Tell the log, and the modules that want to hear of it, of ``event``."""
        self.notify(event)
        self.modules.event(event, now)

    def secret(self, purpose: str) -> Entropy:
        """Return the key for ``purpose``; the same wherever ``StackConfig.secret`` is."""
        return self.prover.derived(purpose)

    def unregister(self, binding: Binding, reason: str, now: float) -> None:
        """Remove ``binding``, here and in the store."""
        drop(self, binding.aor, lambda one: one == binding, reason, now)

    def _flow_lost(self, binding: Any, now: float) -> None:
        flow_lost(self, binding, now)

    def connection_lost(self, flow: Flow, now: float) -> None:
        """The connection of ``flow`` is gone: so is what was registered over it."""
        connection_lost(self, flow, now)
