"""UDP sockets with one peer each: opened for a question, closed with its answer.

Theory of operation: the stack asks name servers from a socket of its own each time (``OpenDatagram``), so
that a forger of a reply must guess its port. The socket is connected: the kernel picks the port at random,
drops datagrams from any other address, and reports an ICMP error as the error of the next call. Like all
pumps, the one of a socket ends by being woken: closing shuts the socket down, the pump sees that and lets go
of it. It is read and written as a listener is (``sansip_sockets.udp``), and one look reads as many datagrams
as answers are waited for.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from errno import EAGAIN
from typing import TYPE_CHECKING, Any, Protocol

from sansip.actions import Address, CloseDatagram, OpenDatagram, SendDatagram
from sansip.errors import without_frames
from sansip.module.sockets import FIRST
from sansip_sockets.udp import datagrams_of
from sansip_sockets.waits import PAUSE, READ, Pump, Wait, wake

if TYPE_CHECKING:
    from sansip_sockets.host import Host

__all__ = ["DatagramClients"]

# No UDP payload is longer (RFC 768: 16-bit length).
DATAGRAM_SIZE = 65_535
# Datagrams read in one look.
BATCH = 32


class Asked(Protocol):
    """The answers that a stack waits for (``sansip.module.sockets``)."""

    questions: int
    patient: int


class _Unknown:
    """No answers: for a stack that keeps no such counts."""

    questions: int = 0
    patient: int = 0


class _Client:
    """One socket; ``error`` is why there is none. ``receive`` and ``sendto``: as of ``Datagrams``."""

    __slots__ = ("address", "closed", "error", "number", "receive", "sendto", "sock")

    def __init__(self, number: int, address: Address) -> None:
        self.number = number
        self.address = address
        self.closed = False
        self.error: OSError | None = None
        self.sock: socket.socket | None = None
        self.receive: Callable[[list[tuple[bytes, Any]], int], int] = self._receive
        self.sendto: Callable[[bytes, Any], int] = self._send
        try:
            self.sock = _connected(address)
        except OSError as error:
            self.error = without_frames(error)
            return
        if sys.platform == "linux" and self.sock.family == socket.AF_INET:
            # Other systems refuse an address on a connected socket; and an IPv6 address has four parts.
            datagrams = datagrams_of(self.sock)
            self.receive, self.sendto = datagrams.receive, datagrams.sendto

    def _send(self, data: bytes, _address: Address) -> int:
        if self.sock is None:
            raise self.error or OSError("closed")
        return self.sock.send(data)

    def _receive(self, batch: list[tuple[bytes, Any]], most: int) -> int:
        assert self.sock is not None
        recv, append = self.sock.recv, batch.append
        try:
            for _ in range(most):
                append((recv(DATAGRAM_SIZE), self.address))
        except BlockingIOError:
            return EAGAIN
        except OSError as error:
            return error.errno or -1
        return 0


class DatagramClients:
    """All such sockets of a hub. They are in ``hub.sendto`` under their numbers, which are negative.

    ``sockets``: by descriptor, those that are open and not being closed. ``asked``: how many answers the
    modules wait for.
    """

    __slots__ = ("_hub", "_open", "_table", "asked", "sockets")

    def __init__(self, hub: Host) -> None:
        self._hub = hub
        self._table: dict[int, _Client] = {}
        # Clients whose socket is open: those above, and those that are being closed.
        self._open: set[_Client] = set()
        self.sockets: dict[int, _Client] = {}
        asked: Asked | None = getattr(hub.driver.stack, "sockets", None)
        # Compared with None: ``Sockets`` has a length, and is false while it is empty.
        self.asked: Asked = _Unknown() if asked is None else asked

    def __len__(self) -> int:
        """Return how many sockets are open."""
        return len(self._open)

    def open(self, action: OpenDatagram) -> None:
        """Open a socket. If that fails, every send from it fails."""
        client = self._table[action.listener] = _Client(action.listener, action.address)
        self._hub.sendto[action.listener] = client.sendto
        if client.sock is not None:
            self._open.add(client)
            self.sockets[client.sock.fileno()] = client
            self._hub.spawn(self._pump(client, client.sock))

    def shut(self, action: CloseDatagram) -> None:
        """Close a socket; datagrams on their way to it are lost."""
        client = self._table.pop(action.listener, None)
        self._hub.sendto.pop(action.listener, None)
        if client is not None and client.sock is not None:
            client.closed = True
            self.sockets.pop(client.sock.fileno(), None)
            wake(client.sock)

    def failed(self, action: SendDatagram, error: Exception) -> None:
        """Handle that ``sendto`` raised ``error``."""
        if not isinstance(error, BlockingIOError):
            self._tell(action.listener, error)

    def close(self) -> None:
        """Close all sockets at once."""
        for client in self._open:
            if client.sock is not None:
                client.sock.close()
        self._open.clear()
        self.sockets.clear()
        self._table.clear()

    def is_patient(self, fd: int) -> bool:
        """Whether ``fd`` is a module's socket: it may be read later while ``asked`` has nothing urgent."""
        client = self.sockets.get(fd)
        return client is not None and client.number <= FIRST and type(self.asked) is not _Unknown

    def read(self, client: _Client) -> bool:
        """Take the datagrams that ``client`` has; return False if the error of its socket was read, too."""
        hub, asked = self._hub, self.asked
        batch: list[tuple[bytes, Address]] = []
        # As many as answers are waited for: so hardly a read finds nothing.
        ended = client.receive(batch, min(asked.questions, BATCH) or 1)
        if batch:
            try:
                now = hub.clock()
                hub.perform(hub.driver.datagrams_received(client.number, batch, now), now)
            except Exception as error:
                hub.report(f"datagram from {client.address[0]}", error)
        if not ended or ended == EAGAIN:
            return True
        self._tell(client.number, OSError(ended, os.strerror(ended)))
        return False

    def _pump(self, client: _Client, sock: socket.socket) -> Pump:
        # Declared: of a plain tuple the compiled build makes another object each time.
        wait: Wait = (READ, sock, None)
        while True:
            yield wait
            if client.closed:
                break
            if not self.read(client):
                # libuv, and so uvloop, stops watching a socket that has had an error.
                yield (PAUSE, sock, 0.0)
        yield (PAUSE, sock, 0.0)
        sock.close()
        self._open.discard(client)

    def _tell(self, number: int, error: Exception) -> None:
        hub = self._hub
        reason = getattr(error, "strerror", None) or str(error)
        hub.later(hub.driver.send_failed, number, reason)


def _connected(address: Address) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.connect(address)
    except OSError:
        sock.close()
        raise
    return sock
