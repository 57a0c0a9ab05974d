"""A link between two of our own processes: plain values, one after the other, over a Unix socket.

Theory of operation: both ends were made by the parent of the processes, and no other program can reach them.
So the values are octets of ``marshal``, each behind its length. What the kernel does not take at once waits
here. A long list (``feed``) is made piece by piece as the other end reads. If the other end does not
read at all, or is gone, the link is lost.
"""

from __future__ import annotations

import marshal
import socket
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from sansip_sockets.reports import Reports
from sansip_sockets.waits import READ, WRITE, Pump, Spawn, Wait

__all__ = ["BACKLOG", "Link"]

# Octets that may wait for the other end. It has stopped reading long before.
BACKLOG = 64 * 1024 * 1024
READ_SIZE = 262_144
_HEAD = 4


class Host(Protocol):
    """The hub, as a link needs it."""

    spawn: Spawn
    report: Reports


class Link:
    """One end. ``received(values)`` gets all values that came at once; ``lost()`` is called once."""

    def __init__(
        self,
        host: Host,
        sock: socket.socket,
        received: Callable[[list[Any]], None],
        lost: Callable[[], None],
    ) -> None:
        sock.setblocking(False)
        self._host = host
        self._sock = sock
        self._received = received
        self._lost = lost
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._source: Iterator[Any] | None = None
        self._writing = False
        self.is_open = True
        host.spawn(self._read())

    def send(self, value: Any) -> None:
        """Send ``value``, of plain types, behind all that waits."""
        if not self.is_open:
            return
        data = _framed(value)
        if not self._writing:
            try:
                sent = self._sock.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                self.close()
                return
            if sent == len(data):
                return
            data = data[sent:]
        self._waiting.append(data)
        self._size += len(data)
        if self._size > BACKLOG:
            self.close()
        elif not self._writing:
            self._write_on()

    def feed(self, values: Iterator[Any]) -> None:
        """Send ``values`` as the other end reads; what ``send`` gets meanwhile goes between them."""
        self._source = values
        if not self._writing:
            self._write_on()

    def close(self) -> None:
        """End it; the other end is told by the kernel."""
        if self.is_open:
            self.is_open = False
            self._waiting.clear()
            try:
                # Wakes the pumps, which close it.
                self._sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # the other end was quicker

    def _write_on(self) -> None:
        self._writing = True
        self._host.spawn(self._write())

    # --- pumps

    def _read(self) -> Pump:
        wait: Wait = (READ, self._sock, None)
        buffer = bytearray()
        while True:
            yield wait
            try:
                data = self._sock.recv(READ_SIZE)
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            if not data:
                break
            buffer += data
            values = []
            begin = 0
            while len(buffer) - begin >= _HEAD:
                end = begin + _HEAD + int.from_bytes(buffer[begin : begin + _HEAD], "big")
                if len(buffer) < end:
                    break
                values.append(marshal.loads(memoryview(buffer)[begin + _HEAD : end]))
                begin = end
            if begin:
                del buffer[:begin]
                try:
                    self._received(values)
                except Exception as error:
                    self._host.report("a link between workers", error)
        self.close()
        if not self._writing:
            self._sock.close()
        self._lost()

    def _write(self) -> Pump:
        wait: Wait = (WRITE, self._sock, None)
        while self.is_open and (self._waiting or self._refill()):
            yield wait
            if not self._waiting:
                break
            data = self._waiting[0]
            try:
                sent = self._sock.send(data)
            except BlockingIOError:
                continue
            except OSError:
                self.close()
                break
            self._size -= sent
            if sent == len(data):
                self._waiting.popleft()
            else:
                self._waiting[0] = data[sent:]
        self._writing = False
        if not self.is_open:
            self._sock.close()

    def _refill(self) -> bool:
        if self._source is None:
            return False
        for value in self._source:
            data = _framed(value)
            self._waiting.append(data)
            self._size += len(data)
            return True
        self._source = None
        return False


def _framed(value: Any) -> bytes:
    data = marshal.dumps(value)
    return len(data).to_bytes(_HEAD, "big") + data
