"""The parts of one stack, put together.

Theory of operation: each part is made of those below it, in the order of the layers. If a part needs
something from a part above it, it gets a function, or asks ``sansip.service``. Time comes in through
``sansip.stack``, messages through ``sansip.reception``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from sansip.actions import Action
from sansip.auth import Authenticator, ClientAuth
from sansip.bans import Bans
from sansip.client import Client
from sansip.client.guarded import Guarded
from sansip.clock import Timers, Wall
from sansip.config import StackConfig
from sansip.entropy import Entropy
from sansip.errors import LocalProtocolError
from sansip.location import (
    Addresses,
    MemoryLocation,
    Nodes,
    SharedLocation,
)
from sansip.module import Modules
from sansip.module.departure import Departures
from sansip.module.links import Links
from sansip.module.mounts import Visits
from sansip.module.sharing import MemoryValues
from sansip.module.sockets import Sockets
from sansip.neighbours import Neighbours
from sansip.notices import LimitNotices
from sansip.proxy import Proxy, Shifts
from sansip.proxy.dialog_mark import Marks
from sansip.proxy.relayed import RelayedCalls
from sansip.proxy.trust import TrustDomain
from sansip.questions import Questions
from sansip.reconfigure import all_names, host, listeners_of, names_of, own_name, realms_of
from sansip.registrar import Gruus, Registrar
from sansip.routing import Trusted
from sansip.routing.changes import Changes
from sansip.routing.flows import binding_over
from sansip.routing.loss import flow_lost
from sansip.seat import MOST
from sansip.service import Service
from sansip.siblings import Siblings
from sansip.transaction import TransactionLayer
from sansip.transaction.retirement import Retirement
from sansip.transaction.settlement import Settlement
from sansip.transport import ActionSender, Connections, Listeners
from sansip.transport.dns import Backups, Locator, Resolver
from sansip.transport.flow_token import FlowTokens
from sansip.ua import UserAgent

__all__ = ["Assembly"]


class Assembly(Service):
    """The parts of a stack. Raises ``LocalProtocolError`` for a configuration that cannot work."""

    def __init__(self, config: StackConfig, seed: bytes) -> None:
        if len(seed) < 16:
            raise LocalProtocolError("the seed needs at least 16 octets of randomness (os.urandom(16))")
        # Its own copy: ``configure`` must not change the caller's configuration, or that of another stack.
        self.config = config = replace(config)
        self.limits = limits = replace(config.limits)
        self.seat = seat = config.seat
        # The other workers of this server; None where it is alone.
        self.siblings: Siblings | None = None
        self.server_name = config.server_name
        self.wall = Wall(config.wall_offset)
        self.listeners = Listeners(listeners_of(config.listeners), all_names(config))
        self.domains = names_of(config)
        self.addresses = Addresses(self.domains)
        self.out: list[Action] = []
        self.timers = Timers()
        self.notices = LimitNotices(self.out, limits.notices)
        self.entropy = Entropy(seed)
        if seat is not None:
            if config.secret is None:
                raise LocalProtocolError("workers need a secret that they share")
            self.entropy.mark = seat.mark
        self.prover = Entropy(config.secret) if config.secret is not None else self.entropy
        self.connections = Connections(
            self.timers, limits, self.out, lambda flow: bool(self.location.aors_of(flow))
        )
        if seat is not None:
            self.connections.begin_at(seat.first_connection)
        self.transactions = TransactionLayer(
            self.timers, config.timers, ActionSender(self.out, self.connections), limits
        )
        shared = config.shared is not None or seat is not None
        self.location = SharedLocation(limits) if shared else MemoryLocation(limits)
        self.registrar = Registrar(config.registrar, limits, Gruus(config.secret or seed, self.entropy))
        self.tokens = FlowTokens(
            self.listeners,
            config.secret or seed,
            config.node,
            int(self.entropy.keyed_hash("life")[:8], 16) if seat is None else seat.life,
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
            limits,
            self.resolve,
            ClientAuth(config.accounts, self.entropy, limits, self.notify),
            Guarded(self.listeners, self.notify),
            config.proxy.failover_time,
            config.proxy.tcp_above,
        )
        self.proxy = Proxy(
            config.proxy,
            self.listeners,
            self.transactions,
            self.entropy,
            limits,
            self.tokens,
            partial(binding_over, self),
            partial(flow_lost, self),
            self.client,
            Shifts(self.prover, limits.raised_dialogs),
            Marks(config.secret or seed, config.proxy.dialog_life, limits.refreshed_dialogs),
            TrustDomain(self.listeners, realms, config.auth is not None, self.believes, self.trusted.peers),
            self.notices,
        )
        relayed = self.proxy.records = RelayedCalls(limits, self.notify)
        if seat is not None:
            self.proxy.marks.place = seat.digit
            relayed.number_by(seat.number, MOST)
        self.ua = UserAgent(
            config.ua,
            self.client,
            self.listeners,
            config.timers,
            limits,
            self.entropy,
            self.prover.derived("tags of user agents"),
            self.notices,
            own_name(config),
        )
        self.ua.tell = self.tell
        self.ua.tell_due(self.timers.beside())
        self.location.tell_expiry(self.timers.beside())
        # Hears of the first deadline of modules that tell it.
        self.module_due = self.timers.beside()
        keys = config.nonce_keys or [config.secret or seed]
        self.authenticator: Authenticator | None = None
        self.bans = Bans(limits.bans)
        if config.auth is not None:
            self.authenticator = Authenticator(
                config.auth, keys, self.entropy, self.bans, config.ephemeral, config.began
            )
        self.bearer = config.bearer
        self.users = config.users
        self.recall = config.recall
        self.durable = config.durable
        self.resolver: Resolver | None = None
        self.locator: Locator | None = None
        if config.dns is not None:
            self.resolver = Resolver(
                config.dns, self.timers, self.entropy, limits, self.out, self.connections.number
            )
            reach = [(one.transport, one.is_ipv6) for one in self.listeners]
            self.locator = Locator(self.resolver, reach)
        # Listeners that a reload took away.
        self.retiring = Retirement(self.transactions, self.connections, limits, self.out)
        self.retiring.held = lambda now: now < self.ua.moving_until
        self.questions = Questions(self.timers, limits, self.out)
        backups = Backups(self.listeners, self.ask, self.is_trusted)
        self.settlement = Settlement(self.connections, self.transactions, backups)
        self.sockets = Sockets(self.timers, limits, self.out, self.connections.number)
        self.values = MemoryValues(limits)
        self.modules = Modules(self, config.modules)
        self.proxy.hooks = self.modules.hooks
        # Modules that a reload took away.
        self.links = Links(self.timers, limits, self.out, self.notify)
        self.links.take(self.modules.kinds, 0.0)
        self.visits = Visits(self, self.timers, lambda: self.modules)
        self.departures = Departures(self.timers, limits, lambda: self.modules.hooks.settle())
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

    def host(self, domains: Mapping[str, str]) -> None:
        """Serve ``domains`` beside those of the configuration, each with its realm; for a module."""
        host(self, domains)
