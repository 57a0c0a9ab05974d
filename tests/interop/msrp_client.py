"""A client of MSRP over real sockets, for tests alone; it shares no code with the relay.

Theory of operation: blocking sockets, one thread for each direction that a test wants at the same time. Over
WebSocket it masks its frames (RFC 6455 5.3) and takes each message as one chunk (RFC 7977 5.1).
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import socket
import ssl
import struct
from dataclasses import dataclass
from types import TracebackType
from typing import Self

__all__ = ["Got", "MsrpClient"]


@dataclass
class Got:
    """A message that came."""

    transaction: str
    word: str
    fields: dict[str, str]
    body: bytes
    flag: str


class MsrpClient:
    """``user`` at ``address``; ``tls`` is the context of a TLS connection, ``websocket`` its kind."""

    def __init__(
        self,
        user: str,
        address: tuple[str, int],
        relay: str,
        *,
        tls: ssl.SSLContext | None = None,
        websocket: bool = False,
        receive_buffer: int = 0,
    ) -> None:
        self.user = user
        self.relay = relay
        self.uri = f"msrps://{user}.invalid:9/{user}session;{'ws' if websocket else 'tcp'}"
        self.path = ""
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
        if receive_buffer:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        raw.settimeout(20)
        raw.connect(address)
        self.sock: socket.socket = raw if tls is None else tls.wrap_socket(raw, server_hostname="relay.test")
        self._websocket = websocket
        self._buffer = bytearray()
        self._searched = 0
        self._raw = b""
        self._number = 0
        if websocket:
            self._upgrade()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.sock.close()

    # --- octets

    def _upgrade(self) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [
            "GET / HTTP/1.1", "Host: relay.test", "Upgrade: websocket", "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Protocol: msrp", "Sec-WebSocket-Version: 13",
        ]  # fmt: skip
        self.sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        while b"\r\n\r\n" not in self._raw:
            self._raw += self.sock.recv(4_096)
        head, _, self._raw = self._raw.partition(b"\r\n\r\n")
        assert b" 101 " in head.splitlines()[0], head
        assert b"sec-websocket-protocol: msrp" in head.lower(), head

    def write(self, data: bytes) -> None:
        """Send octets; over WebSocket one message."""
        if not self._websocket:
            self.sock.sendall(data)
            return
        mask = os.urandom(4)
        size = len(data)
        head = b"\x82"
        head += bytes([0x80 | size]) if size < 126 else b"\xfe" + struct.pack("!H", size)
        masked = bytes(one ^ mask[at % 4] for at, one in enumerate(data))
        self.sock.sendall(head + mask + masked)

    def _more(self) -> bytes:
        if not self._websocket:
            return self.sock.recv(65_536)
        while True:
            frame = self._frame()
            if frame is not None:
                return frame

    def _exactly(self, size: int) -> bytes:
        while len(self._raw) < size:
            came = self.sock.recv(65_536)
            assert came, "the relay hung up"
            self._raw += came
        data, self._raw = self._raw[:size], self._raw[size:]
        return data

    def _frame(self) -> bytes | None:
        first, second = self._exactly(2)
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack("!H", self._exactly(2))
        data = self._exactly(size)
        if first & 0x0F in (1, 2):
            # RFC 7977 5.1: one message is one chunk.
            assert data.count(b"\r\n-------") == 1 or data.startswith(b"MSRP")
            return data
        assert first & 0x0F != 8, "the relay closed the WebSocket"
        return None

    # --- messages

    def receive(self) -> Got:
        """Return the next message."""
        while True:
            found = self._cut()
            if found is not None:
                return found
            came = self._more()
            assert came, "the relay hung up"
            self._buffer += came

    def _cut(self) -> Got | None:
        start = re.match(rb"MSRP (\S+) (\S+)", bytes(self._buffer[:200]))
        if start is None or b"\r\n" not in self._buffer:
            return None
        line = re.compile(rb"-------" + re.escape(start[1]) + rb"([$+#])\r\n")
        end = line.search(self._buffer, max(0, self._searched - 60))
        if end is None:
            self._searched = len(self._buffer)
            return None
        text, flag = bytes(self._buffer[: end.start()]), end[1].decode()
        del self._buffer[: end.end()]
        self._searched = 0
        head, _, body = text.partition(b"\r\n\r\n")
        lines = head.decode().rstrip("\r\n").split("\r\n")[1:]
        fields = {name: value for name, _, value in (line.partition(": ") for line in lines)}
        return Got(start[1].decode(), start[2].decode(), fields, body[:-2], flag)

    def transaction(self) -> str:
        self._number += 1
        return f"{self.user}{self._number:06d}"

    def send(
        self, to: str, body: bytes, place: str, flag: str = "$", message: str = "12345", report: str = "yes"
    ) -> str:
        """Send a chunk; return its transaction."""
        name = self.transaction()
        head = (
            f"MSRP {name} SEND\r\nTo-Path: {to}\r\nFrom-Path: {self.uri}\r\nMessage-ID: {message}\r\n"
            f"Byte-Range: {place}\r\nFailure-Report: {report}\r\nContent-Type: text/plain\r\n\r\n"
        )
        self.write(head.encode() + body + f"\r\n-------{name}{flag}\r\n".encode())
        return name

    def answer(self, request: Got, status: str = "200 OK") -> None:
        """Answer a SEND that came."""
        back, own = request.fields["From-Path"].split()[0], request.fields["To-Path"]
        head = f"MSRP {request.transaction} {status}\r\nTo-Path: {back}\r\nFrom-Path: {own}\r\n"
        self.write(f"{head}-------{request.transaction}$\r\n".encode())

    def authenticate(self, password: str) -> Got:
        """Get a URI from the relay; return its answer."""
        to = f"msrps://{self.relay};tcp"
        answer = self._auth(to, "")
        if answer.word != "401":
            return answer
        given = dict(re.findall(r'(\w+)="?([^",]+)"?', answer.fields["WWW-Authenticate"]))

        def md5(text: str) -> str:
            return hashlib.md5(text.encode()).hexdigest()

        secret = md5(f"{self.user}:{given['realm']}:{password}")
        rest = f"{given['nonce']}:00000001:abcdef:auth:" + md5(f"AUTH:{to}")
        said = (
            f'Authorization: Digest username="{self.user}", realm="{given["realm"]}", '
            f'nonce="{given["nonce"]}", qop=auth, nc=00000001, cnonce="abcdef", '
            f'response="{md5(f"{secret}:{rest}")}"\r\n'
        )
        answer = self._auth(to, said)
        self.path = answer.fields.get("Use-Path", "")
        return answer

    def _auth(self, to: str, said: str) -> Got:
        name = self.transaction()
        head = f"MSRP {name} AUTH\r\nTo-Path: {to}\r\nFrom-Path: {self.uri}\r\n{said}"
        self.write(f"{head}-------{name}$\r\n".encode())
        return self.receive()
