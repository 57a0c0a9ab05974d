"""The stack: bytes and time in, actions out. Everything SIP happens behind it.

Theory of operation: each input is a method that takes ``now`` and returns the
actions it caused, in order. Inside, the layers call each other directly and
append to one list, ``_out``, which an input hands over when it is done. A message
is read, finds its transaction or gets one, and a new request goes to the route.
Nothing a peer sends makes an input raise: what cannot be accepted is answered,
dropped, or closes its connection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import Any, Protocol

from sansip.actions import Action, Address, Disconnect, Notify, SendData, SendDatagram
from sansip.auth import Authenticator, ClientAuth
from sansip.bans import Ban, Bans
from sansip.client import Client
from sansip.clock import Timers
from sansip.config import Reconfiguration, StackConfig
from sansip.entropy import Entropy
from sansip.errors import LocalProtocolError, RemoteProtocolError
from sansip.events import (
    BindingsChanged,
    ConnectionRefused,
    MessageRefused,
    NodeChanged,
    RouteFailed,
)
from sansip.location import (
    Binding,
    LocationUpdate,
    MemoryLocation,
    NodeFlow,
    Nodes,
    NodeState,
    Outcome,
    SharedLocation,
    address_of_record,
)
from sansip.location.nodes import Answered
from sansip.module import Modules, Reply
from sansip.module.sockets import Sockets
from sansip.module.tasks import Done
from sansip.notices import LimitNotices
from sansip.proxy import Proxy, Shifts
from sansip.proxy.branch import Branch
from sansip.proxy.dialog_mark import Marks
from sansip.proxy.trust import TrustDomain, identity_of
from sansip.questions import Inside, Questions
from sansip.reconfigure import listeners_of, names_of, realms_of, reconfigure
from sansip.registrar import Gruus, Registrar
from sansip.routing import IncomingRequest, Trusted, run
from sansip.routing.arrival import screen, take_route
from sansip.routing.changes import Changes, SharedChange
from sansip.routing.flows import binding_over, looking
from sansip.routing.loss import connection_lost, drop, flow_lost, give_up, has_moved
from sansip.routing.probing import Probe, alive_tag
from sansip.routing.removal import Removed, unbind
from sansip.routing.room import is_exempt
from sansip.sources import SourceRates, source_of
from sansip.transaction import TransactionLayer, server_key
from sansip.transaction.refusals import Refusals, acknowledges_refusal
from sansip.transaction.retirement import Retirement
from sansip.transaction.settlement import Settlement
from sansip.transport import PING, PONG, Connections, Flow, Listeners, Resolve, Sender, note_source
from sansip.transport.dns import Backups, DnsLookup, Locator, Resolver
from sansip.transport.filter import OpenConnection
from sansip.transport.flow import same_peer
from sansip.transport.flow_token import MARK, FlowTokens
from sansip.transport.stun import binding_response, is_stun
from sansip.ua import UserAgent
from sansip.wire import OtherUri, Request, Response, SipUri, TelUri, parse_message
from sansip.wire.host import host_key, host_text, plain_host

__all__ = ["ConnectionInfo", "Stack"]

# Seconds that another node has at least for its answer: a datagram is sent twice by then.
_PROBE_TIME = 1.0


class ConnectionInfo(Protocol):
    """What an adapter knows of a connection when it is established."""

    listener: int
    transport: str
    remote: Address
    incoming: bool


class Stack:
    """One SIP engine. See ``sansip.actions`` for what its inputs return.

    ``seed`` (16 octets or more, from the operating system's randomness) makes
    branches and tags unguessable; the same seed and inputs give the same actions.
    Raises ``LocalProtocolError`` for a configuration that cannot work.
    """

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
        self._domains = names_of(config)
        self._out: list[Action] = []
        self._timers = Timers()
        self._notices = LimitNotices(self._out, config.limits.notices)
        self.entropy = Entropy(seed)
        self._secret = Entropy(config.secret) if config.secret is not None else self.entropy
        self._connections = Connections(
            self._timers, config.limits, self._out, lambda flow: bool(self.location.aors_of(flow))
        )
        self._transactions = TransactionLayer(
            self._timers, config.timers, Sender(self._out, self._connections)
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
            self._domains[0] if self._domains else "",
        )
        self.trusted = Trusted(config.trusted)
        # Hosts of this server, whose users have a realm by their name or by another.
        self._realms = realms_of(config, self._domains)
        realms = list(dict.fromkeys(self._realms.values()))
        answering = ClientAuth(config.accounts, self.entropy, config.limits, self.notify)
        self.client = Client(
            self.listeners,
            self._transactions,
            self.entropy,
            config.limits,
            self._resolve,
            answering,
            config.proxy.failover_time,
            config.proxy.tcp_above,
        )
        self.proxy = Proxy(
            config.proxy,
            self.listeners,
            self._transactions,
            self.entropy,
            config.limits,
            self._resolve,
            self.tokens,
            partial(binding_over, self),
            self._flow_lost,
            answering,
            Shifts(self._secret, config.limits.raised_dialogs),
            Marks(config.secret or seed, config.proxy.dialog_life, config.limits.refreshed_dialogs),
            TrustDomain(
                self.listeners, realms, config.auth is not None, self._believes, self.trusted.__len__
            ),
            self._notices,
        )
        self.ua = UserAgent(
            config.ua,
            self.client,
            self.listeners,
            config.timers,
            config.limits,
            self.entropy,
            self._secret.derived("tags of user agents"),
            self._notices,
            self._domains[0] if self._domains else host_text(config.listeners[0].host, None),
        )
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
        self._resolver: Resolver | None = None
        self._locator: Locator | None = None
        if config.dns is not None:
            self._resolver = Resolver(
                config.dns, self._timers, self.entropy, config.limits, self._out, self._connections.number
            )
            reach = [(one.transport, one.is_ipv6) for one in self.listeners]
            self._locator = Locator(self._resolver, reach)
        # Listeners that a reload took away.
        self.retiring = Retirement(self._transactions, self._connections, config.limits, self._out)
        self._questions = Questions(self._timers, config.limits, self._out)
        backups = Backups(self.listeners, self.ask, self._is_trusted)
        self._settlement = Settlement(self._connections, self._transactions, backups, config.limits)
        self._refusals = Refusals(self._transactions.sender, self.entropy, config.server_name)
        self.sockets = Sockets(self._timers, config.limits, self._out, self._connections.number)
        self.modules = Modules(self, config.modules)
        self.proxy.hooks = self.modules.hooks
        # Modules start at the first input, when everything is restored.
        self._unstarted = len(self.modules) > 0
        self._route = self.modules.bind(config.route)
        self._rates = SourceRates(config.limits)
        # One writer for each address-of-record of a shared location.
        self.changes: Changes | None = None
        if isinstance(self.location, SharedLocation):
            self.changes = Changes(self, self.location, self._notices.reached)
        self._force_rport: str = config.proxy.force_rport
        self._follows_maddr: Callable[[Flow], bool] | None = (
            self._is_trusted if config.proxy.via_maddr == "trusted" else None
        )
        self._draining = False
        self.nodes: Nodes | None = None
        if config.shared is not None:
            life = self.entropy.keyed_hash("life")
            self.nodes = Nodes(
                config.node,
                life,
                config.shared,
                self._timers,
                self.ask,
                self._node_changed,
                self._prove,
                self._probe_node,
            )
            self.proxy.node_silent = self.nodes.suspect

    # --- inputs

    def datagram_received(self, listener: int, data: bytes, source: Address, now: float) -> list[Action]:
        """Take one datagram that ``listener`` received from ``source``."""
        if listener < 0:
            if not self.sockets.datagram_received(listener, data, now) and self._resolver is not None:
                self._resolver.datagram_received(listener, data, source, now)
            return self._take(now)
        if data < b" ":
            # No SIP, but for one after empty lines: RFC 5626 8 (the first octet of STUN).
            if is_stun(data):
                return self._stun_received(listener, data, source, now)
            if len(data) < 8 and not data.strip(b"\r\n\0"):
                # RFC 5626 3.5.1 and common practice: keepalives want no answer.
                return []
        self._message_received(data, Flow("udp", listener, source), now)
        return self._take(now)

    def _stun_received(self, listener: int, data: bytes, source: Address, now: float) -> list[Action]:
        # A Binding request is answered, anything else that begins like STUN is dropped.
        answer = binding_response(data, source)
        if answer is None or not self._within_rate(Flow("udp", listener, source), now):
            return []
        return [SendDatagram(listener, answer, source)]

    def connection_opened(self, conn: int, flow: ConnectionInfo, now: float) -> list[Action]:
        """Note that a connection is established; incoming ones have a ``new_connection`` number."""
        if flow.listener < 0:
            if not self.sockets.connection_opened(conn, now) and self._resolver is not None:
                self._resolver.connection_opened(conn, now)
            return self._take(now)
        reached = Flow(flow.transport, flow.listener, flow.remote, conn)
        if isinstance(flow, OpenConnection) and flow.transport in ("tls", "wss"):
            reached.peer = flow
        refused = self._connections.opened(conn, reached, flow.incoming, now)
        if refused is not None:
            self._out.append(Disconnect(conn, refused))
            self._out.append(Notify(ConnectionRefused(str(flow.remote[0]), refused)))
        return self._take(now)

    def identities(self, conn: int) -> tuple[str, ...]:
        """Return the SIP domains that the peer of ``conn`` has proved to be (RFC 5922 7.1)."""
        connection = self._connections.get(conn)
        return () if connection is None else connection.flow.identities

    def identified(self, conn: int, identities: tuple[str, ...]) -> None:
        """Have the peer of ``conn`` be these domains: in a replay, where no filter says so."""
        connection = self._connections.get(conn)
        if connection is not None and connection.flow.peer is not None:
            connection.flow.peer.identities = identities

    def data_received(self, conn: int, data: bytes, now: float, *, boundary: bool = False) -> list[Action]:
        """Take octets of a stream; with ``boundary`` they are exactly one message.

        WebSocket frames and SCTP messages have boundaries (RFC 7118 5.1, RFC 4168 4).
        """
        connection = self._connections.get(conn)
        if connection is None:
            if not self.sockets.data_received(conn, data, now) and self._resolver is not None:
                self._resolver.data_received(conn, data, now)
            return self._take(now)
        flow = connection.flow
        if boundary:
            if data.strip(b"\r\n"):
                self._message_received(data, flow, now)
            elif data == PING:
                self._out.append(SendData(conn, PONG))
            self._connections.received(connection, now, True)
            return self._take(now)
        messages = connection.framer.feed(data)
        pings = 0
        for framed in messages:
            if framed is PING:
                pings += 1
                continue
            if pings:
                self._out.append(SendData(conn, PONG * pings))
                pings = 0
            if isinstance(framed, RemoteProtocolError):
                self._refuse(framed, flow, now)
                if connection.framer.failed:
                    # RFC 3261 18.3 and RFC 4475 3.1.2.3: answered, then closed, for
                    # the next message cannot be found.
                    self._connections.close(conn, framed.reason)
            else:
                self._message_received(framed, flow, now, datagram=False)
        if pings:
            # RFC 5626 4.4.1: one for each, and one write for all, or a stream of pings would
            # cost a packet for every four octets.
            self._out.append(SendData(conn, PONG * pings))
        self._connections.received(connection, now, bool(messages))
        return self._take(now)

    def connection_closed(self, conn: int, reason: str, now: float) -> list[Action]:
        """Note that a connection is gone, or could not be opened."""
        connection = self._connections.get(conn)
        if connection is None:
            if not self.sockets.connection_closed(conn, reason, now) and self._resolver is not None:
                self._resolver.connection_closed(conn, now)
            return self._take(now)
        waiting = self._connections.closed(conn, reason)
        connection_lost(self, connection.flow, now)
        for transaction in waiting:
            # RFC 3261 18.4: the waiting clients need not wait any longer.
            transaction.feed("transport error", reason, now)
        give_up(self, waiting, now)
        return self._take(now)

    def send_failed(self, action: SendDatagram | SendData, reason: str, now: float) -> list[Action]:
        """Note that ``action`` could not be performed (RFC 3261 17.1.4, 17.2.4)."""
        if isinstance(action, SendDatagram):
            if action.listener < 0:
                found = self.sockets.datagram_failed(action.listener, reason, now)
                if not found and self._resolver is not None:
                    self._resolver.send_failed(action.listener, now)
                return self._take(now)
        elif self.sockets.owns(action.conn):
            # Its end is told besides.
            return []
        self._connections.failed.append((action.data, reason))
        return self._take(now)

    def answer(self, id: int, result: Any, now: float) -> list[Action]:
        """Give the answer to ``Ask`` number ``id``; an exception is a failed answer."""
        self._questions.answer(id, result, now)
        return self._take(now)

    def time_passed(self, now: float) -> list[Action]:
        """Let everything due at ``now`` happen."""
        if self._unstarted:
            self._start(now)
        self._timers.fire_due(now)
        self.ua.time_passed(now)
        self.modules.time_passed(now)
        due = self.location.next_expiry()
        if due is not None and due <= now:
            for binding in self.location.expire(now):
                if isinstance(binding.flow, NodeFlow):
                    # Another node's phone may have refreshed there: its node tells.
                    continue
                left = len(self.location.lookup(binding.aor, now))
                self._out.append(Notify(BindingsChanged(binding.aor, left, "expired")))
        return self._take(now)

    def next_deadline(self) -> float | None:
        """Return when to call ``time_passed`` next, or None when nothing waits."""
        if self._unstarted:
            return 0.0
        timer = self._timers.next_deadline()
        expiry = self.location.next_expiry()
        for due in (self.modules.next_due(), self.ua.next_due()):
            if due is not None and (expiry is None or due < expiry):
                expiry = due
        if timer is None:
            return expiry
        return timer if expiry is None else min(timer, expiry)

    def _start(self, now: float) -> None:
        self._unstarted = False
        self.modules.start(now)

    def is_crowd(self, listener: int, source: Address) -> bool:
        """Whether many send from ``source``, so that limits by source do not hold for it."""
        return is_exempt(self, Flow("udp", listener, source))

    def new_connection(self) -> int:
        """Return a number for a connection that an adapter accepted."""
        return self._connections.number()

    def configure(self, change: Reconfiguration, now: float) -> list[Action]:
        """Take ``change`` from now on; requests that run end by what they began with.

        Raises ``ModuleFault`` or ``LocalProtocolError``, and changes nothing, where it could not work.
        """
        reconfigure(self, change, now)
        return self._take(now)

    def drain(self, now: float) -> list[Action]:
        """Take no new dialogs: initial requests get 503 with Retry-After from here on."""
        self._draining = self.ua.draining = True
        self.modules.stop(now)
        if self.nodes is not None:
            self.nodes.drain(now)
        return self._take(now)

    def join(self, now: float, others: Iterable[NodeState] = ()) -> None:
        """Begin to tell the other nodes that this one lives (``StackConfig.shared``), before any input.

        ``others`` are those that are known to live already.
        """
        if self.nodes is not None:
            self.nodes.join(others, now)

    def restore(self, bindings: Iterable[Binding], now: float, zero: float | None = None) -> int:
        """Take bindings from a store; return how many are live.

        Their times are in this stack's clock; their flows, of a former life, are gone. ``zero``
        is Unix time minus this clock as the store knows it, by which GRUUs are dated.
        """
        if zero is not None and self.registrar.gruus is not None:
            self.registrar.gruus.date_from(zero)
        restored = 0
        live = (binding for binding in bindings if not binding.expired(now))
        # Those of one address-of-record come together as a rule, and a million need not
        # be held at once; where they do not, the later ones join the earlier.
        for aor, several in groupby(live, lambda binding: binding.aor):
            before = tuple(self.location.lookup(aor, now))
            after = tuple(sorted((*before, *several), key=lambda binding: binding.rank))
            if self.location.apply(LocationUpdate(aor, before, after), now) is Outcome.DONE:
                restored += len(after) - len(before)
        return restored

    def unbind(self, aor: str, now: float, done: Removed) -> list[Action]:
        """Remove the bindings of ``aor`` by hand; ``done`` gets their number, or what the store raised."""
        unbind(self, aor, now, done)
        return self._take(now)

    def lift(self, source: str, user: str | None, now: float) -> list[Ban]:
        """Listen to ``source`` again, an address or the network of a ban, for ``user`` or (None) for all.

        Returns the bans that are over with it.
        """
        return self.bans.lift(source_of(source.partition("/")[0]), user)

    def command(self, name: str, given: Mapping[str, Any], now: float, done: Done) -> list[Action]:
        """Do a command of a module.

        ``done(result, now)`` gets what JSON holds of its result, or an exception.
        """
        if self._unstarted:
            self._start(now)
        self.modules.run(name, given, done, now)
        return self._take(now)

    @property
    def draining(self) -> bool:
        """Whether ``drain`` was called."""
        return self._draining

    @property
    def idle(self) -> bool:
        """Whether no request waits for its final response."""
        return (
            not self._questions
            and not (self.nodes is not None and self.nodes.lingering)
            and not any(not server.answered for server in self._transactions.servers.values())
            and not any(client.unanswered for client in self._transactions.clients.values())
        )

    def snapshot(self) -> dict[str, int]:
        """Return how much of everything there is, for tests and management."""
        return {
            "server_transactions": len(self._transactions.servers),
            "client_transactions": len(self._transactions.clients),
            "connections": len(self._connections),
            "addresses_of_record": len(self.location),
            "calls": len(self.ua),
            "questions": len(self._questions),
            "module_sockets": len(self.sockets),
            "name_queries": 0 if self._resolver is None else len(self._resolver),
            "timers": len(self._timers),
        }

    # --- messages

    def _message_received(self, data: bytes, flow: Flow, now: float, *, datagram: bool = True) -> None:
        if self._unstarted:
            self._start(now)
        # RFC 3261 18.3, RFC 7118 5.1: what has boundaries is framed as a datagram is.
        try:
            message = parse_message(data, self.limits, datagram=datagram)
        except RemoteProtocolError as error:
            self._refuse(error, flow, now)
            return
        if self.modules.message_arrived:
            verdict = self.modules.judge(message, flow, now)
            if verdict is not None:
                if isinstance(message, Request) and isinstance(verdict, Reply):
                    self._reply_statelessly(message, flow, verdict, now)
                return
        if isinstance(message, Request):
            self._request_received(message, flow, now)
        else:
            self._response_received(message, flow, now)

    def _reply_statelessly(self, request: Request, flow: Flow, reply: Reply, now: float) -> None:
        if request.method != "ACK":
            back = note_source(request, flow, self._force_rport)
            self._refusals.send(request, back, reply.status, reply.reason, now, reply.headers)

    def _response_received(self, response: Response, flow: Flow, now: float) -> None:
        # RFC 3261 18.1.2: a top Via that is not ours means it is not for us.
        if not self.listeners.is_own_sent_by(response.via.sent_by):
            return
        transaction = self._transactions.find_client(response)
        if transaction is None:
            if not self.modules.takes_stray(response, flow, now):
                self.proxy.forward_stray(response, flow, now)
            return
        hop = transaction.flow
        elsewhere = flow.conn != hop.conn or flow.address[0] != hop.address[0]
        if (elsewhere and has_moved(self, transaction, flow, now)) or self._comes_from(
            hop, flow, response, "RFC 3261 18.1.2"
        ):
            self._transactions.response_received(transaction, response, now)

    def _request_received(self, request: Request, flow: Flow, now: float) -> None:
        method = request.method
        key = server_key(request)
        transactions = self._transactions
        transaction = transactions.find_server(key, method)
        if transaction is not None and not (method == "ACK" and transaction.state == "accepted"):
            transaction.feed("ACK" if method == "ACK" else "request", request, now)
            return
        limits = self.limits
        if not self._within_rate(flow, now):
            self._notices.reached("source_rate", flow.host, now)
            return
        back = note_source(request, flow, self._force_rport, self._follows_maddr)
        if method == "ACK":
            if acknowledges_refusal(request, self.entropy):
                return
            # RFC 3261 13.2.2.4: the ACK for a 2xx is a transaction of its own.
            self._decide(IncomingRequest(self, request, flow, None, now), now)
            return
        if len(transactions) >= limits.transactions:
            self._notices.reached("transactions", flow.host, now)
            self._refusals.send(request, back, 503, None, now, [("Retry-After", "5")])
            return
        handle = IncomingRequest(self, request, flow, None, now)
        server = transactions.open_server(key, method, back, handle)
        handle.attach(server)
        if method == "CANCEL":
            invite = transactions.servers.get(key)
            if invite is not None and invite.method != "CANCEL":
                if self._comes_from(invite.flow, flow, request, "RFC 3261 9.2"):
                    self._cancel(handle, invite, now)
                else:
                    # RFC 3261 9.2: as if there were no such transaction.
                    handle.refuse(481)
                return
        elif method == "OPTIONS" and self.nodes is not None and (tag := alive_tag(self.nodes, request)):
            # Another node, which the shared location says nothing of.
            handle.take_tag(tag)
            handle.reply(200)
            return
        elif (
            (self._draining or flow.listener in self.retiring)
            and request.to_tag is None
            and not self._stays(request, flow)
        ):
            # RFC 3261 21.5.4
            handle.reply(503, None, [("Retry-After", "30")])
            return
        self._decide(handle, now)

    def _within_rate(self, flow: Flow, now: float) -> bool:
        """Whether who sends by ``flow`` keeps to ``limits.source_rate``, or need not."""
        return (
            not self.limits.source_rate
            or self._rates.allow(source_of(flow.host), now)
            or is_exempt(self, flow)
        )

    def _stays(self, request: Request, flow: Flow) -> bool:
        """Whether a draining node is the only one that can serve ``request``, and does so still."""
        if self.nodes is None or not self.nodes.lingering:
            return False
        if flow.conn and self.location.aors_of(flow):
            # A phone that registered over this connection; others find another node.
            return True
        # Another node's, for a phone whose connection is here; whether the token is
        # one is found out when it is followed.
        route = request.first_line("route")
        return route is not None and f":{MARK}" in route

    def _is_trusted(self, flow: Flow) -> bool:
        return self.trusted.of(flow) is not None

    def _decide(self, handle: IncomingRequest, now: float) -> None:
        try:
            take_route(handle)
            screen(handle)
        except RemoteProtocolError as error:
            # RFC 3261 8.2.7: who has not proved anything gets one answer for each copy.
            handle.refuse(error.status, error.reason)
            return
        if handle.message.to_tag is not None and self._within_call(handle, now):
            return
        lost = handle.flows is not None and handle.flows.lost is not None
        route = looking(self._route) if lost else self._route
        if self.modules.request_received:
            before = self.modules.before(route, handle)
            if before is None:
                return
            route = before
        run(route, handle, now)

    def _within_call(self, handle: IncomingRequest, now: float) -> bool:
        """Whether the request belongs to a call of ours, or to one that is over."""
        try:
            return self.ua.takes(handle, now)
        except RemoteProtocolError as error:
            handle.refuse(error.status, error.reason)
            return True

    def _comes_from(self, hop: Flow, flow: Flow, message: Request | Response, section: str) -> bool:
        """Whether a message that came by ``flow`` is of the host at ``hop`` (``ProxyConfig.same_hop``)."""
        if hop.address[0] == flow.address[0] or not self.config.proxy.same_hop:
            return True
        if same_peer(hop, flow) or self._is_trusted(flow):
            return True
        what, status = ("a CANCEL", 481) if isinstance(message, Request) else ("a response", 0)
        reason = f"{what} from elsewhere than {hop.host} (proxy.same_hop)"
        self._out.append(Notify(MessageRefused(str(flow), status, reason, section)))
        return False

    def _cancel(self, handle: IncomingRequest, invite: Any, now: float) -> None:
        # RFC 3261 9.2: 200 for the CANCEL, with the To tag that an answer to the
        # INVITE from here has; the INVITE gets 487 if it still can.
        if invite.user is not None:
            handle.take_tag(invite.user.local_tag())
        handle.reply(200)
        if not invite.answered and invite.user is not None and invite.method == "INVITE":
            reason = handle.message.get("reason")
            invite.user.cancel(now, reason)

    # --- refusals

    def _refuse(self, error: RemoteProtocolError, flow: Flow, now: float) -> None:
        """Answer what could not be accepted, if it is a request that can be answered."""
        message = error.message
        status = 0
        if isinstance(message, Request) and message.method != "ACK" and error.status:
            try:
                back = note_source(message, flow, self._force_rport, self._follows_maddr)
            except RemoteProtocolError:
                back = None
            if back is not None and self._within_rate(flow, now):
                status = error.status
                self._refusals.send(message, back, status, error.reason, now)
        self._out.append(Notify(MessageRefused(str(flow), status, error.reason, error.section)))

    # --- what the route and the proxy ask of the stack

    def ask(
        self, subject: Any, callback: Callable[[Any, float], None], now: float, within: float | None = None
    ) -> None:
        """Put ``subject`` to the outside; ``callback(result, now)`` gets the answer.

        ``within``: seconds to wait for it, at the most ``limits.answer_time``.

        What name servers can answer is asked of them, where some are configured.
        """
        if self._resolver is not None and self._locator is not None:
            if type(subject) is Resolve:
                self._locator.locate(subject, callback, now)
                return
            if type(subject) is DnsLookup:
                self._resolver.lookup(subject.name, subject.kind, callback, now)
                return
        if self.changes is not None and type(subject) is SharedChange:
            self.changes.put(subject, callback, now)
            return
        if isinstance(subject, Inside):
            subject.put(callback, now)
            return
        self._questions.ask(subject, callback, now, within)

    def _resolve(self, subject: Any, callback: Callable[[Any, float], None], now: float) -> None:
        self.ask(subject, callback, now)

    def address_of_record(self, uri: SipUri | TelUri | OtherUri) -> str:
        """Return the address-of-record that ``uri`` means here.

        Addresses of this server mean its first domain, so that a phone that
        registered with the server's address is found under its name, too.
        """
        if isinstance(uri, SipUri) and self._domains and uri.host not in self._domains:
            plain = plain_host(uri.host)
            return address_of_record(uri, plain if plain in self._domains else self._domains[0])
        return address_of_record(uri)

    def realm_of(self, uri: SipUri | TelUri | OtherUri) -> str:
        """Return the realm of who is at ``uri``: its domain where it is ours, else the first domain."""
        realm = self._realms.get(host_key(identity_of(uri)[1]))
        return self._realms[""] if realm is None else realm

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

    def registered(self, aor: str, count: int) -> None:
        """The registrar changed the bindings of ``aor``; now there are ``count``."""
        self._out.append(Notify(BindingsChanged(aor, count, "registered")))

    @property
    def domains(self) -> Sequence[str]:
        """The domains that are served."""
        return self._domains

    def secret(self, purpose: str) -> Entropy:
        """Return the key for ``purpose``; the same wherever ``StackConfig.secret`` is."""
        return self._secret.derived(purpose)

    def unregister(self, binding: Binding, reason: str, now: float) -> None:
        """Remove ``binding``, here and in the store."""
        drop(self, binding.aor, lambda one: one == binding, reason, now)

    def removed(self, aor: str) -> None:
        """An administrator removed the bindings of ``aor``."""
        self._out.append(Notify(BindingsChanged(aor, 0, "removed")))

    def _prove(self, text: str) -> str:
        return self._secret.keyed_hash(f"node {text}")

    def _probe_node(self, node: NodeState, answered: Answered, now: float) -> None:
        assert self.nodes is not None
        assert self.config.shared is not None
        seconds = max(self.config.shared.heartbeat, _PROBE_TIME)
        Probe(self.proxy, self.nodes, node, answered, seconds, now)

    def _node_changed(self, node: NodeState, state: str, now: float) -> None:
        if state != "replaced":
            self._out.append(Notify(NodeChanged(node.name, state, node.address)))
        if state in ("gone", "replaced", "unreachable"):
            # The requests that wait for its answers need not wait any longer.
            for client in list(self._transactions.clients.values()):
                if isinstance(client.user, Branch):
                    client.user.node_gone(node.life, now, back=state == "replaced")

    def _flow_lost(self, binding: Any, now: float) -> None:
        flow_lost(self, binding, now)

    def tell(self, event: Any, now: float) -> None:
        """Tell the log, and the modules that want to hear of it, of ``event``."""
        self.notify(event)
        self.modules.event(event, now)

    def connection_lost(self, flow: Flow, now: float) -> None:
        """The connection of ``flow`` is gone: so is what was registered over it."""
        connection_lost(self, flow, now)

    def dropped(self, aor: str, count: int, reason: str) -> None:
        """Bindings of ``aor`` went, for ``reason``; there are ``count`` left."""
        self._out.append(Notify(BindingsChanged(aor, count, reason)))

    def route_failed(self, request: Request, error: BaseException) -> None:
        """The route raised ``error`` as it decided on ``request``."""
        self._out.append(Notify(RouteFailed(request.method, request.uri_text, error)))

    def notify(self, event: Any) -> None:
        """Tell the log and other watchers of ``event`` (``sansip.events``)."""
        self._out.append(Notify(event))

    # --- output

    def _take(self, now: float) -> list[Action]:
        if self._connections.failed:
            self._settlement.settle(now)
        out = self._out
        actions = out[:]
        out.clear()
        return actions
