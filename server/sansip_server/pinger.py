"""One OPTIONS after another over one socket: the engine of ``sansip ping``.

Theory of operation: sansip's own non-INVITE client transaction (RFC 3261
17.1.2) decides when to resend and when to give up; this file waits for the
socket or the next timer, whichever comes first, and measures. The UDP socket is
connected, so that the system reports a port nobody listens on.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sansip.clock import Timers
from sansip.entropy import Entropy
from sansip.errors import RemoteProtocolError
from sansip.transaction import TimerValues, TransactionLayer
from sansip.transport import Flow, Sender, StreamFramer
from sansip.transport.connections import Pending
from sansip.wire import Request, Response, parse_message
from sansip_server.faults import os_reason

if TYPE_CHECKING:
    from sansip.actions import Address

__all__ = ["Pinger", "Reply", "Target"]


@dataclass(frozen=True, slots=True)
class Target:
    """Whom to ask: the Request-URI, and the address that its host turned out to be."""

    uri: str
    transport: str
    family: int
    address: Address

    def __str__(self) -> str:
        host, port = self.address[:2]
        return f"{self.transport}:[{host}]:{port}" if ":" in host else f"{self.transport}:{host}:{port}"


@dataclass(slots=True)
class Reply:
    """What became of one OPTIONS. ``status`` is None when nobody answered; then ``reason`` says why."""

    seq: int
    reason: str
    status: int | None = None
    rtt_ms: float | None = None
    server: str | None = None
    sent: int = 0


class _SocketSender(Sender):
    """The way down for a transaction layer with a single socket."""

    __slots__ = ("send_now",)

    def __init__(self, send_now: Callable[[bytes], None]) -> None:
        self.send_now = send_now

    def send_request(self, flow: Flow, data: bytes, transaction: Pending, now: float) -> None:
        self.send_now(data)

    def forget(self, transaction: Pending) -> None:
        pass


class Pinger:
    """A socket to ``target``, opened anew when it broke, and the transaction running on it.

    ``trace(direction, data)`` is shown every message sent (``">"``) and received
    (``"<"``).
    """

    def __init__(
        self,
        target: Target,
        *,
        from_uri: str | None = None,
        user_agent: str = "sansip",
        trace: Callable[[str, bytes], None] | None = None,
    ) -> None:
        self.target = target
        self.from_uri = from_uri
        self.user_agent = user_agent
        self.trace = trace or (lambda direction, data: None)
        self._entropy = Entropy(os.urandom(32))
        self._timers = Timers()
        self._layer = TransactionLayer(self._timers, TimerValues(), _SocketSender(self._send))
        self._flow = Flow(target.transport, 0, target.address)
        self._framer = StreamFramer()
        self._socket: socket.socket | None = None
        self._reply = Reply(0, "")
        self._begun = 0.0
        # The socket is of no more use; the reply says why.
        self._failed = False

    def _open(self, timeout: float) -> None:
        """Connect; a stream must be established within ``timeout`` seconds. Raises OSError."""
        kind = socket.SOCK_DGRAM if self.target.transport == "udp" else socket.SOCK_STREAM
        sock = socket.socket(self.target.family, kind)
        try:
            sock.settimeout(timeout)
            sock.connect(self.target.address)
        except OSError:
            sock.close()
            raise
        self._socket = sock
        self._framer = StreamFramer()

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def ping(self, seq: int, timeout: float) -> Reply:
        """Send one OPTIONS and wait at most ``timeout`` seconds for its final response."""
        self._reply = reply = Reply(seq, "timeout")
        self._failed = False
        if self._socket is None:
            try:
                self._open(timeout)
            except TimeoutError:
                return reply
            except OSError as error:
                reply.reason = os_reason(error)
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
        # A machine still waiting (Timer K, or our own timeout) has served its purpose.
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
        """Nobody answered."""
        self._reply.reason = reason

    # --- octets

    def _build(self, branch: str) -> Request:
        assert self._socket is not None
        host, port = self._socket.getsockname()[:2]
        sent_by = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        transport = self.target.transport
        sender = self.from_uri or f"sip:ping@{sent_by}"
        contact = f"sip:ping@{sent_by}" + ("" if transport == "udp" else f";transport={transport}")
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
                # RFC 3261 11.1: what bodies would be understood.
                ("Accept", "application/sdp"),
                ("User-Agent", self.user_agent),
                ("Content-Length", "0"),
            ],
        )

    def _send(self, data: bytes) -> None:
        assert self._socket is not None
        self.trace(">", data)
        self._reply.sent += 1
        try:
            self._socket.settimeout(5.0)
            self._socket.sendall(data)
        except OSError as error:
            self._fail(os_reason(error))

    def _usable(self) -> bool:
        return not self._failed

    def _fail(self, reason: str) -> None:
        self._failed = True
        if self._reply.status is None:
            self._reply.reason = reason

    def _receive(self, wait: float) -> None:
        assert self._socket is not None
        try:
            self._socket.settimeout(max(wait, 0.0005))
            data = self._socket.recv(65_536)
        except TimeoutError:
            return
        except OSError as error:
            # RFC 3261 17.1.4, 18.4: an ICMP error or a lost connection ends the transaction.
            self._fail(os_reason(error))
            return
        if self.target.transport == "udp":
            self._message(data)
            return
        if not data:
            self._fail("the server closed the connection")
            return
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
        # Requests that come this way are no answer, and answers to others are not ours.
        if isinstance(message, Response):
            transaction = self._layer.find_client(message)
            if transaction is not None:
                self._layer.response_received(transaction, message, time.monotonic())
