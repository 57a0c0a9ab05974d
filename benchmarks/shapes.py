"""Which shapes of production take the quick ways of octets, message by message.

Theory of operation: a phone registers, another one calls it, talks and hangs up, in a stack on a virtual
clock. Each shape changes one thing of that play. A message rides if the stack took it without making a
message of it; counted are those that did and all that came. So this tells which ordinary traffic costs
several times as much as the plain call. ``tests/server/test_shapes.py`` holds the shapes that ride.

    python -m benchmarks.shapes
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sansip import ListenerConfig, SendDatagram, Stack, StackConfig
from sansip.actions import SendData
from sansip.auth import AuthConfig, Lookup, compute_response, ha1
from sansip.reception import Reception

DOMAIN = "bench.test"
SERVER = ("192.0.2.99", 5060)
Address = tuple[str, int]


@dataclass(slots=True)
class Phone:
    """One phone: where its packets come from, and what it writes of itself.

    Attributes:
        user: its user.
        source: of its packets.
        local: what it takes for its address, in Via and Contact.
        uri, contact: parameters of its Contact's URI, and of the Contact itself.
        rport: whether it asks for that (RFC 3581).
        fields: further lines of its REGISTER and INVITE.
        route: whether it names this server in Route.
        tcp: whether it has a connection.
        asked: what stands behind the Request-URI of its INVITE.
        keeps: whether it sends its credentials within the dialog, too.
    """

    user: str
    source: Address
    local: Address | None = None
    uri: str = ""
    contact: str = ""
    rport: bool = True
    fields: tuple[str, ...] = ()
    route: bool = False
    tcp: bool = False
    asked: str = ""
    keeps: bool = True

    @property
    def contact_line(self) -> str:
        host, port = self.local or self.source
        return f"Contact: <sip:{self.user}@{host}:{port}{self.uri}>{self.contact}"

    def via(self, branch: str) -> str:
        host, port = self.local or self.source
        end = ";rport" if self.rport else ""
        return f"Via: SIP/2.0/{'TCP' if self.tcp else 'UDP'} {host}:{port};branch=z9hG4bK{branch}{end}"


@dataclass(slots=True)
class Connection:
    """What an adapter tells of one."""

    remote: Address
    listener: int = 1
    transport: str = "tcp"
    incoming: bool = True


@dataclass(slots=True)
class Shape:
    """One way in which production differs. ``others``: further phones of the callee."""

    name: str
    caller: Phone = field(default_factory=lambda: Phone("alice", ("192.0.2.1", 5060)))
    callee: Phone = field(default_factory=lambda: Phone("bob", ("192.0.2.2", 5060)))
    others: tuple[Phone, ...] = ()
    passwords: bool = False


def known(lookup: Lookup) -> dict[str, str]:
    return {"MD5": ha1(lookup.username, lookup.realm, "secret", "MD5")}


class Play:
    """One call of a shape. ``rode``: message -> whether it was taken as octets."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        listeners = [ListenerConfig(0, "udp", *SERVER), ListenerConfig(1, "tcp", *SERVER)]
        config = StackConfig(listeners, [DOMAIN])
        if shape.passwords:
            config.auth, config.recall = AuthConfig(), known
        self.stack = Stack(config, b"0123456789abcdef")
        self.stack.time_passed(0.5)
        self.now = 1.0
        self.rode: list[tuple[str, bool]] = []
        self.made = 0
        self.branch = 0
        self.connections: dict[Address, int] = {}

    def give(self, name: str, phone: Phone, data: bytes) -> list[bytes]:
        """Give the stack what ``phone`` sends; return all that it sends."""
        self.now += 0.01
        before = self.made
        if phone.tcp:
            number = self.connections.get(phone.source)
            if number is None:
                number = self.connections[phone.source] = len(self.connections) + 1
                self.stack.connection_opened(number, Connection(phone.source), self.now)
            actions = self.stack.data_received(number, data, self.now)
        else:
            actions = self.stack.datagram_received(0, data, phone.source, self.now)
        self.rode.append((name, self.made == before))
        return [one.data for one in actions if isinstance(one, SendDatagram | SendData)]

    def request(self, phone: Phone, method: str, uri: str, to: str, number: int, *lines: str) -> bytes:
        self.branch += 1
        own = "" if method == "REGISTER" else phone.user
        head = [
            f"{method} {uri} SIP/2.0",
            phone.via(str(self.branch)),
            "Max-Forwards: 70",
            f"From: <sip:{phone.user}@{DOMAIN}>;tag={own or 'r'}",
            f"To: {to}",
            f"Call-ID: {method if method == 'REGISTER' else 'call'}-{phone.user}-{phone.source[1]}",
            f"CSeq: {number} {method}",
            *lines,
            "Content-Length: 0",
        ]
        return ("\r\n".join(head) + "\r\n\r\n").encode()

    def register(self, phone: Phone) -> None:
        uri, to = f"sip:{DOMAIN}", f"<sip:{phone.user}@{DOMAIN}>"
        more = (phone.contact_line, "Expires: 600", *phone.fields)
        answers = self.give("REGISTER", phone, self.request(phone, "REGISTER", uri, to, 1, *more))
        if self.shape.passwords:
            proof = self.proof(phone, answers[-1], "REGISTER", uri, "Authorization", 1)
            data = self.request(phone, "REGISTER", uri, to, 2, proof, *more)
            answers = self.give("REGISTER, proved", phone, data)
        assert answers[-1].startswith(b"SIP/2.0 200"), answers[-1]
        again = [*more]
        if self.shape.passwords:
            nonce = re.search(rb'nonce="([^"]+)"', proof.encode())
            assert nonce is not None
            again.insert(0, self.proof(phone, b" nonce=" + nonce[0][6:], "REGISTER", uri, "Authorization", 2))
        self.give("REGISTER, again", phone, self.request(phone, "REGISTER", uri, to, 3, *again))

    def proof(self, phone: Phone, told: bytes, method: str, uri: str, name: str, count: int) -> str:
        nonce = told.partition(b' nonce="')[2].partition(b'"')[0].decode()
        key, nc = known(Lookup(phone.user, DOMAIN))["MD5"], f"{count:08x}"
        made = compute_response(key, method, uri, nonce, algorithm="MD5", qop="auth", nc=nc, cnonce="c")
        return (
            f'{name}: Digest username="{phone.user}", realm="{DOMAIN}", nonce="{nonce}", uri="{uri}"'
            f', qop=auth, nc={nc}, cnonce="c", algorithm=MD5, response="{made}"'
        )

    def answer(self, phone: Phone, request: bytes, status: str) -> list[bytes]:
        head = request.partition(b"\r\n\r\n")[0].decode().split("\r\n")
        copied = ("Via", "Record-Route", "From", "To", "Call-ID", "CSeq")
        lines = [line for line in head[1:] if line.partition(":")[0] in copied]
        lines = [
            f"{line};tag=b" if line.startswith("To:") and ";tag=" not in line else line for line in lines
        ]
        end = [phone.contact_line, "Content-Length: 0", "", ""]
        return self.give(status, phone, "\r\n".join([f"SIP/2.0 {status}", *lines, *end]).encode())

    def call(self) -> None:
        shape = self.shape
        caller, callee = shape.caller, shape.callee
        for phone in (callee, *shape.others):
            self.register(phone)
        if caller.tcp or caller.local:
            self.register(caller)
        uri, to = f"sip:bob@{DOMAIN}{caller.asked}", f"<sip:bob@{DOMAIN}>"
        lines = [caller.contact_line, *caller.fields]
        if caller.route:
            by = ";transport=tcp" if caller.tcp else ""
            lines.insert(0, f"Route: <sip:{SERVER[0]}{by};lr>")
        invite = self.request(caller, "INVITE", uri, to, 1, *lines)
        sent = self.give("INVITE", caller, invite)
        kept: list[str] = []
        if shape.passwords:
            told = sent[-1]
            tagged = re.search(rb"\r\nTo: ([^\r]*)", told)
            assert tagged is not None
            ack = invite.replace(b"INVITE", b"ACK").replace(f"To: {to}".encode(), b"To: " + tagged[1])
            self.give("ACK of the 407", caller, ack.replace(f"{caller.contact_line}\r\n".encode(), b""))
            kept = [self.proof(caller, told, "INVITE", uri, "Proxy-Authorization", 1)]
            sent = self.give(
                "INVITE, proved", caller, self.request(caller, "INVITE", uri, to, 2, *kept, *lines)
            )
        [left, *_] = [one for one in sent if one.startswith(b"INVITE")]
        self.answer(callee, left, "180 Ringing")
        [ok] = self.answer(callee, left, "200 OK")
        head = ok.partition(b"\r\n\r\n")[0].decode().split("\r\n")
        routes = [line.partition(" ")[2] for line in head if line.startswith("Record-Route")]
        within = [f"Route: {', '.join(reversed(routes))}"]
        contact = next(line for line in head if line.startswith("Contact"))
        target = contact.partition("<")[2].partition(">")[0]
        to = next(line for line in head if line.startswith("To:")).partition(" ")[2]
        if not caller.keeps:
            kept = []
        self.give("ACK", caller, self.request(caller, "ACK", target, to, 2, *within, *kept))
        sent = self.give("BYE", caller, self.request(caller, "BYE", target, to, 3, *within, *kept))
        [left] = [one for one in sent if one.startswith(b"BYE")]
        self.answer(callee, left, "200 OK to BYE")


