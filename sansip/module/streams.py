"""Connections of modules, over TCP or TLS: ``core.connect(remote)``.

Theory of operation: a connection opens when something is sent, and again after it was lost. Questions are
answered in their order; ``split`` says where the first message in the buffer ends.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from sansip.actions import SendData
from sansip.module.peer import REST, Exchange, Peer, PeerFailed, Received, Remote, Table

__all__ = ["Stream", "whole"]


class Stream(Peer):
    """A connection to one peer, opened when something is sent, and again after it was lost.

    ``split(buffer)`` returns how many octets the first message has, 0 while it is not whole, and raises
    ``ValueError`` where there can be none. Questions are answered in their order; a message that
    answers none goes to ``received(data, now)``.
    """

    __slots__ = ("_buffer", "_conn", "_is_open", "_queue", "_queued", "_split", "_waiting", "closed",
                 "opened", "transport", "writable")  # fmt: skip

    def __init__(
        self,
        sockets: Table,
        remote: Remote,
        transport: str,
        split: Callable[[bytearray], int],
        received: Received | None,
        closed: Callable[[str, float], None] | None,
        name: str,
    ) -> None:
        super().__init__(sockets, remote, received, name)
        self.transport = transport
        self.closed = closed
        # What is called when it is established; and with False when much waits to be written, with True
        # when all of it has left (``core.connect``).
        self.opened: Callable[[float], None] | None = None
        self.writable: Callable[[bool, float], None] | None = None
        self._split = split
        self._conn = 0
        self._is_open = False
        self._buffer = bytearray()
        # The messages that wait for the connection, and their octets.
        self._queue: list[bytes] = []
        self._queued = 0
        self._waiting: deque[Exchange] = deque()

    def send(self, data: bytes, now: float) -> None:
        """Send octets. Raises ``PeerFailed`` if too much data waits, or no connection is available."""
        if self._is_open:
            self.sockets.out.append(SendData(self._conn, data))
            return
        if self._queued + len(data) > self.sockets.limits.module_backlog:
            raise PeerFailed(f"{self}: too much waits to be sent (limits.module_backlog)")
        if not self._conn:
            self._conn = self.sockets.connect(self)
        self._queue.append(data)
        self._queued += len(data)

    def ask(self, data: bytes, within: float = 2.0) -> Exchange:
        """Return an awaitable for the answer: the next message after those for earlier questions.

        Awaiting raises ``PeerFailed`` where none comes ``within`` seconds, and when the connection is
        lost. After silence the connection is closed, for a later answer could be for any question.
        """
        return Exchange(self, data, None, within, 1)

    def read(self, wanted: bool) -> None:
        """Read no more, so that the peer has to wait, or (``wanted``) again."""
        self.sockets.read(self._conn, wanted)

    def close(self, now: float) -> None:
        """Close the connection; questions that wait fail."""
        conn = self._conn
        self._end("closed", now)
        self.sockets.disconnect(conn, "closed by its module")

    def expect(self, key: Any, exchange: Exchange, now: float) -> None:
        self._admit(exchange, now)
        self._waiting.append(exchange)

    def forget(self, key: Any, exchange: Exchange) -> None:
        super().forget(key, exchange)
        if exchange in self._waiting:
            self._waiting.remove(exchange)

    def silent(self, now: float) -> None:
        super().silent(now)
        conn = self._conn
        self._end("it does not answer", now)
        self.sockets.disconnect(conn, "it does not answer")

    def take_open(self, now: float) -> None:
        """The connection is established."""
        self._is_open = True
        queue, self._queue, self._queued = self._queue, [], 0
        for data in queue:
            self.sockets.out.append(SendData(self._conn, data))
        if self.opened is not None:
            self.opened(now)

    def take(self, data: bytes, now: float) -> None:
        """Octets of the peer came."""
        self._alive(now)
        buffer = self._buffer
        buffer += data
        while buffer:
            try:
                size = self._split(buffer)
            except Exception as error:
                self._give_up(f"what it says cannot be read: {error}", now)
                return
            if not 0 < size <= len(buffer):
                break
            message = bytes(buffer[:size])
            del buffer[:size]
            if self._waiting:
                self._waiting[0].end(message, now)
            elif self.received is not None:
                self.received(message, now)
        if len(buffer) > self.sockets.limits.module_backlog:
            self._give_up("its message does not end (limits.module_backlog)", now)

    def _give_up(self, reason: str, now: float) -> None:
        conn = self._conn
        self.lose(reason, now)
        self.sockets.disconnect(conn, reason)

    def lose(self, reason: str, now: float) -> None:
        """The connection is gone, or was refused."""
        self._rests_until = now + REST
        self._end(reason, now)

    def _end(self, reason: str, now: float) -> None:
        was_begun = self._conn != 0
        self._conn, self._is_open = 0, False
        self._buffer.clear()
        self._queue, self._queued = [], 0
        waiting, self._waiting = list(self._waiting), deque()
        for exchange in waiting:
            exchange.end(PeerFailed(f"{self}: {reason}"), now)
        if was_begun and self.closed is not None:
            self.closed(reason, now)


def whole(buffer: bytearray) -> int:
    """A ``split`` that takes whatever came."""
    return len(buffer)
