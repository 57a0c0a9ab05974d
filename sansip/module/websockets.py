"""WebSocket connections of modules: ``core.websocket(remote, path=…, protocol=…)``.

Theory of operation: a ``Stream`` whose octets are a handshake and then frames (RFC 6455, client side). A
question and its answer have the same key, as over UDP, so answers may come in any order. Nothing is sent
before the peer has agreed to the sub-protocol.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable
from typing import Any

from sansip.actions import SendData
from sansip.entropy import Entropy
from sansip.module.peer import Exchange, PeerFailed, Received, Remote, Table
from sansip.module.streams import Stream, whole
from sansip.transport.websocket.client import ClientHandshake
from sansip.transport.websocket.frames import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    FrameError,
    MessageReader,
    masked_frame,
)
from sansip.wire.host import host_text

__all__ = ["WebSocketPeer"]


class WebSocketPeer(Stream):
    """A WebSocket to one peer, opened when something is asked, and again after it was lost."""

    __slots__ = ("_asked", "_entropy", "_handshake", "_key", "_path", "_protocol", "_reader", "_ready")

    def __init__(
        self,
        sockets: Table,
        remote: Remote,
        transport: str,
        entropy: Entropy,
        path: str,
        protocol: str,
        key: Callable[[bytes], Any],
        received: Received | None,
        name: str,
    ) -> None:
        super().__init__(sockets, remote, transport, whole, received, None, name)
        self._entropy = entropy
        self._path = path
        self._protocol = protocol
        self._key = key
        self._asked: dict[Any, Exchange] = {}
        # The messages that wait for the handshake; its state, and the frames' reader behind it.
        self._ready = False
        self._handshake: ClientHandshake | None = None
        self._reader: MessageReader | None = None

    def ask(self, data: bytes, within: float = 2.0, attempts: int = 1, key: Any = None) -> Exchange:
        """Return an awaitable for the answer; a stream repeats by itself, so it is sent once.

        Awaiting raises ``PeerFailed`` where none comes within ``within * attempts`` seconds.
        """
        return Exchange(self, data, self._key(data) if key is None else key, within * attempts, 1)

    def send(self, data: bytes, now: float) -> None:
        """Send one message. Raises ``PeerFailed`` as ``Stream`` does."""
        if self._ready:
            self._frame(BINARY, data)
            return
        if self._queued + len(data) > self.sockets.limits.module_backlog:
            raise PeerFailed(f"{self}: too much waits to be sent (limits.module_backlog)")
        if not self._conn:
            self._conn = self.sockets.connect(self)
        self._queue.append(data)
        self._queued += len(data)

    def _frame(self, opcode: int, data: bytes) -> None:
        mask = self._entropy.number(1 << 32).to_bytes(4, "big")
        self.sockets.out.append(SendData(self._conn, masked_frame(opcode, data, mask)))

    # --- questions: by key, and not in turn

    def expect(self, key: Any, exchange: Exchange, now: float) -> None:
        if key in self._asked:
            raise PeerFailed(f"{self} is being asked the same already")
        self._admit(exchange, now)
        self._asked[key] = exchange

    def forget(self, key: Any, exchange: Exchange) -> None:
        super().forget(key, exchange)
        if self._asked.get(key) is exchange:
            del self._asked[key]

    # --- what comes

    def take_open(self, now: float) -> None:
        """The connection is established: ask for the WebSocket."""
        self._is_open = True
        key = binascii.b2a_base64(
            bytes.fromhex(self._entropy.token() + self._entropy.token())[:16], newline=False
        )
        host = host_text(self.name or self.remote[0], self.remote[1])
        limits = self.sockets.limits
        self._handshake = ClientHandshake(host, self._path, key, limits.websocket_head_size, self._protocol)
        self._reader = MessageReader(limits.module_backlog, "limits.module_backlog", masked=False)
        self.sockets.out.append(SendData(self._conn, self._handshake.request))

    def take(self, data: bytes, now: float) -> None:
        """Octets of the peer came."""
        if self._handshake is not None:
            result = self._handshake.feed(data)
            if result is None:
                return
            if result.refused:
                self._give_up(result.refused, now)
                return
            self._handshake = None
            self._ready = True
            self._alive(now)
            queue, self._queue, self._queued = self._queue, [], 0
            for message in queue:
                self._frame(BINARY, message)
            data = result.rest
        if data and self._reader is not None:
            self._read(self._reader, data, now)

    def _read(self, reader: MessageReader, data: bytes, now: float) -> None:
        conn = self._conn
        try:
            for opcode, payload in reader.feed(data):
                if opcode == PING:
                    self._frame(PONG, payload)
                elif opcode == CLOSE:
                    self._give_up("it closed the WebSocket", now)
                    return
                elif opcode != PONG:
                    self._message(payload, now)
                if self._conn != conn:
                    # What answered was closed by who heard it.
                    return
        except FrameError as error:
            self._give_up(f"what it says cannot be read: {error.reason}", now)

    def _message(self, payload: bytes, now: float) -> None:
        self._alive(now)
        try:
            exchange = self._asked.get(self._key(payload))
        except Exception:
            # Whatever it is, it answers nothing.
            exchange = None
        if exchange is not None:
            exchange.end(payload, now)
        elif self.received is not None:
            self.received(payload, now)

    def _end(self, reason: str, now: float) -> None:
        self._ready = False
        self._handshake = self._reader = None
        waiting, self._asked = list(self._asked.values()), {}
        super()._end(reason, now)
        for exchange in waiting:
            exchange.end(PeerFailed(f"{self}: {reason}"), now)
