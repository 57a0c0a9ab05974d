"""Playing a trace against a running server: real sockets, real time.

Theory of operation: every endpoint gets an IP address of its own (on loopback,
where there are plenty) and listens there on UDP and TCP; one ``select`` loop
moves the octets while the player waits. The player renames users for each trace, so that traces
can run side by side against one server.
"""

from __future__ import annotations

import itertools
import os
import re
import select
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sansip.testing import Agent, Received, understood
from sansip.transport.framing import PING, StreamFramer
from sansip_conformance.target import Target
from sansip_conformance.trace import Setup, Trace
from sansip_conformance.world import Party

__all__ = ["LiveWorld", "at_hosts", "host_for"]

_HOSTS = itertools.count(1)
_RUN = os.urandom(3).hex()
_TOKENS = itertools.count(1)


def at_hosts(setup: Setup, hosts: list[str]) -> Setup:
    """Return ``setup`` with the endpoints' virtual addresses, in route and names, replaced by ``hosts``."""

    def host(match: re.Match[str]) -> str:
        number = int(match[1]) - 11
        return hosts[number] if 0 <= number < len(hosts) else match[0]

    known = dict(zip(setup.endpoints, hosts, strict=True))
    names = {
        name: [f"{known[one]}:5060" if one in known else one for one in addresses]
        for name, addresses in setup.names.items()
    }
    return replace(setup, route=re.sub(r"192\.0\.2\.(\d+)", host, setup.route), names=names)


