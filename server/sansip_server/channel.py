"""A blocking connection through byte filters: TLS and WebSocket for a command of one connection.

Theory of operation: the server's filters never wait themselves, so any code may wait for them;
here a plain socket with a timeout does. Octets that the filters send are written at once, octets
that they pass up are returned, and the first reason to close becomes ``ConnectionLost``.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence

from sansip.transport.filter import Filter, Output

__all__ = ["Channel", "ConnectionLost"]


class ConnectionLost(Exception):
    """The connection cannot be used any more; the text says why."""


class Channel:
    """A connected ``sock`` and the ``filters`` around it, lowest first; without any it is plain."""

    def __init__(self, sock: socket.socket, filters: Sequence[Filter] = ()) -> None:
        self.sock = sock
        self._filters = list(filters)
        self._up: list[bytes] = []

    @property
    def boundary(self) -> bool:
        """Whether each element received is a whole message."""
        return bool(self._filters) and self._filters[-1].boundaries

    def open(self, timeout: float) -> None:
        """Finish the handshakes within ``timeout`` seconds. Raises ConnectionLost and OSError."""
        deadline = time.monotonic() + timeout
        for index, one in enumerate(self._filters):
            self._handle(index, one.opened(time.monotonic()))
        while not all(one.ready for one in self._filters):
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._read(left)

    def send(self, data: bytes, timeout: float) -> None:
        """Send one message. Raises ConnectionLost and OSError."""
        self.sock.settimeout(timeout)
        self._down(len(self._filters) - 1, data)

    def receive(self, timeout: float) -> list[bytes]:
        """Return what came within ``timeout`` seconds, perhaps nothing. Raises ConnectionLost and OSError."""
        if not self._up:
            self._read(timeout)
        found, self._up = self._up, []
        return found

    def close(self) -> None:
        """Say goodbye, topmost first, and close the socket."""
        try:
            self.sock.settimeout(1.0)
            for index in range(len(self._filters) - 1, -1, -1):
                for data in self._filters[index].close("done", time.monotonic()).down:
                    self._down(index - 1, data)
        except (OSError, ConnectionLost):
            pass  # it was gone already
        self.sock.close()

    def _read(self, timeout: float) -> None:
        self.sock.settimeout(max(timeout, 0.0005))
        data = self.sock.recv(65_536)
        if not data:
            raise ConnectionLost("the server closed the connection")
        self._rise(0, data)

    def _rise(self, index: int, data: bytes) -> None:
        if index < len(self._filters):
            self._handle(index, self._filters[index].received(data, time.monotonic()))
        else:
            self._up.append(data)

    def _down(self, index: int, data: bytes) -> None:
        if index >= 0:
            self._handle(index, self._filters[index].send(data, time.monotonic()))
        else:
            self.sock.sendall(data)

    def _handle(self, index: int, output: Output) -> None:
        try:
            for data in output.down:
                self._down(index - 1, data)
        except OSError:
            if output.closing is None:
                raise
            # The goodbye came too late; the reason for it counts.
        for data in output.up:
            self._rise(index + 1, data)
        if output.closing is not None:
            raise ConnectionLost(output.closing)
