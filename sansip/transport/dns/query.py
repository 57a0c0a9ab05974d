"""One query to the name servers: asked, repeated, carried over to TCP, answered.

Theory of operation: a query goes to one server after another, round by round, each time through a socket of
its own with a port that the system chose, and with a number drawn by chance: a forger of a reply must guess
both (RFC 5452 9). The query ignores a reply that does not fit, and goes on waiting. After a truncated reply,
or too many that do not fit, it asks the same server over TCP.

    ASKING (UDP) ──truncated, forgeries──▶ CONNECTING ──▶ ASKING (TCP)
        └──────── silence, failure, refusal ───────────────┴──▶ the next server, or the end
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from sansip.actions import CloseDatagram, Connect, Disconnect, OpenDatagram, SendData, SendDatagram
from sansip.transport.dns import codec
from sansip.transport.dns.cache import Found
from sansip.transport.dns.codec import Reply
from sansip.transport.dns.records import LookupFailed

if TYPE_CHECKING:
    from sansip.actions import Action
    from sansip.clock import Timer, Timers
    from sansip.entropy import Entropy
    from sansip.limits import Limits
    from sansip.transport.dns.config import DnsConfig
    from sansip.transport.dns.servers import NameServers

__all__ = ["Callback", "Query"]

# Gets the records, [] where there are none, or the reason why no server answered.
Callback = Callable[[Found, float], None]

# Replies that do not fit before TCP is tried; a stranger cannot forge a reply there.
FORGERIES = 8


class Asker(Protocol):
    """The attributes that a query needs of the resolver that made it (``resolver.Resolver``)."""

    config: DnsConfig
    timers: Timers
    entropy: Entropy
    limits: Limits
    out: list[Action]
    servers: NameServers

    def open(self, query: Query) -> int: ...
    def close(self, sock: int) -> None: ...
    def connect(self, query: Query) -> int: ...
    def disconnect(self, conn: int) -> None: ...
    def replied(self, query: Query, reply: Reply, now: float) -> None: ...
    def finished(self, query: Query, found: Found, ttl: int, now: float) -> None: ...


class Query:
    """The look-up of one name and type under way. ``waiting`` are its callbacks."""

    __slots__ = (
        "_buffer",
        "_conn",
        "_edns",
        "_forged",
        "_heard",
        "_number",
        "_order",
        "_resolver",
        "_server",
        "_sock",
        "_spelling",
        "_step",
        "_timer",
        "_tries",
        "alias",
        "depth",
        "domain",
        "kind",
        "name",
        "waiting",
    )

    def __init__(self, resolver: Asker, name: str, kind: str, domain: str, depth: int) -> None:
        self.name = name
        self.kind = kind
        self.domain = domain
        # How many CNAMEs led here, and where one leads on to.
        self.depth = depth
        self.alias = ""
        self.waiting: list[Callback] = []
        self._resolver = resolver
        self._order: list[tuple[str, int]] = []
        self._tries = 0
        self._step = 0
        self._server: tuple[str, int] = ("", 0)
        self._sock = 0
        self._conn = 0
        self._number = 0
        self._spelling = name
        self._edns = True
        self._forged = 0
        self._heard = False
        self._buffer = bytearray()
        self._timer: Timer | None = None

    def start(self, now: float) -> None:
        """Ask the first server."""
        config = self._resolver.config
        self._order = self._resolver.servers.order(now)
        self._tries = len(self._order) * config.rounds
        self._next(now)

    # --- asking

    def _next(self, now: float) -> None:
        self._close()
        if self._step >= self._tries:
            reason = "no name server is configured" if not self._order else "no name server answered"
            if self._heard:
                reason = "the name servers failed"
            self._resolver.finished(
                self, LookupFailed(f"{reason} for {self.name} {self.kind}", silent=not self._heard), 0, now
            )
            return
        self._server = self._order[self._step % len(self._order)]
        self._step += 1
        self._forged = 0
        self._ask(now)

    def _ask(self, now: float) -> None:
        resolver = self._resolver
        self._sock = resolver.open(self)
        resolver.out.append(OpenDatagram(self._sock, self._server))
        resolver.out.append(SendDatagram(self._sock, self._write(), self._server, self._sock))
        self._wait(now)

    def _wait(self, now: float) -> None:
        # Each round waits twice as long as the one before (RFC 1035 4.2.1 leaves it to us).
        timeout = self._resolver.config.timeout * 2 ** ((self._step - 1) // len(self._order))
        self._timer = self._resolver.timers.start(now, timeout, self, "timeout")

    def _write(self) -> bytes:
        resolver = self._resolver
        self._number = resolver.entropy.number(65_536)
        if resolver.config.mix_case:
            coin = resolver.entropy.number(1 << 62)
            self._spelling = "".join(
                letter.upper() if coin >> (index % 62) & 1 else letter
                for index, letter in enumerate(self.name)
            )
        return codec.build_query(self._number, self._spelling, self.kind, edns=self._edns)

    # --- replies

    def datagram_received(self, data: bytes, source: tuple[object, ...], now: float) -> None:
        """Take a datagram that came to our socket."""
        reply = None
        # RFC 5452 9.1: from the address that was asked, and to nothing else.
        if (source[0], source[1]) == self._server and len(data) <= self._resolver.limits.dns_message:
            reply = self._read(data)
        if reply is None:
            self._forged += 1
            if self._forged >= FORGERIES:
                self._connect(now)
        elif reply.truncated:
            # RFC 7766 5: do not use a truncated reply.
            self._connect(now)
        else:
            self._take(reply, now)

    def send_failed(self, now: float) -> None:
        """No server listens there, or there is no way to it."""
        self._resolver.servers.silent(self._server, now)
        self._next(now)

    def timer_fired(self, _name: str, now: float) -> None:
        """The server did not answer in time."""
        self._timer = None
        self._resolver.servers.silent(self._server, now)
        self._next(now)

    def _read(self, data: bytes) -> Reply | None:
        return codec.read_reply(
            data, self._number, self._spelling, self.kind, self._resolver.limits.dns_records
        )

    def _take(self, reply: Reply, now: float) -> None:
        self._heard = True
        self._resolver.servers.answered(self._server)
        if reply.rcode in (codec.NOERROR, codec.NXDOMAIN):
            self._close()
            self._resolver.replied(self, reply, now)
        elif reply.rcode in (codec.FORMERR, codec.NOTIMP) and self._edns:
            # RFC 6891 7: a server from before EDNS; ask it again, plainly.
            self._edns = False
            self._close()
            self._ask(now)
        else:
            self._next(now)

    # --- over TCP

    def _connect(self, now: float) -> None:
        self._close()
        resolver = self._resolver
        self._conn = resolver.connect(self)
        self._buffer.clear()
        resolver.out.append(Connect(self._conn, "dns", self._server, -1))
        self._wait(now)

    def connection_opened(self, now: float) -> None:
        """The connection to the server is established."""
        data = self._write()
        # RFC 1035 4.2.2: two octets of length before each message.
        self._resolver.out.append(SendData(self._conn, len(data).to_bytes(2, "big") + data))

    def data_received(self, data: bytes, now: float) -> None:
        """Take octets of the connection."""
        buffer = self._buffer
        buffer += data
        if len(buffer) < 2:
            return
        size = int.from_bytes(buffer[:2], "big")
        if size > self._resolver.limits.dns_message:
            self._heard = True
            self._next(now)
        elif len(buffer) >= size + 2:
            reply = self._read(bytes(buffer[2 : size + 2]))
            if reply is None or reply.truncated:
                self._next(now)
            else:
                self._take(reply, now)

    def connection_closed(self, now: float) -> None:
        """The server closed the connection, or refused it."""
        self._conn = 0
        self._next(now)

    # --- ending

    def _close(self) -> None:
        """Let go of socket, connection and timer."""
        resolver = self._resolver
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._sock:
            resolver.close(self._sock)
            resolver.out.append(CloseDatagram(self._sock))
            self._sock = 0
        if self._conn:
            resolver.disconnect(self._conn)
            resolver.out.append(Disconnect(self._conn, "the name server has answered"))
            self._conn = 0
