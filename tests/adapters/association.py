"""SCTP's sockets where the kernel has none: TCP underneath, with the same view from above.

Theory of operation: what the pumps see of SCTP are whole sends, reads that end at
boundaries with ``MSG_EOR`` or before them without it, and an abort. ``Association``
shows just that over TCP, each chunk behind a word with its length and a bit for
the end of its message. It is no SCTP: the tests run on the real one in ``tox -e sctp``.
"""

from __future__ import annotations

import select
import socket
import struct
from typing import Any

from sansip_sockets import sctp

WORD = struct.Struct("!I")
LAST = 1 << 31
# Seconds in which a peer that reads makes room for the rest of a chunk.
SHORTLY = 0.2


class Association(socket.socket):
    """One end of an association, or its listener."""

    _rest = b""
    _left = 0
    _last = 0

    def accept(self) -> tuple[socket.socket, Any]:
        number, address = self._accept()  # type: ignore[attr-defined]  # of the socket's own base
        return Association(self.family, self.type, self.proto, number), address

    def setsockopt(self, level: int, name: int, value: Any) -> None:  # type: ignore[override]  # one of the overloads
        if level != sctp.PROTOCOL:
            super().setsockopt(level, name, value)

    def send(self, data: Any, flags: int = 0) -> int:
        return self.send_chunk(data, LAST)

    def send_chunk(self, data: bytes, last: int) -> int:
        """Send ``data``: refused whole where there is no room, taken whole where there is some."""
        if self._rest:
            self._rest = self._rest[super().send(self._rest) :]
            if self._rest:
                raise BlockingIOError
        rest = WORD.pack(len(data) | last) + data
        rest = rest[super().send(rest) :]
        while rest and select.select([], [self], [], SHORTLY)[1]:
            rest = rest[super().send(rest) :]
        self._rest = rest
        return len(data)

    def recvmsg(self, size: int, *_: Any) -> tuple[bytes, list[Any], int, Any]:
        wait = 0 if self.gettimeout() == 0 else socket.MSG_WAITALL
        if not self._left:
            word = self.recv(WORD.size, socket.MSG_PEEK | wait)
            if not word:
                return b"", [], 0, None
            if len(word) < WORD.size:
                raise BlockingIOError
            (length,) = WORD.unpack(self.recv(WORD.size))
            self._left, self._last = length & ~LAST, length & LAST
        data = self.recv(min(size, self._left), wait)
        self._left -= len(data)
        return data, [], socket.MSG_EOR if self._last and not self._left else 0, None

    def sendmsg(self, *_: Any) -> int:
        """Abort: nothing that was sent before need arrive."""
        self.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return 0
