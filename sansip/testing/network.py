"""A network on virtual time: stacks, endpoints, and the faults between them.

Theory of operation: one heap holds all future events, ordered by time: a packet's arrival, a stack's
deadline, a function of the test. ``run`` takes the next one and jumps there, so thirty-two seconds of Timer B
cost nothing and every run of the same test is the same run. Stacks are the real ``Stack``; ``Server``
performs their actions here instead of on sockets.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sansip.actions import Address, Ask, SendDatagram
from sansip.config import StackConfig
from sansip.entropy import Entropy
from sansip.errors import LocalProtocolError
from sansip.limits import Limits
from sansip.module import Use
from sansip.module.sharing import Count, Get, MemoryValues, Swap
from sansip.rows import MemoryRows, Read, Scan, Write
from sansip.testing.endpoint import Endpoint
from sansip.testing.links import Link, Pipe
from sansip.testing.server import Server
from sansip.transport.next_hop import Resolve
from sansip.transport.transports import DEFAULT_PORT, UDP

__all__ = ["Network"]


@dataclass
class Network:
    """Hosts, links and virtual time.

    Attributes:
        seed: decides jitter and loss, the stacks' tokens and the endpoints' tags.
        now: the time in seconds; starts at 0.
        names: host name to addresses, for the stacks' ``Resolve`` questions.
        answers: question type to a function of the question, for other questions.
        modules: modules that each server has, beside those of its own ``StackConfig``. Their rows are in
            ``store``, which all servers have together, and their shared values are in ``values``.
        name_server: the function that answers DNS queries (``StackConfig.dns``): octets to octets, or None
            for silence.
        raise_route_errors: whether ``run`` and ``expect`` raise the exceptions of a route, with the route's
            traceback; without it there are only the caller's 500 and the event ``RouteFailed``.
    """

    seed: int = 0
    now: float = 0.0
    names: dict[str, list[str]] = field(default_factory=dict)
    answers: dict[type, Callable[[Any], Any]] = field(default_factory=dict)
    name_server: Callable[[bytes], bytes | None] | None = None
    raise_route_errors: bool = True
    modules: list[Use] = field(default_factory=list)

    def __post_init__(self) -> None:
        # Rows, live values and counts of modules: of all servers together, as of nodes with one store.
        self.store = MemoryRows()
        self.values = MemoryValues(Limits())
        self.connections = 0
        self.servers: list[Server] = []
        self.endpoints: dict[tuple[str, int], Endpoint] = {}
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._links: dict[tuple[str, str], Link] = {}
        self.entropy = Entropy(b"sansip.testing" + self.seed.to_bytes(8, "big", signed=True))

    # --- the hosts

    def server(self, config: StackConfig, journal: Callable[[str], object] | None = None) -> Server:
        """Put a stack with ``config`` on the network; ``journal`` takes the lines of its journal."""
        if self.modules:
            config.modules = [*config.modules, *self.modules]
            config.shares_values = config.shares_rows = True
        seed = f"{self.seed} server {len(self.servers)}".encode().ljust(16, b".")
        server = Server(self, config, seed, journal)
        self.servers.append(server)
        return server

    def endpoint(
        self,
        name: str,
        host: str,
        port: int = DEFAULT_PORT,
        *,
        server: Server | None = None,
        transport: str = UDP,
        domain: str | None = None,
        aor: str | None = None,
    ) -> Endpoint:
        """Put a phone on the network that sends to ``server`` (the first one by default)."""
        if server is None:
            if not self.servers:
                raise LocalProtocolError("a phone needs a server: call network.server(config) first")
            server = self.servers[0]
        if domain is None:
            domain = server.config.domains[0] if server.config.domains else server.config.listeners[0].host
        endpoint = Endpoint(self, name, host, port, server, transport, domain, aor or f"sip:{name}@{domain}")
        self.endpoints[host, port] = endpoint
        return endpoint

    def endpoint_at(self, address: tuple[str, int]) -> Endpoint | None:
        """Return the endpoint at ``address``, if any."""
        return self.endpoints.get(address)

    def link(self, source: str, destination: str) -> Link:
        """Return the link between two IP addresses, in that direction; change it as you like."""
        return self._links.setdefault((source, destination), Link())

    def set_links(self, **values: float) -> None:
        """Set ``latency``, ``jitter`` or ``loss`` of all links between servers and endpoints."""
        for server in self.servers:
            for listener in server.config.listeners:
                for host, _ in self.endpoints:
                    for link in (self.link(listener.host, host), self.link(host, listener.host)):
                        for name, value in values.items():
                            setattr(link, name, value)

    # --- time

    def at(self, time: float, function: Callable[[], None]) -> None:
        """Call ``function`` at ``time``."""
        self._count += 1
        heapq.heappush(self._heap, (max(time, self.now), self._count, function))

    def run(self, seconds: float | None = None, *, until: Callable[[], bool] | None = None) -> bool:
        """Let ``seconds`` pass (all that is to come, by default), or stop once ``until()`` is true.

        Returns whether ``until()`` became true. The clock jumps from event to event.
        """
        end = None if seconds is None else self.now + seconds
        while True:
            if until is not None and until():
                return True
            if not self._heap or (end is not None and self._heap[0][0] > end):
                break
            time, _, function = heapq.heappop(self._heap)
            self.now = max(self.now, time)
            function()
        if end is not None:
            self.now = max(self.now, end)
        return False

    # --- packets

    def send_datagram(
        self,
        source: tuple[str, int],
        destination: Address,
        data: bytes,
        action: SendDatagram | None = None,
        sender: Server | None = None,
    ) -> None:
        """Carry one datagram, as far as the link lets it."""
        address = (str(destination[0]), int(destination[1]))
        link = self.link(source[0], address[0])
        if link.drop_next:
            link.drop_next -= 1
            return
        if link.is_down or (link.loss and self._chance() < link.loss):
            return
        times = 1
        if link.duplicate_next:
            link.duplicate_next -= 1
            times = 2
        endpoint = self.endpoints.get(address)
        if endpoint is not None and endpoint.is_unreachable and sender is not None and action is not None:
            # The effect of ICMP port unreachable on a real host.
            self.at(self.now + link.latency, lambda: sender.failed(action, "port unreachable"))
            return
        for _ in range(times):
            delay = link.latency + (link.jitter * self._chance() if link.jitter else 0.0)
            self.at(self.now + delay, lambda: self._arrive(source, address, data))

    def _chance(self) -> float:
        return self.entropy.number(1 << 30) / (1 << 30)

    def _arrive(self, source: tuple[str, int], address: tuple[str, int], data: bytes) -> None:
        endpoint = self.endpoints.get(address)
        if endpoint is not None:
            endpoint.datagram(data, source)
            return
        for server in self.servers:
            listener = server.listens(UDP, address)
            if listener is not None:
                server.datagram(listener, data, source)

    def connect(self, endpoint: Endpoint, server: Server, transport: str) -> Pipe:
        """Open a connection from ``endpoint``; the stack hears of it first."""
        address = server.address(transport, endpoint.host)
        self.connections += 1
        pipe = Pipe(self, server, 0, endpoint, transport, address)
        listener = server.listens(transport, address)
        assert listener is not None
        pipe.conn = server.accept(
            listener, pipe, transport, (endpoint.host, endpoint.source_port or 30_000 + self.connections)
        )
        return pipe

    # --- questions

    def query(self, server: Server, action: SendDatagram) -> None:
        """Carry a DNS query to the name server, and its reply back."""
        reply = None if self.name_server is None else self.name_server(action.data)
        if reply is not None:
            self.at(self.now, lambda: server.datagram(action.listener, reply, action.address))

    def asked(self, server: Server, ask: Ask) -> None:
        """Answer a stack's question: names from ``names``, others from ``answers``."""
        question = ask.question
        result: Any
        answer = self.answers.get(type(question))
        if answer is not None:
            try:
                result = answer(question)
            except Exception as error:
                result = error
        elif isinstance(question, Read | Scan | Write):
            result = self.store.answer(question)
        elif isinstance(question, Get | Swap | Count):
            result = self.values.answer(question, self.now)
        elif isinstance(question, Resolve):
            known: Mapping[str, list[str]] = self.names
            found = known.get(question.host)
            result = LookupError(f"no such host: {question.host}") if found is None else []
            for text in found or ():
                host, _, port = text.rpartition(":") if ":" in text else (text, "", "")
                result.append((host, int(port) if port else question.port))
        else:
            result = LookupError(f"nobody answers {question!r}")
        self.at(self.now, lambda: server.answer(ask.id, result))
