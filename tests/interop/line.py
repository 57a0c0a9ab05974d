"""One client connection that carries SIP as octets: UDP, TCP, TLS, WebSocket, secure WebSocket, SCTP.

Theory of operation: a blocking socket; WebSocket is the client half of the ``websockets`` library, TLS
the stdlib's. What is sent leaves as it is, so that phones and attackers can both stand on it; messages are
cut out of a stream by Content-Length. Nothing of sansip is in here.
"""

from __future__ import annotations

import re
import socket
import ssl
import time
from pathlib import Path
from typing import Self

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

__all__ = ["PATIENCE", "Closed", "Line", "Silence"]

# Seconds until an answer that does not come is missed.
PATIENCE = 5.0
# Servers and ports that lines over UDP had. RFC 3261 17.2.1: a failure is repeated for 32 s to a line that
# closed without an ACK, and the kernel gives its port again: another case heard a 487 to its REGISTER.
_had: set[tuple[int, int]] = set()
_LENGTH = re.compile(rb"(?im)^(?:Content-Length|l)\s*:\s*(\d+)")


class Silence(AssertionError):
    """Nothing came in time."""


class Closed(AssertionError):
    """The server closed the connection."""


class Line:
    """A connection to ``server`` over ``transport``: udp, tcp, tls, ws, wss or sctp.

    ``name`` is who is named where something goes wrong; ``authority`` is the file of the authority that a
    server's certificate must come from; ``source`` the address to bind, any by default.
    """

    def __init__(
        self,
        transport: str,
        server: tuple[str, int],
        *,
        name: str = "client",
        authority: Path | None = None,
        source: tuple[str, int, int, int] | tuple[str, int] | None = None,
    ) -> None:
        self.transport = transport
        self._name = name
        self._buffer = b""
        self._unread: list[bytes] = []
        family = socket.AF_INET6 if ":" in server[0] else socket.AF_INET
        kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
        while True:
            self._socket = socket.socket(family, kind, socket.IPPROTO_SCTP if transport == "sctp" else 0)
            if source is not None:
                self._socket.bind(source)
            self._socket.settimeout(PATIENCE)
            self._socket.connect(server)
            known = server[1], self.local[1]
            if transport != "udp" or source is not None or known not in _had:
                break
            self._socket.close()
        if transport == "udp":
            _had.add(known)
        if transport != "udp":
            # Small messages, each waited for. (SCTP_NODELAY is 3.)
            sctp = transport == "sctp"
            level, option = (socket.IPPROTO_SCTP, 3) if sctp else (socket.IPPROTO_TCP, socket.TCP_NODELAY)
            self._socket.setsockopt(level, option, 1)
        if transport in ("tls", "wss"):
            context = ssl.create_default_context(cafile=str(authority))
            self._socket = context.wrap_socket(self._socket, server_hostname=server[0])
        self._websocket: ClientProtocol | None = None
        if transport in ("ws", "wss"):
            host = f"[{server[0]}]" if ":" in server[0] else server[0]
            self._websocket = ClientProtocol(
                parse_uri(f"{transport}://{host}:{server[1]}/"), subprotocols=[Subprotocol("sip")]
            )
            self._websocket.send_request(self._websocket.connect())
            self._flush()
            while not self._websocket.events_received():
                self._read()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket without a word."""
        self._socket.close()

    def reset(self) -> None:
        """Close the connection as a host does that lost power: the server gets a reset at its next word."""
        linger = (1).to_bytes(4, "little") + (0).to_bytes(4, "little")
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._socket.close()

    @property
    def local(self) -> tuple[str, int]:
        """Where the connection comes from."""
        host, port = self._socket.getsockname()[:2]
        return host, port

    @property
    def sent_by(self) -> str:
        """``local`` as Via has it."""
        host, port = self.local
        # RFC 4007 11.2: a zone means nothing elsewhere.
        host = host.partition("%")[0]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def send(self, data: bytes) -> None:
        """Send ``data``: a datagram, octets of the stream, or a WebSocket text frame."""
        if self._websocket is not None:
            self._websocket.send_text(data)
            self._flush()
        else:
            self._socket.sendall(data)

    def receive(self, patience: float = PATIENCE) -> bytes:
        """Return the next message as it came.

        Raises ``Silence`` where none comes in ``patience`` seconds, ``Closed`` where the server hangs up.
        """
        deadline = time.monotonic() + patience
        while True:
            if self._websocket is not None:
                for event in self._websocket.events_received():
                    if isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.BINARY):
                        self._unread.append(bytes(event.data))
            elif (end := self._buffer.find(b"\r\n\r\n")) >= 0:
                length = _LENGTH.search(self._buffer)
                size = end + 4 + int(length[1] if length else 0)
                if len(self._buffer) >= size:
                    self._unread.append(self._buffer[:size])
                    self._buffer = self._buffer[size:]
            if self._unread:
                return self._unread.pop(0)
            left = deadline - time.monotonic()
            if left <= 0:
                raise Silence(f"{self._name} over {self.transport}: nothing came in {patience} s")
            self._socket.settimeout(left)
            try:
                self._read()
            except TimeoutError:
                continue
            finally:
                self._socket.settimeout(PATIENCE)

    def received(self, patience: float = 0.3) -> list[bytes]:
        """Return all messages until nothing came for ``patience`` seconds, or the server hung up."""
        got = []
        try:
            while True:
                got.append(self.receive(patience))
        except (Silence, Closed, ConnectionError):
            return got

    def keep_alive(self) -> None:
        """Send the keepalive of RFC 5626 4.4.1 and wait for its answer, which is no message."""
        self.send(b"\r\n\r\n")
        self._read()
        self._buffer = b""

    def _flush(self) -> None:
        assert self._websocket is not None
        for data in self._websocket.data_to_send():
            if data:
                self._socket.sendall(data)

    def _read(self) -> None:
        data = self._socket.recv(65_536)
        if not data:
            raise Closed(f"{self._name} over {self.transport}: the server closed the connection")
        if self._websocket is None:
            self._buffer += data
            return
        self._websocket.receive_data(data)
        self._flush()
