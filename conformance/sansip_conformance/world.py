"""The worlds in which a trace is played: their interface for the player, and the virtual one.

Theory of operation: a world has a clock, a server under test, and endpoints that
send and collect. ``CoreWorld`` is ``sansip.testing.Network`` with one stack;
``sansip_conformance.live`` is real sockets and real time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from sansip.events import RouteFailed
from sansip.testing import Agent, Endpoint, Network, Received, Server, Zone
from sansip_conformance.msrp import MsrpEnd
from sansip_conformance.setup import listeners_of, stack_config
from sansip_conformance.trace import HTTP, MSRP, EndpointSetup, Trace
from sansip_conformance.web import WebEnd

__all__ = ["CoreWorld", "Party", "World"]


class Party(Protocol):
    """An endpoint as the player sees it."""

    name: str
    host: str
    port: int
    agent: Agent
    inbox: list[Received]

    def send(self, data: bytes, *, transport: str | None = None, pipe: Any = None) -> None: ...
    def connect(self, transport: str) -> Any: ...
    def disconnect(self) -> None: ...


class World(Protocol):
    """A world in which a trace is played.

    Attributes:
        now: seconds on this world's clock.
        tolerance: seconds by which a message may miss its time.
        drift: seconds to add to the tolerance for each second that has passed.
        patience: how long an expectation without a time waits, in seconds.
        parties: the endpoints by name.
    """

    @property
    def now(self) -> float: ...

    tolerance: float
    drift: float
    patience: float
    parties: dict[str, Party]

    def rewrite(self, text: str) -> str: ...
    def rewrite_octets(self, data: bytes) -> bytes: ...
    def server_address(self, transport: str) -> tuple[str, int]: ...
    def run(self, seconds: float, until: Callable[[], bool] | None = None) -> bool: ...
    def fault(self, verb: str, source: str, destination: str, count: int) -> None: ...
    def finish(self) -> str | None: ...
    def close(self) -> None: ...


class CoreWorld:
    """One stack, virtual time, no sockets."""

    tolerance = 0.001
    drift = 0.0
    patience = 0.25

    def __init__(self, trace: Trace, seed: int = 0) -> None:
        setup = trace.setup
        self.trace = trace
        host, port = setup.listen[0][1:] if setup.listen else ("192.0.2.1", 5060)
        if setup.address is not None:
            host, port = _split(setup.address)
        self.network = Network(seed=seed, now=1.0, raise_route_errors=False)
        self.server: Server = self.network.server(stack_config(setup, listeners_of(setup, host, port)))
        self.parties: dict[str, Party] = {}
        family = "2001:db8::" if ":" in host else "192.0.2."
        for number, one in enumerate(setup.endpoints.values(), 11):
            address = _split(one.address) if one.address is not None else (f"{family}{number}", 5060)
            spoken = one.transports[0]
            if spoken in MSRP or spoken == HTTP:
                self.parties[one.name] = self._spoken(one, address)
                continue
            endpoint = self.network.endpoint(
                one.name,
                *address,
                server=self.server,
                transport=spoken,
                domain=setup.domains[0],
                aor=one.aor,
            )
            if one.address is not None:
                endpoint.source_port = endpoint.port
            endpoint.accepts = "tcp" in one.transports or "tls" in one.transports
            self.parties[one.name] = endpoint
        for name, addresses in setup.names.items():
            self.network.names[name] = [self._address(text) for text in addresses]
        if setup.records:
            self.network.name_server = self._zone()
        if any(isinstance(one, MsrpEnd | WebEnd) for one in self.parties.values()):
            # Modules begin before the first connection comes, as on a runtime, and read their rows.
            self.server.flush()
            self.network.run(0.0)

    def _spoken(self, one: EndpointSetup, address: tuple[str, int]) -> Endpoint:
        """Return an endpoint that speaks MSRP or HTTP."""
        setup = self.trace.setup
        domain, spoken = setup.domains[0], one.transports[0]
        aor = one.aor or f"sip:{one.name}@{domain}"
        given = (self.network, one.name, *address, self.server, spoken, domain, aor)
        endpoint: Endpoint
        if spoken == HTTP:
            endpoint = WebEnd(*given, proved=not setup.users)
        else:
            endpoint = MsrpEnd(*given, secure=spoken == MSRP[1])
            self.network.endpoints[address] = endpoint
        return endpoint

    def _zone(self) -> Zone:
        zone = Zone()
        for name, kind, data in self.trace.setup.records:
            if kind in ("silent", "failing"):
                getattr(zone, kind).add(name)
            else:
                party = self.parties.get(data.strip())
                zone.add(f"{name} {kind} {data if party is None else party.host}")
        return zone

    def _address(self, text: str) -> str:
        party = self.parties.get(text)
        return text if party is None else f"{party.host}:{party.port}"

    @property
    def now(self) -> float:
        return self.network.now

    def rewrite(self, text: str) -> str:
        """Names are as written here."""
        return text

    def rewrite_octets(self, data: bytes) -> bytes:
        """Files are sent as they are here."""
        return data

    def server_address(self, transport: str) -> tuple[str, int]:
        return self.server.address(transport)

    def run(self, seconds: float, until: Callable[[], bool] | None = None) -> bool:
        return self.network.run(seconds, until=until)

    def fault(self, verb: str, source: str, destination: str, count: int) -> None:
        server_host = self.server.address(self.server.config.listeners[0].transport)[0]

        def host(name: str) -> str:
            return self.parties[name].host if name in self.parties else server_host

        if verb in ("drop", "duplicate"):
            link = self.network.link(host(source), host(destination))
            if verb == "drop":
                link.drop_next += count
            else:
                link.duplicate_next += count
            return
        party: Any = self.parties[destination]
        if verb in ("unreachable", "reachable"):
            party.is_unreachable = verb == "unreachable"
        else:
            party.accepts = verb == "accept"

    def finish(self) -> str | None:
        """Let everything end; return the objects that should have ended and have not."""
        for event in self.server.events:
            if isinstance(event, RouteFailed) and not self.trace.setup.route:
                return f"the route failed: {event.error!r}"
        # Every timer of RFC 3261 ends within minutes: Timer C, a CANCEL, and the timers that absorb copies.
        self.network.run(600.0)
        left = self.server.stack.snapshot()
        names = ("server_transactions", "client_transactions", "questions")
        kept = {name: left[name] for name in names if left[name]}
        if not kept:
            # Registrations end within a day, unless they were refreshed.
            self.network.run(200_000.0)
            left = self.server.stack.snapshot()
            kept = {name: count for name, count in left.items() if count and name != "connections"}
        return f"still there when all is over: {kept}" if kept else None

    def close(self) -> None:
        """Do nothing: there is nothing to close."""


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)
