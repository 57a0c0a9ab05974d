"""A name server in memory, and a stack that asks it on virtual time.

Theory of operation: ``Zone`` holds records as a zone file writes them and makes
replies of them with dnspython's own encoder, so what is tested is the reader,
not a copy of it. ``World`` is a ``Rig`` whose DNS actions are performed here:
each server may be silent, fail, truncate or be absent, and every query that
was seen is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from sansip.actions import CloseDatagram, Connect, Disconnect, OpenDatagram, SendData, SendDatagram
from sansip.transport.dns import DnsConfig, DnsLookup
from sansip.transport.next_hop import next_hop
from sansip.wire import parse_uri
from tests.rig import Flow, Out, Rig

SERVER, SECOND = ("192.0.2.53", 53), ("192.0.2.54", 53)
SOA = "ns.example.test. admin.example.test. 1 3600 600 86400 60"


class Zone:
    """Records by (name, type). ``silent`` names get no reply, ``failing`` ones SERVFAIL."""

    def __init__(self, text: str = "") -> None:
        self.records: dict[tuple[str, str], list[str]] = {}
        self.ttls: dict[tuple[str, str], int] = {}
        self.silent: set[str] = set()
        self.failing: set[str] = set()
        self.soa = True
        for line in text.strip().splitlines():
            name, ttl, kind, data = line.split(None, 3)
            self.add(name, kind, data, int(ttl))

    def add(self, name: str, kind: str, data: str, ttl: int = 60) -> None:
        key = (name.rstrip(".").lower(), kind)
        self.records.setdefault(key, []).append(data)
        self.ttls[key] = ttl

    def reply(self, data: bytes) -> dns.message.Message | None:
        """The reply to a query, or None for a silent name."""
        query = dns.message.from_wire(data)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        if name in self.silent or f"{name} {kind}" in self.silent:
            return None
        reply = dns.message.make_response(query, recursion_available=True)
        if name in self.failing or f"{name} {kind}" in self.failing:
            reply.set_rcode(dns.rcode.SERVFAIL)
            return reply
        exists = any(owner == name for owner, _ in self.records)
        while (alias := self.records.get((name, "CNAME"))) and kind != "CNAME":
            reply.answer.extend(self._rrsets(name, "CNAME"))
            name = alias[0].rstrip(".").lower()
            if len(reply.answer) > 20 or not self.known(name):
                return reply
        if (name, kind) in self.records:
            reply.answer.extend(self._rrsets(name, kind))
        else:
            if not exists:
                reply.set_rcode(dns.rcode.NXDOMAIN)
            if self.soa:
                reply.authority.append(dns.rrset.from_text("test.", 300, "IN", "SOA", SOA))
        return reply

    def known(self, name: str) -> bool:
        return any(owner == name for owner, _ in self.records)

    def _rrsets(self, name: str, kind: str) -> list[dns.rrset.RRset]:
        # One each, for the encoder shuffles the records of one set.
        ttl = self.ttls[name, kind]
        return [dns.rrset.from_text(name + ".", ttl, "IN", kind, data) for data in self.records[name, kind]]


@dataclass
class Server:
    """One name server. ``mangle`` may change a reply's octets, or take it away (None)."""

    zone: Zone
    silent: bool = False
    refuses_tcp: bool = False
    truncates: bool = False
    edns: bool = True
    closed: bool = False
    mangle: Callable[[bytes], bytes | None] | None = None
    queries: list[str] = field(default_factory=list)

    def answer(self, data: bytes, datagram: bool) -> bytes | None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        self.queries.append(
            f"{question.name.to_text(omit_final_dot=True).lower()} {dns.rdatatype.to_text(question.rdtype)}"
            + ("" if datagram else " tcp")
        )
        if self.silent:
            return None
        if query.edns >= 0 and not self.edns:
            reply = dns.message.Message(query.id)
            reply.flags |= dns.flags.QR
            reply.set_rcode(dns.rcode.FORMERR)
            return reply.to_wire()
        found = self.zone.reply(data)
        if found is None:
            return None
        if self.truncates and datagram:
            found.flags |= dns.flags.TC
            found.answer = []
        wire = found.to_wire(max_size=65_535)
        return wire if self.mangle is None else self.mangle(wire)