class _Pipe:
    """One connection of a live endpoint."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.framer = StreamFramer()
        self.is_open = True


class LiveParty:
    """An endpoint with sockets."""

    def __init__(self, world: LiveWorld, name: str, host: str, agent_aor: str, domain: str) -> None:
        self.world = world
        self.name = name
        self.host = host
        self.inbox: list[Received] = []
        self.history: list[Received] = []
        self.udp: socket.socket | None = _bound(socket.SOCK_DGRAM, host, 5060)
        self.port = int(self.udp.getsockname()[1])
        self.tcp: socket.socket | None = _bound(socket.SOCK_STREAM, host, self.port)
        self.tcp.listen(16)
        self.pipes: list[_Pipe] = []
        self.drop_out = 0
        self.drop_in = 0
        self.duplicate_out = 0
        shown = f"[{host}]" if ":" in host else host
        self.agent = Agent(name, agent_aor, f"{shown}:{self.port}", _token, domain, user=name)

    # --- sending

    def send(self, data: bytes, *, transport: str | None = None, pipe: Any = None) -> None:
        """Send octets to the server."""
        transport = transport or "udp"
        if transport == "udp" and pipe is None:
            if self.drop_out:
                self.drop_out -= 1
                return
            if self.udp is not None:
                for _ in range(2 if self.duplicate_out else 1):
                    self.udp.sendto(data, self.world.server_address("udp"))
                self.duplicate_out = max(0, self.duplicate_out - 1)
            return
        if pipe is None or not pipe.is_open:
            pipe = self.connect(transport)
        try:
            pipe.sock.sendall(data)
        except OSError:
            self._lost(pipe)

    def connect(self, transport: str) -> _Pipe:
        """Return the connection to the server; open one if there is none."""
        for pipe in self.pipes:
            if pipe.is_open:
                return pipe
        sock = _bound(socket.SOCK_STREAM, self.host, 0)
        sock.settimeout(3.0)
        sock.connect(self.world.server_address(transport))
        sock.settimeout(None)
        pipe = _Pipe(sock)
        self.pipes.append(pipe)
        return pipe

    def disconnect(self) -> None:
        """Close all connections."""
        for pipe in self.pipes:
            if pipe.is_open:
                pipe.is_open = False
                pipe.sock.close()
        self.pipes.clear()

    # --- receiving

    def readable(self) -> dict[socket.socket, Callable[[], None]]:
        """Return the sockets to wait for, with the function to call for each."""
        table: dict[socket.socket, Callable[[], None]] = {}
        if self.udp is not None:
            table[self.udp] = self._read_udp
        if self.tcp is not None:
            table[self.tcp] = self._accept
        for pipe in self.pipes:
            if pipe.is_open:
                table[pipe.sock] = lambda pipe=pipe: self._read(pipe)  # type: ignore[misc]  # a lambda with its values
        return table

    def _read_udp(self) -> None:
        assert self.udp is not None
        try:
            data = self.udp.recv(65_535)
        except OSError:
            # The kernel reports a datagram that reached no listener.
            return
        if self.drop_in:
            self.drop_in -= 1
            return
        self._take(data, "udp", None)

    def _accept(self) -> None:
        assert self.tcp is not None
        sock, _ = self.tcp.accept()
        self.pipes.append(_Pipe(sock))

    def _read(self, pipe: _Pipe) -> None:
        try:
            data = pipe.sock.recv(65_535)
        except OSError:
            data = b""
        if not data:
            self._lost(pipe)
            return
        if data == b"\r\n":
            self._keep(Received(time.monotonic(), "tcp", data, None, pipe))
            return
        for framed in pipe.framer.feed(data):
            if isinstance(framed, bytes) and framed is not PING:
                self._take(framed, "tcp", pipe)

    def _lost(self, pipe: _Pipe) -> None:
        pipe.is_open = False
        pipe.sock.close()
        if pipe in self.pipes:
            self.pipes.remove(pipe)
        self._keep(Received(time.monotonic(), "tcp", b"", None, pipe))

    def _take(self, data: bytes, transport: str, pipe: Any) -> None:
        message, fault = understood(data)
        self._keep(Received(time.monotonic(), transport, data, message, pipe, fault))
        if message is not None and not fault:
            self.agent.received(message)

    def _keep(self, one: Received) -> None:
        self.inbox.append(one)
        self.history.append(one)

    def close(self) -> None:
        """Close every socket."""
        for sock in (self.udp, self.tcp, *(pipe.sock for pipe in self.pipes)):
            if sock is not None:
                sock.close()


class LiveWorld:
    """A running server and endpoints with sockets."""

    tolerance = 0.25
    drift = 0.02
    patience = 1.5

    def __init__(self, trace: Trace, target: Target, hosts: list[str] | None = None) -> None:
        setup = trace.setup
        self.target = target
        self._mark = f"{_RUN}{next(_TOKENS)}"
        self._setup = setup
        self._domain = setup.domains[0]
        self.parties: dict[str, Party] = {}
        self._live: list[LiveParty] = []
        host = next(iter(target.addresses.values()))[0]
        for number, one in enumerate(setup.endpoints.values()):
            address = hosts[number] if hosts else host_for(host)
            aor = self.rewrite(one.aor or f"sip:{one.name}@{self._domain}")
            party = LiveParty(self, one.name, address, aor, self.rewrite(self._domain))
            if "tcp" not in one.transports and party.tcp is not None:
                party.tcp.close()
                party.tcp = None
            self._live.append(party)
            self.parties[one.name] = party

    @property
    def now(self) -> float:
        return time.monotonic()

    def rewrite(self, text: str) -> str:
        """Give users names of this run, and the domain the name that the target serves."""
        target, setup = self.target, self._setup
        domain = self._domain if target.own or target.serves(setup) else target.domains[0]
        mark = f"-{self._mark}"

        def user(match: re.Match[str]) -> str:
            scheme, name, password = match.groups()
            return match[0] if name.endswith(mark) else f"{scheme}{name}{mark}{password}@{domain}"

        text = re.sub(rf"((?:sips?:)?)([\w%.+-]+)((?::[\w]+)?)@{re.escape(self._domain)}", user, text)
        # A branch that the trace writes out would be a retransmission in the next run.
        text = re.sub(r"(branch=z9hG4bK[\w.-]+)(?![\w.<-])", rf"\1.{self._mark}", text)
        if domain != self._domain:
            text = re.sub(rf"(?<![\w.-]){re.escape(self._domain)}", domain, text)
        return text

    def rewrite_octets(self, data: bytes) -> bytes:
        """Give branch and Call-ID of a message from a file a mark of this run."""
        mark = self._mark.encode()
        data = re.sub(rb"(branch=z9hG4bK[\w.-]+)", rb"\g<1>." + mark, data, count=1)
        return re.sub(rb"(?im)^((?:call-id|i)[ \t]*:[ \t]*)(?=\S)", rb"\g<1>" + mark, data, count=1)

    def server_address(self, transport: str) -> tuple[str, int]:
        return self.target.addresses[transport]

    def run(self, seconds: float, until: Callable[[], bool] | None = None) -> bool:
        # Even "at once" gives the server a moment to send its messages.
        deadline = time.monotonic() + max(seconds, 0.02)
        while True:
            if until is not None and until():
                return True
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            table: dict[socket.socket, Callable[[], None]] = {}
            for party in self._live:
                table.update(party.readable())
            ready, _, _ = select.select(list(table), [], [], left)
            for sock in ready:
                table[sock]()

    def fault(self, verb: str, source: str, destination: str, count: int) -> None:
        """Make trouble at the endpoint: the server cannot tell the difference."""
        for party in self._live:
            if verb == "drop" and party.name == source:
                party.drop_out += count
            elif verb == "drop" and party.name == destination:
                party.drop_in += count
            elif verb == "duplicate" and party.name == source:
                party.duplicate_out += count
            elif party.name != destination:
                continue
            elif verb == "unreachable" and party.udp is not None:
                party.udp.close()
                party.udp = None
            elif verb == "reachable" and party.udp is None:
                party.udp = _bound(socket.SOCK_DGRAM, party.host, party.port)
            elif verb == "refuse" and party.tcp is not None:
                party.tcp.close()
                party.tcp = None
            elif verb == "accept" and party.tcp is None:
                party.tcp = _bound(socket.SOCK_STREAM, party.host, party.port)
                party.tcp.listen(16)

    def finish(self) -> str | None:
        """The player cannot look into a live server."""
        return None

    def clean_up(self, registered: dict[str, str]) -> None:
        """Remove the bindings that the trace left."""
        for aor, name in registered.items():
            party = self.parties.get(name)
            if party is None:
                continue
            # A server that asks for passwords removes nothing; but the users have names of this run.
            headers = [("Contact", "*"), ("Expires", "0"), ("To", f"<{aor}>"), ("From", f"<{aor}>;tag=x")]
            domain = aor.rpartition("@")[2]
            draft = party.agent.request("REGISTER", f"sip:{domain}", headers)
            party.send(draft.to_bytes(), transport="udp")
        if registered:
            self.run(0.02)

    def close(self) -> None:
        for party in self._live:
            party.close()


def _token() -> str:
    return f"{_RUN}x{next(_TOKENS)}"


def host_for(server: str) -> str:
    """Return an address that reaches ``server``, a fresh one on loopback."""
    if server.startswith("127.") or server == "localhost":
        number = next(_HOSTS)
        return f"127.{77 + os.getpid() % 100}.{number // 250 % 250}.{number % 250 + 2}"
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((server, 9))
        return str(probe.getsockname()[0])


def _bound(kind: int, host: str, port: int) -> socket.socket:
    """Return a socket at ``host``: at ``port``, or at any port if that one is taken."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError:
        sock.bind((host, 0))
    return sock
