"""One OPTIONS after another over one connection: the engine of ``sansip ping``.

Theory of operation: sansip's own non-INVITE client transaction (RFC 3261
17.1.2) decides when to resend and when to give up; this file waits for the
socket or the next timer, whichever comes first, and measures. The UDP socket is
connected, so that the system reports a port without a listener. TLS and WebSocket are the
server's own filters around the socket (``channel``).
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from sansip.clock import Timers
from sansip.entropy import Entropy
from sansip.errors import RemoteProtocolError
from sansip.transaction import TimerValues, TransactionLayer
from sansip.transport import Flow, Sender, StreamFramer
from sansip.transport.connection import Pending
from sansip.transport.filter import Filter, OpenConnection
from sansip.transport.transports import DATAGRAMS, DEFAULT_PORTS, ONE_WAY, PARAMETERS, SECURE
from sansip.transport.websocket.client import WebSocketClient
from sansip.wire import Request, Response, parse_message
from sansip.wire.host import host_text
from sansip_server.channel import Channel, ConnectionLost
from sansip_server.faults import os_reason
from sansip_sockets.tls import TlsContexts
from sansip_sockets.tls_filter import Tls

if TYPE_CHECKING:
    from sansip.actions import Address

__all__ = ["Pinger", "Reply", "Target"]


@dataclass(frozen=True, slots=True)
class Target:
    """The server to ask: the Request-URI, and the address that its host turned out to be.

    ``name`` is the host that the URI named, which a certificate must name as well.
    """

    uri: str
    transport: str
    address: Address
    name: str = ""

    def __str__(self) -> str:
        host, port = self.address[:2]
        return f"{self.transport}:[{host}]:{port}" if ":" in host else f"{self.transport}:{host}:{port}"


@dataclass(slots=True)
class Reply:
    """The outcome of one OPTIONS. ``status`` is None when no answer came; then ``reason`` says why."""

    seq: int
    reason: str
    status: int | None = None
    rtt_ms: float | None = None
    server: str | None = None
    sent: int = 0


class _SocketSender:
    """The part of a sender that a transaction layer with a single socket needs."""

    __slots__ = ("send_now",)

    def __init__(self, send_now: Callable[[bytes], None]) -> None:
        self.send_now = send_now

    def send_request(self, flow: Flow, data: bytes, transaction: Pending, now: float) -> None:
        self.send_now(data)

    def forget(self, transaction: Pending) -> None:
        pass


class Pinger:
    """A connection to ``target``, opened anew when it broke, and the transaction running on it.

    ``tls`` is needed for ``tls`` and ``wss``; ``path`` is that of a WebSocket.
    ``trace(direction, data)`` is shown every message sent (``">"``) and received
    (``"<"``).
    """

    def __init__(
        self,
        target: Target,
        *,
        from_uri: str | None = None,
        user_agent: str = "sansip",
        tls: TlsContexts | None = None,
        path: str = "/",
        trace: Callable[[str, bytes], None] | None = None,
    ) -> None:
        self.target = target
        self.from_uri = from_uri
        self.user_agent = user_agent
        self.tls = tls
        self.path = path
        self.trace = trace or (lambda direction, data: None)
        self._entropy = Entropy(os.urandom(32))
        self._timers = Timers()
        self._layer = TransactionLayer(self._timers, TimerValues(), cast("Sender", _SocketSender(self._send)))
        self._flow = Flow(target.transport, 0, target.address)
        self._framer = StreamFramer()
        self._channel: Channel | None = None
        self._reply = Reply(0, "")
        self._begun = 0.0
        # Whether the socket has failed; then the reply says why.
        self._failed = False

    def _open(self, timeout: float) -> None:
        """Connect; a stream must be established within ``timeout`` seconds.

        Raises ConnectionLost and OSError.
        """
        address = self.target.address
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        sock = socket.socket(
            family, socket.SOCK_DGRAM if self.target.transport in DATAGRAMS else socket.SOCK_STREAM
        )
        begun = time.monotonic()
        try:
            sock.settimeout(timeout)
            sock.connect(address)
            channel = Channel(sock, self._filters(sock))
            channel.open(timeout - (time.monotonic() - begun))
        except BaseException:
            sock.close()
            raise
        self._channel = channel
        self._framer = StreamFramer()

    def _filters(self, sock: socket.socket) -> list[Filter]:
        target = self.target
        host, port = target.name or target.address[0], target.address[1]
        filters: list[Filter] = []
        if target.transport in SECURE:
            assert self.tls is not None
            local, remote = sock.getsockname(), sock.getpeername()
            filters.append(
                Tls(self.tls, OpenConnection(0, target.transport, local, remote, False, name=host))
            )
        if target.transport in ONE_WAY:
            # RFC 9110 7.2: without the port if it is the scheme's default.
            default = port == DEFAULT_PORTS[target.transport]
            shown = host_text(host, None if default else port)
            filters.append(WebSocketClient(shown, self._entropy, self.path))
        return filters

    def close(self) -> None:
        """Close the connection."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def ping(self, seq: int, timeout: float) -> Reply:
        """Send one OPTIONS and wait at most ``timeout`` seconds for its final response."""
        self._reply = reply = Reply(seq, "timeout")
        self._failed = False
        if self._channel is None:
            try:
                self._open(timeout)
            except TimeoutError:
                return reply
            except (OSError, ConnectionLost) as error:
                reply.reason = _reason(error)
                return reply
        branch = f"z9hG4bK{self._entropy.token()}"
        request = self._build(branch)
        self._begun = begun = time.monotonic()
        transaction = self._layer.open_client(branch, request, request.to_bytes(), self._flow, self)
        transaction.start(begun)
        while reply.status is None and self._usable():
            now = time.monotonic()
            if now >= begun + timeout:
                break
            deadline = self._timers.next_deadline()
            if deadline is not None and deadline <= now:
                self._timers.fire_due(now)
                if not self._layer.clients:
                    # Timer F: the machine has told `client_failed`.
                    break
                continue
            until = begun + timeout if deadline is None else min(begun + timeout, deadline)
            self._receive(until - now)
        if not self._usable():
            self.close()
        # A transaction that still waits (Timer K, or our own timeout) is not needed any more.
        transaction.terminate(None, time.monotonic())
        return reply

    # --- the transaction's user (sansip.transaction.ClientUser)

    def response_received(self, transaction: Pending, response: Response, now: float) -> None:
        """A final response ends the wait."""
        if response.status >= 200:
            self._reply.rtt_ms = (now - self._begun) * 1000
            self._reply.status = response.status
            self._reply.reason = response.reason
            self._reply.server = response.get("server") or response.get("user-agent")

    def client_failed(self, transaction: Pending, reason: str, now: float) -> None:
        """No answer came."""
        self._reply.reason = reason

    # --- octets

    def _build(self, branch: str) -> Request:
        assert self._channel is not None
        host, port = self._channel.sock.getsockname()[:2]
        sent_by = host_text(host, port)
        transport = self.target.transport
        sender = self.from_uri or f"sip:ping@{sent_by}"
        # RFC 3261 8.1.1.8: sips for sips.
        named = PARAMETERS[transport]
        secure = self.target.uri.lower().startswith("sips:")
        contact = f"sips:ping@{sent_by}" if secure else f"sip:ping@{sent_by}{named}"
        return Request.build(
            "OPTIONS",
            self.target.uri,
            [
                # RFC 3581 3: rport asks for the answer to come back the way it went.
                ("Via", f"SIP/2.0/{transport.upper()} {sent_by};branch={branch};rport"),
                ("Max-Forwards", "70"),
                ("From", f"<{sender}>;tag={self._entropy.token()}"),
                ("To", f"<{self.target.uri}>"),
                ("Call-ID", f"{self._entropy.token()}@{sent_by}"),
                ("CSeq", "1 OPTIONS"),
                ("Contact", f"<{contact}>"),
                # RFC 3261 11.1: the bodies that this client would understand.
                ("Accept", "application/sdp"),
                ("User-Agent", self.user_agent),
                ("Content-Length", "0"),
            ],
        )

    def _send(self, data: bytes) -> None:
        assert self._channel is not None
        self.trace(">", data)
        self._reply.sent += 1
        try:
            self._channel.send(data, 5.0)
        except (OSError, ConnectionLost) as error:
            self._fail(_reason(error))

    def _usable(self) -> bool:
        return not self._failed

    def _fail(self, reason: str) -> None:
        self._failed = True
        if self._reply.status is None:
            self._reply.reason = reason

    def _receive(self, wait: float) -> None:
        channel = self._channel
        assert channel is not None
        try:
            received = channel.receive(wait)
        except TimeoutError:
            return
        except (OSError, ConnectionLost) as error:
            # RFC 3261 17.1.4, 18.4: an ICMP error or a lost connection ends the transaction.
            self._fail(_reason(error))
            return
        for data in received:
            if self.target.transport in DATAGRAMS or channel.boundary:
                self._message(data)
            else:
                self._framed(data)

    def _framed(self, data: bytes) -> None:
        for framed in self._framer.feed(data):
            if isinstance(framed, bytes):
                self._message(framed)
            else:
                self._fail(f"the stream cannot be read: {framed.reason}")

    def _message(self, data: bytes) -> None:
        if not data.strip(b"\r\n\0"):
            return
        self.trace("<", data)
        try:
            message = parse_message(data)
        except RemoteProtocolError:
            return
        # A request is not an answer, and answers to other requests are ignored.
        if isinstance(message, Response):
            transaction = self._layer.find_client(message)
            if transaction is not None:
                self._layer.response_received(transaction, message, time.monotonic())


def _reason(error: OSError | ConnectionLost) -> str:
    if isinstance(error, OSError):
        return os_reason(error)
    # The setting tls.authorities of the server is an option here.
    return str(error).replace("tls.authorities", "--ca").replace("tls.certificate", "--certificate")