class World(Rig):
    """A stack and the name servers it asks. What is no DNS is left to the test."""

    def __init__(
        self,
        zone: Zone | None = None,
        route: Any = None,
        *,
        dns: dict[str, Any] | None = None,
        second: bool = False,
        **options: Any,
    ) -> None:
        self.zone = zone or Zone()
        self.servers = {SERVER: Server(self.zone)}
        if second:
            self.servers[SECOND] = Server(self.zone)
        config = DnsConfig(servers=list(self.servers), **(dns or {}))
        # Sockets that are open: number -> address; and how many there ever were.
        self.sockets: dict[int, Any] = {}
        self.connections: dict[int, Any] = {}
        self.opened_sockets: list[int] = []
        self.sent_queries: list[tuple[int, bytes]] = []
        # False leaves every query to the test.
        self.automatic = True
        super().__init__(route, dns=config, **options)

    @property
    def queries(self) -> list[str]:
        """The questions to the first server, in order."""
        return self.servers[SERVER].queries

    def take(self, actions: list[Any]) -> list[Out]:
        outs: list[Out] = []
        for action in actions:
            if isinstance(action, OpenDatagram):
                assert action.listener < 0
                assert action.listener not in self.opened_sockets
                self.sockets[action.listener] = action.address
                self.opened_sockets.append(action.listener)
            elif isinstance(action, CloseDatagram):
                del self.sockets[action.listener]
            elif isinstance(action, SendDatagram) and action.listener < 0:
                assert self.sockets[action.listener] == action.address
                self.sent_queries.append((action.listener, action.data))
                if self.automatic:
                    outs += self._asked(action)
            elif isinstance(action, Connect) and action.transport == "dns":
                outs += self._connect(action)
            elif isinstance(action, SendData) and action.conn in self.connections:
                outs += self._asked_tcp(action)
            elif isinstance(action, Disconnect) and action.conn in self.connections:
                del self.connections[action.conn]
                outs += self.take(self.stack.connection_closed(action.conn, action.reason, self.now))
            else:
                outs += super().take([action])
        return outs

    def _asked(self, action: SendDatagram) -> list[Out]:
        server = self.servers[action.address]
        if server.closed:
            return self.take(self.stack.send_failed(action.owner, "connection refused", self.now))
        data = server.answer(action.data, True)
        if data is None:
            return []
        return self.take(self.stack.datagram_received(action.listener, data, action.address, self.now))

    def _connect(self, action: Connect) -> list[Out]:
        assert action.listener == -1
        server = self.servers[action.address]
        if server.refuses_tcp:
            return self.take(self.stack.connection_closed(action.conn, "connection refused", self.now))
        self.connections[action.conn] = action.address
        flow = Flow(-1, "dns", action.address, False)
        return self.take(self.stack.connection_opened(action.conn, flow, self.now))

    def _asked_tcp(self, action: SendData) -> list[Out]:
        server = self.servers[self.connections[action.conn]]
        assert int.from_bytes(action.data[:2], "big") == len(action.data) - 2
        data = server.answer(action.data[2:], False)
        outs: list[Out] = []
        if data is not None:
            # In pieces, for a stream has no boundaries.
            framed = len(data).to_bytes(2, "big") + data
            for start in range(0, len(framed), 7):
                if action.conn in self.connections:
                    piece = framed[start : start + 7]
                    outs += self.take(self.stack.data_received(action.conn, piece, self.now))
        return outs

    # --- questions straight to the stack

    def ask(self, subject: Any) -> list[Any]:
        """Put ``subject`` to the stack; the list gets the answer when there is one."""
        answers: list[Any] = []
        self.stack.ask(subject, lambda result, now: answers.append(result), self.now)
        self.take(self.stack._take(self.now))
        return answers

    def lookup(self, name: str, kind: str) -> Any:
        """The names that are answered at once, or after all timeouts."""
        answers = self.ask(DnsLookup(name, kind))
        if not answers:
            self.wait(60)
        assert len(answers) == 1
        return answers[0]

    def where(self, uri: str, mark: str = "") -> Any:
        """The places that ``uri`` leads to."""
        answers = self.ask(next_hop(parse_uri(uri)).question(mark))
        if not answers:
            self.wait(60)
        assert len(answers) == 1
        return answers[0]

    @property
    def idle(self) -> bool:
        """No socket, connection, query or timer is left."""
        held = self.stack.snapshot()
        return not self.sockets and not self.connections and not held["name_queries"] and self.quiet

    @property
    def quiet(self) -> bool:
        return self.stack.next_deadline() is None or not self.run_out()


def names(places: Iterable[tuple[str, str, int]]) -> list[str]:
    """``udp:192.0.2.1:5060`` each."""
    return [f"{transport}:{ip}:{port}" for transport, ip, port in places]
