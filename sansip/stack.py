"""The stack: bytes and time in, actions out. Everything SIP happens behind it.

Theory of operation: each input is a method that takes ``now`` and returns the actions it caused, in order.
Inside, the layers call each other directly and append to one list, ``_out``, which an input hands over when
it is done. A message is read, finds its transaction or gets one, and a new request goes to the route. No
message of a peer makes an input raise: the stack answers a message that it cannot accept, drops it, or closes
its connection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import groupby
from typing import Any, Protocol

from sansip.actions import Action, Address, Disconnect, Notify, SendData
from sansip.assembly import Assembly
from sansip.bans import Ban
from sansip.config import Reconfiguration, StackConfig
from sansip.errors import RemoteProtocolError
from sansip.events import (
    BindingsChanged,
    ConnectionRefused,
)
from sansip.location import (
    Binding,
    LocationUpdate,
    NodeFlow,
    NodeState,
    Outcome,
)
from sansip.module import WebRequest, WebResponse
from sansip.reception import Reception
from sansip.reconfigure import reconfigure
from sansip.routing.loss import connection_lost, give_up
from sansip.routing.removal import Removed, unbind
from sansip.routing.room import is_exempt
from sansip.routing.tasks import Done
from sansip.siblings import Siblings
from sansip.sources import source_of
from sansip.transport import PING, PONG, Flow
from sansip.transport.filter import OpenConnection
from sansip.transport.transports import SECURE, TRANSPORTS, UDP
from sansip.ua.acting import act

__all__ = ["ConnectionInfo", "Stack"]


class ConnectionInfo(Protocol):
    """The facts that an adapter has about a connection when it is established."""

    listener: int
    transport: str
    remote: Address
    incoming: bool


class Stack(Assembly):
    """One SIP engine. See ``sansip.actions`` for what its inputs return.

    ``seed`` (16 octets or more, from the operating system's randomness) makes
    branches and tags unguessable; the same seed and inputs give the same actions.
    Raises ``LocalProtocolError`` for a configuration that cannot work.
    """

    def __init__(self, config: StackConfig, seed: bytes) -> None:
        super().__init__(config, seed)
        if self.seat is not None:
            self.siblings = Siblings(self, self.seat)
        self.reception = Reception(self, self.siblings)
        if type(self).datagram_received is _datagram_received:
            # Nothing lies between the driver and the way in, unless a subclass looks at datagrams.
            way_in = self.reception.datagram_received
            self.datagram_received = way_in  # type: ignore[method-assign]  # as it says above

    # --- inputs

    def datagram_received(self, listener: int, data: bytes, source: Address, now: float) -> list[Action]:
        """Take one datagram that ``listener`` received from ``source``."""
        return self.reception.datagram_received(listener, data, source, now)

    def connection_opened(self, conn: int, flow: ConnectionInfo, now: float) -> list[Action]:
        """Note that a connection is established; incoming ones have a ``new_connection`` number."""
        if flow.listener < 0:
            if not self.sockets.connection_opened(conn, now) and self.resolver is not None:
                self.resolver.connection_opened(conn, now)
            return self._take(now)
        if flow.transport not in TRANSPORTS:
            if self.unstarted:
                # A module that has not begun cannot speak.
                self.start(now)
            peer = flow if isinstance(flow, OpenConnection) else None
            self.links.opened(conn, flow.transport, flow.remote, now, peer=peer)
            return self._take(now)
        reached = Flow(flow.transport, flow.listener, flow.remote, conn)
        if isinstance(flow, OpenConnection) and flow.transport in SECURE:
            reached.peer = flow
        refused = self.connections.opened(conn, reached, flow.incoming, now)
        if refused is not None:
            self.out.append(Disconnect(conn, refused))
            self.out.append(Notify(ConnectionRefused(str(flow.remote[0]), refused)))
        elif self.siblings is not None and flow.incoming:
            self.siblings.opened(conn)
        return self._take(now)

    def protocol_agreed(self, conn: int, protocol: str, now: float) -> list[Action]:
        """Note that a WebSocket was opened for ``protocol``, which a module speaks, and not for SIP."""
        connection = self.connections.get(conn)
        if connection is not None:
            if self.unstarted:
                self.start(now)
            flow = connection.flow
            if self.siblings is not None:
                self.siblings.closed(connection, "it is no SIP")
            for transaction in self.connections.closed(conn, "it is no SIP"):
                transaction.feed("transport error", "it is no SIP", now)
            kind = f"{protocol}s" if flow.transport in SECURE else protocol
            self.links.opened(conn, kind, flow.address, now, True)
        return self._take(now)

    def identities(self, conn: int) -> tuple[str, ...]:
        """Return the SIP domains that the peer of ``conn`` has proved to be (RFC 5922 7.1)."""
        connection = self.connections.get(conn)
        return () if connection is None else connection.flow.identities

    def identified(self, conn: int, identities: tuple[str, ...]) -> None:
        """Have the peer of ``conn`` be these domains: in a replay, where no filter says so."""
        connection = self.connections.get(conn)
        if connection is not None and connection.flow.peer is not None:
            connection.flow.peer.identities = identities

    def data_received(self, conn: int, data: bytes, now: float, *, boundary: bool = False) -> list[Action]:
        """Take octets of a stream; with ``boundary`` they are exactly one message.

        WebSocket frames and SCTP messages have boundaries (RFC 7118 5.1, RFC 4168 4).
        """
        connection = self.connections.get(conn)
        if connection is None:
            if (
                not self.links.data_received(conn, data, now, boundary)
                and not self.sockets.data_received(conn, data, now)
                and self.resolver is not None
            ):
                self.resolver.data_received(conn, data, now)
            return self._take(now)
        flow = connection.flow
        if boundary:
            if data.strip(b"\r\n"):
                self.reception.message_received(data, flow, now)
            elif data == PING:
                self.out.append(SendData(conn, PONG))
            self.connections.received(connection, now, True)
            return self._take(now)
        messages = connection.framer.feed(data)
        pings = 0
        for framed in messages:
            if framed is PING:
                pings += 1
                continue
            if pings:
                self.out.append(SendData(conn, PONG * pings))
                pings = 0
            if isinstance(framed, RemoteProtocolError):
                self.reception.refuse(framed, flow, now)
                if connection.framer.failed:
                    # RFC 3261 18.3 and RFC 4475 3.1.2.3: answered, then closed, for
                    # the next message cannot be found.
                    self.connections.close(conn, framed.reason)
            elif not self.reception.takes_briefly(framed, flow, now):
                self.reception.message_received(framed, flow, now, datagram=False)
        if pings:
            # RFC 5626 4.4.1: one for each, and one write for all, or a stream of pings would
            # cost a packet for every four octets.
            self.out.append(SendData(conn, PONG * pings))
        self.connections.received(connection, now, bool(messages))
        return self._take(now)

    def connection_writable(self, conn: int, writable: bool, now: float) -> list[Action]:
        """Note that much waits to be written to ``conn``, or that all of it has left.

        Of use for modules that pass on more than a message at a time (``Link.writable``).
        """
        if not self.links.writable(conn, writable, now):
            self.sockets.writable(conn, writable, now)
        return self._take(now)

    def connection_closed(self, conn: int, reason: str, now: float) -> list[Action]:
        """Note that a connection is gone, or could not be opened."""
        connection = self.connections.get(conn)
        if connection is None:
            if (
                not self.links.closed(conn, reason, now)
                and not self.sockets.connection_closed(conn, reason, now)
                and self.resolver is not None
            ):
                self.resolver.connection_closed(conn, now)
            return self._take(now)
        self.ua.now = now
        waiting = self.connections.closed(conn, reason)
        if self.siblings is not None:
            self.siblings.closed(connection, reason)
        connection_lost(self, connection.flow, now)
        for transaction in waiting:
            # RFC 3261 18.4: the waiting clients need not wait any longer.
            transaction.feed("transport error", reason, now)
        give_up(self, waiting, now)
        return self._take(now)

    def send_failed(self, owner: int, reason: str, now: float) -> list[Action]:
        """Note that something of ``owner``, which its action names, could not be sent.

        RFC 3261 17.1.4, 17.2.4. Below zero it is a socket that ``OpenDatagram`` asked for.
        """
        if owner > 0:
            self.connections.failed.append((owner, b"", reason))
        elif owner and not self.sockets.datagram_failed(owner, reason, now) and self.resolver is not None:
            self.resolver.send_failed(owner, now)
        return self._take(now)

    def answer(self, id: int, result: Any, now: float) -> list[Action]:
        """Give the answer to ``Ask`` number ``id``; an exception is a failed answer."""
        self.ua.now = now
        self.questions.answer(id, result, now)
        return self._take(now)

    def time_passed(self, now: float) -> list[Action]:
        """Let everything due at ``now`` happen."""
        if self.unstarted:
            self.start(now)
        # The time for modules that hear of something without it: the location's watchers.
        self.ua.now = now
        timers = self.timers
        timers.fire_due(now)
        if timers.others <= now:
            self.ua.time_passed(now)
        hooks = self.modules.stack_hooks
        if hooks.has_clocks or timers.others <= now:
            hooks.time_passed(now)
        if timers.others <= now:
            for binding in self.location.expire(now):
                if self.seat is not None and not self.seat.owns(binding.aor):
                    # One worker tells.
                    continue
                if isinstance(binding.flow, NodeFlow):
                    # Another node's phone may have refreshed there: its node tells.
                    continue
                left = len(self.location.lookup(binding.aor, now))
                self.out.append(Notify(BindingsChanged(binding.aor, left, "expired")))
        return self._take(now)

    def is_crowd(self, listener: int, source: Address) -> bool:
        """Whether many send from ``source``, so that limits by source do not hold for it."""
        return is_exempt(self, Flow(UDP, listener, source))

    def new_connection(self) -> int:
        """Return a number for a connection that an adapter accepted."""
        return self.connections.number()

    def configure(self, change: Reconfiguration, now: float) -> list[Action]:
        """Take ``change`` from now on; running requests end by the settings that they began with.

        Raises ``ModuleFault`` or ``LocalProtocolError``, and changes nothing, where it could not work.
        """
        reconfigure(self, change, now)
        return self._take(now)

    def drain(self, now: float) -> list[Action]:
        """Take no new dialogs: initial requests get 503 with Retry-After from here on."""
        self.draining = self.ua.draining = True
        self.modules.stop(now)
        if self.nodes is not None:
            self.nodes.drain(now)
        return self._take(now)

    def told(self, facts: Iterable[tuple[Any, ...]], now: float) -> list[Action]:
        """Take what other workers of this server told (``sansip.actions.Tell``), in that order."""
        assert self.siblings is not None
        for fact in facts:
            self.siblings.hear(fact, now)
        return self._take(now)

    def passed_on(
        self,
        listener: int,
        conn: int,
        data: bytes,
        source: Address,
        now: float,
        identities: tuple[str, ...] = (),
    ) -> list[Action]:
        """Take a message that another worker received and that belongs here (``sansip.actions.PassOn``)."""
        assert self.siblings is not None
        flow = Flow(UDP, listener, source)
        if conn:
            connection = self.connections.get(conn)
            if connection is None:
                self.siblings.hold(conn, data, identities)
                return []
            flow = connection.flow
            self.siblings.identified(flow, identities)
        # It is one whole message on every transport: a WebSocket's may have no Content-Length (RFC 7118 5.1).
        self.reception.message_received(data, flow, now, passed_on=True)
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
        """Remove the bindings of ``aor`` by hand; ``done`` gets their number, or the store's exception."""
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
        if self.unstarted:
            self.start(now)
        self.ua.now = now
        self.modules.run(name, given, done, now)
        return self._take(now)

    def web_received(
        self, number: int, request: WebRequest, now: float, answered: Callable[[WebResponse, float], None]
    ) -> list[Action]:
        """Take an HTTP request for a path that a module has claimed (``modules.mount_of``).

        ``number`` is the caller's, and never used again; ``answered`` is called once, now or later, unless
        ``web_closed`` comes before.
        """
        if self.unstarted:
            self.start(now)
        self.visits.begin(number, request, now, answered)
        return self._take(now)

    def web_closed(self, number: int, now: float) -> list[Action]:
        """Note that the client of HTTP request ``number`` waits no longer: the work for it ends."""
        self.visits.close(number)
        return self._take(now)

    def act(self, verb: str, number: int, given: Mapping[str, Any], now: float, done: Done) -> list[Action]:
        """Do ``verb`` of call ``number``, or (0) of the user agent, for a program around the stack.

        ``given`` has plain values; ``done(result or exception, now)`` hears of the end.
        See ``sansip.ua.acting``.
        """
        self.ua.now = now
        act(self.ua, verb, number, given, done)
        return self._take(now)

    @property
    def idle(self) -> bool:
        """Whether no request waits for its final response."""
        return (
            not self.questions
            and not (self.nodes is not None and self.nodes.lingering)
            and not any(not server.answered for server in self.transactions.servers.values())
            and not any(client.unanswered for client in self.transactions.clients.values())
        )

    def snapshot(self) -> dict[str, int]:
        """Return how much of everything there is, for tests and management."""
        return {
            "server_transactions": len(self.transactions.servers),
            "client_transactions": len(self.transactions.clients),
            "connections": len(self.connections),
            "addresses_of_record": len(self.location),
            "pending": self.proxy.pending.total,
            "calls": len(self.ua),
            "questions": len(self.questions),
            "module_sockets": len(self.sockets),
            "web_requests": len(self.visits),
            "links": len(self.links),
            "name_queries": 0 if self.resolver is None else len(self.resolver),
            "timers": len(self.timers),
        }

    def start(self, now: float) -> None:
        """Start the modules: at the first input, when everything is restored."""
        super().start(now)
        if self.siblings is not None:
            self.siblings.started(now)


_datagram_received = Stack.datagram_received
