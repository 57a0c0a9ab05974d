"""A stack on the virtual network: its actions are performed here instead of on sockets."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from sansip.actions import (
    Action,
    Address,
    Ask,
    CloseDatagram,
    Connect,
    Disconnect,
    Notify,
    OpenDatagram,
    SendData,
    SendDatagram,
)
from sansip.config import Reconfiguration, StackConfig
from sansip.events import RouteFailed
from sansip.journal import JournaledStack
from sansip.module import WebRequest, WebResponse
from sansip.stack import Stack
from sansip.testing.endpoint import Endpoint
from sansip.testing.links import Carrier, Pipe
from sansip.transport.filter import OpenConnection
from sansip.transport.transports import FRAMED, UDP

__all__ = ["Server", "Surroundings"]


class Surroundings(Carrier, Protocol):
    """The network that a server is part of (``sansip.testing.network.Network``)."""

    connections: int
    raise_route_errors: bool

    def endpoint_at(self, address: tuple[str, int]) -> Endpoint | None: ...
    def send_datagram(
        self,
        source: tuple[str, int],
        destination: Address,
        data: bytes,
        action: SendDatagram | None = None,
        sender: Any = None,
    ) -> None: ...
    def query(self, server: Any, action: SendDatagram) -> None: ...
    def asked(self, server: Any, ask: Ask) -> None: ...


class Server:
    """A stack on the network. ``events`` collects its ``Notify`` events."""

    def __init__(
        self, network: Surroundings, config: StackConfig, seed: bytes, journal: Callable[[str], object] | None
    ) -> None:
        self.network = network
        self.config = config
        self.stack = Stack(config, seed) if journal is None else JournaledStack(config, seed, journal, {})
        self.events: list[Any] = []
        self._listeners = {one.id: one for one in config.listeners}
        # our connection number -> the other end
        self._pipes: dict[int, Pipe] = {}
        self._wakes: set[float] = set()
        # HTTP requests so far.
        self._asked = 0

    def address(self, transport: str = UDP, peer: str | None = None) -> tuple[str, int]:
        """Return the address of the first listener for ``transport``, of ``peer``'s family if given."""
        fitting = [one for one in self.config.listeners if one.transport == transport]
        for one in fitting:
            if peer is None or (":" in peer) == (":" in one.host):
                return one.host, one.port
        raise ValueError(f"the server has no {transport} listener")

    def listens(self, transport: str, address: tuple[str, int]) -> int | None:
        """Return the number of the listener at ``address``, if any."""
        # Those that are being given up as well, until their socket is closed.
        for one in self._listeners.values():
            if one.transport == transport and (one.host, one.port) == address:
                return one.id
        return None

    def configure(self, change: Reconfiguration) -> None:
        """Have the stack take ``change``, as a reload does (``Stack.configure``)."""
        self._listeners.update((one.id, one) for one in change.listeners or ())
        self._perform(self.stack.configure(change, self.network.now))

    def flush(self) -> None:
        """Perform what code outside of an input had the stack do: a test that calls ``stack.ua`` itself."""
        self._perform(self.stack.time_passed(self.network.now))

    def web(self, request: WebRequest, answered: Callable[[WebResponse, float], None]) -> None:
        """Have an HTTP client ask a module, as ``ModuleBench.web`` does; ``answered`` gets the answer."""
        self._asked += 1
        self._perform(self.stack.web_received(self._asked, request, self.network.now, answered))

    # --- called by the network

    def datagram(self, listener: int, data: bytes, source: Address) -> None:
        self._perform(self.stack.datagram_received(listener, data, source, self.network.now))

    def accept(self, listener: int, pipe: Pipe, transport: str, remote: Address) -> int:
        conn = self.stack.new_connection()
        self._pipes[conn] = pipe
        one = self._listeners[listener]
        flow = OpenConnection(listener, transport, (one.host, one.port), remote, True)
        self._perform(self.stack.connection_opened(conn, flow, self.network.now))
        return conn

    def data(self, conn: int, data: bytes) -> None:
        pipe = self._pipes.get(conn)
        if pipe is not None:
            whole = pipe.transport in FRAMED
            self._perform(self.stack.data_received(conn, data, self.network.now, boundary=whole))

    def closed(self, conn: int, reason: str) -> None:
        if self._pipes.pop(conn, None) is not None:
            self._perform(self.stack.connection_closed(conn, reason, self.network.now))

    def answer(self, number: int, result: Any) -> None:
        """Answer question ``number`` of the stack."""
        self._perform(self.stack.answer(number, result, self.network.now))

    def _perform(self, actions: list[Action]) -> None:
        network = self.network
        failures: list[BaseException] = []
        for action in actions:
            if isinstance(action, CloseDatagram):
                self._listeners.pop(action.listener, None)
                continue
            if isinstance(action, OpenDatagram):
                # Sockets of queries: here the name server needs none.
                continue
            if isinstance(action, SendDatagram) and action.listener < 0:
                network.query(self, action)
            elif isinstance(action, SendDatagram):
                one = self._listeners[action.listener]
                network.send_datagram((one.host, one.port), action.address, action.data, action, self)
            elif isinstance(action, SendData):
                pipe = self._pipes.get(action.conn)
                if pipe is not None:
                    pipe.send(self, action.data)
            elif isinstance(action, Connect):
                self._connect(action)
            elif isinstance(action, Disconnect):
                pipe = self._pipes.get(action.conn)
                if pipe is not None:
                    pipe.close(self, action.reason)
                network.at(network.now, partial(self._disconnected, action.conn, action.reason))
            elif isinstance(action, Ask):
                network.asked(self, action)
            elif isinstance(action, Notify):
                self.events.append(action.event)
                if isinstance(action.event, RouteFailed) and network.raise_route_errors:
                    failures.append(action.event.error)
        deadline = self.stack.next_deadline()
        if deadline is not None and deadline not in self._wakes:
            self._wakes.add(deadline)
            network.at(deadline, lambda: self._wake(deadline))
        if failures:
            # When all is done that the stack wanted done, as on a real server.
            raise failures[0]

    def _wake(self, deadline: float) -> None:
        self._wakes.discard(deadline)
        self._perform(self.stack.time_passed(self.network.now))

    def _disconnected(self, conn: int, reason: str) -> None:
        self._pipes.pop(conn, None)
        self._perform(self.stack.connection_closed(conn, reason, self.network.now))

    def failed(self, action: SendDatagram, reason: str) -> None:
        self._perform(self.stack.send_failed(action.owner, reason, self.network.now))

    def _connect(self, action: Connect) -> None:
        network = self.network
        if action.transport == "dns":
            # The name server listens on UDP alone.
            network.at(network.now, partial(self._disconnected, action.conn, "connection refused"))
            return
        # A module's own connection is of no listener.
        one = self._listeners[action.listener] if action.listener >= 0 else self.config.listeners[0]
        endpoint = network.endpoint_at((str(action.address[0]), int(action.address[1])))
        link = network.link(one.host, str(action.address[0]))
        if endpoint is None or not endpoint.accepts or link.is_down:
            network.at(
                network.now + link.latency,
                lambda: self._perform(
                    self.stack.connection_closed(action.conn, "connection refused", network.now)
                ),
            )
            return
        network.connections += 1
        local = (one.host, 40_000 + network.connections)
        pipe = Pipe(network, self, action.conn, endpoint, action.transport, local)
        self._pipes[action.conn] = pipe

        def established() -> None:
            endpoint.connected(pipe, incoming=True)
            flow = OpenConnection(
                action.listener, action.transport, local, action.address, False, action.name
            )
            self._perform(self.stack.connection_opened(action.conn, flow, network.now))

        network.at(network.now + link.latency, established)
