"""One connection of a stream transport: its socket, its state, what waits to be written.

    CONNECTING ─▶ OPEN ─▶ CLOSING (queue being flushed) ─▶ LINGERING ─▶ DEAD

``GIVEN``: the socket is another's (an HTTP connection).
"""

from __future__ import annotations

import socket

from sansip.clock import Timer
from sansip_sockets.bind import BoundListener

__all__ = ["CLOSING", "CONNECTING", "DEAD", "GIVEN", "LINGERING", "OPEN", "Connection"]

CONNECTING, OPEN, CLOSING, LINGERING, DEAD, GIVEN = range(6)


class Connection:
    """One socket. ``out`` holds what is not written yet, ``queued`` its octets."""

    __slots__ = ("conn", "full", "heard", "listener", "out", "parked", "paused", "pumps", "queued", "sock",
                 "state", "timer", "transport", "writing")  # fmt: skip

    def __init__(
        self, conn: int, sock: socket.socket, listener: BoundListener | None, transport: str, state: int
    ) -> None:
        self.conn = conn
        self.sock = sock
        self.listener = listener
        self.transport = transport
        self.state = state
        self.out: list[bytes] = []
        self.queued = 0
        # Pumps that use the socket; a writing pump is among them while `writing`.
        self.pumps = 1
        self.writing = False
        # Whether the stack was told that much waits to be written.
        self.full = False
        # Whether nothing is to be read, and whether the reading pump has ended because of that.
        self.paused = self.parked = False
        # Whether something was read: then a goodbye must linger.
        self.heard = False
        self.timer: Timer | None = None