NAT = ("198.51.100.9", 40000)
HOME = ("10.0.0.7", 5060)
SHAPES = (
    Shape("plain call"),
    Shape("with passwords", passwords=True),
    Shape("callee writes ;transport=udp", callee=Phone("bob", ("192.0.2.2", 5060), uri=";transport=udp")),
    Shape("outbound proxy in Route", caller=Phone("alice", ("192.0.2.1", 5060), route=True), passwords=True),
    Shape("caller without rport", caller=Phone("alice", ("192.0.2.1", 5060), rport=False)),
    Shape("caller asks for user=phone", caller=Phone("alice", ("192.0.2.1", 5060), asked=";user=phone")),
    Shape(
        "session timer asked for", caller=Phone("alice", ("192.0.2.1", 5060), fields=("Session-Expires: 90",))
    ),
    Shape("caller behind a NAT", caller=Phone("alice", NAT, local=HOME), passwords=True),
    Shape("callee behind a NAT", callee=Phone("bob", NAT, local=HOME), passwords=True),
    Shape(
        "both behind a NAT",
        caller=Phone("alice", ("198.51.100.8", 40000), local=HOME),
        callee=Phone("bob", NAT, local=HOME),
        passwords=True,
    ),
    Shape("two phones of the callee", others=(Phone("bob", ("192.0.2.3", 5060)),)),
    Shape("caller with ;ob (pjsua)", caller=Phone("alice", ("192.0.2.1", 5060), uri=";ob")),
    Shape("callee with ;ob (pjsua)", callee=Phone("bob", ("192.0.2.2", 5060), uri=";ob")),
    Shape(
        "callee with GRUU (linphone)",
        callee=Phone(
            "bob", ("192.0.2.2", 5060), contact=';+sip.instance="<urn:uuid:1>"', fields=("Supported: gruu",)
        ),
    ),
    Shape(
        "callee with outbound, path",
        callee=Phone(
            "bob",
            ("192.0.2.2", 5060),
            contact=';reg-id=1;+sip.instance="<urn:uuid:1>"',
            fields=("Supported: outbound, path",),
        ),
    ),
    Shape("callee with a display name of q", callee=Phone("bob", ("192.0.2.2", 5060), contact=";q=0.5")),
    Shape("caller over TCP", caller=Phone("alice", ("192.0.2.1", 5062), tcp=True)),
    Shape("callee over TCP", callee=Phone("bob", ("192.0.2.2", 5062), uri=";transport=tcp", tcp=True)),
    Shape(
        "outbound proxy in Route over TCP",
        caller=Phone("alice", ("192.0.2.1", 40000), route=True, tcp=True),
        passwords=True,
    ),
    Shape(
        "both over TCP behind a NAT",
        caller=Phone("alice", ("198.51.100.8", 40000), local=HOME, uri=";transport=tcp", tcp=True),
        callee=Phone("bob", NAT, local=HOME, uri=";transport=tcp", tcp=True),
        passwords=True,
    ),
)


@contextmanager
def counting(count: Callable[[], None]) -> Iterator[None]:
    """Call ``count`` for each message that is made of octets."""
    before: Any = Reception.message_received

    def received(self: Reception, *given: Any, **more: Any) -> None:
        count()
        before(self, *given, **more)

    Reception.message_received = received  # type: ignore[method-assign]  # the one that counts in its place
    try:
        yield
    finally:
        Reception.message_received = before  # type: ignore[method-assign]  # its own again


def played(shape: Shape) -> list[tuple[str, bool]]:
    """Play ``shape``; return its messages, each with whether it rode."""
    play = Play(shape)

    def count() -> None:
        play.made += 1

    with counting(count):
        play.call()
    return play.rode


def main(words: list[str] | None = None) -> int:
    argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0]).parse_args(words)
    for shape in SHAPES:
        rode = played(shape)
        long = [name for name, rides in rode if not rides]
        print(f"{shape.name:<32} {len(rode) - len(long):>2} of {len(rode):>2}   {', '.join(long)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
