"""A connection between a phone and the server that the test can tear: both ends see a reset."""

from __future__ import annotations

import socket
import struct
import threading

__all__ = ["Wire"]

LOCAL = "127.0.0.1"


class Wire:
    """Carries connections to ``port`` on to ``server``, an address on TCP."""

    def __init__(self, server: tuple[str, int]) -> None:
        self._server = server
        self._socket = socket.create_server((LOCAL, 0))
        self.port = self._socket.getsockname()[1]
        self._ends: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                here, _ = self._socket.accept()
            except OSError:
                return
            try:
                there = socket.create_connection(self._server)
            except OSError:
                # The server is away: so is what would lead to it.
                here.close()
                continue
            self._ends += [here, there]
            for one, other in ((here, there), (there, here)):
                threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        try:
            while data := one.recv(65_536):
                other.sendall(data)
            # The one side is done, and the other is told.
            other.shutdown(socket.SHUT_WR)
        except OSError:
            return

    def tear(self) -> None:
        """End the present connections, without a word; later ones are carried again."""
        ends, self._ends = self._ends, []
        for end in ends:
            try:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                # A reader in another thread keeps the socket alive beyond close().
                end.shutdown(socket.SHUT_RD)
            except OSError:
                pass  # it has ended already
            end.close()

    def close(self) -> None:
        self.tear()
        self._socket.close()
