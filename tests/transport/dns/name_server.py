"""A name server on loopback: the zone of the tests behind real sockets, in a thread."""

from __future__ import annotations

import socket
import threading
from typing import Any

from tests.transport.dns.zone import Server, Zone

# Seconds after which a thread that does not end is a failure.
PATIENCE = 10.0


def same_port() -> tuple[socket.socket, socket.socket]:
    """A UDP and a listening TCP socket with one port, whatever others are doing meanwhile."""
    while True:
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("127.0.0.1", 0))
        try:
            return udp, socket.create_server(udp.getsockname())
        except OSError:
            udp.close()


class NameServer:
    """A zone behind a UDP and a TCP socket with the same port."""

    def __init__(self, zone: Zone) -> None:
        self.server = Server(zone)
        self.sources: list[Any] = []
        self._udp, self._tcp = same_port()
        self.address = self._udp.getsockname()
        parts = (self._datagrams, self._streams)
        self._threads = [threading.Thread(target=part, daemon=True) for part in parts]
        for thread in self._threads:
            thread.start()

    def _datagrams(self) -> None:
        while True:
            data, source = self._udp.recvfrom(65_535)
            if not data:
                return
            self.sources.append(source)
            wire = self.server.answer(data, True)
            if wire is not None:
                self._udp.sendto(wire, source)

    def _streams(self) -> None:
        while True:
            peer, _ = self._tcp.accept()
            with peer:
                head = peer.recv(2)
                if not head:
                    return
                data = peer.recv(int.from_bytes(head, "big"), socket.MSG_WAITALL)
                wire = self.server.answer(data, False)
                if wire is not None:
                    peer.sendall(len(wire).to_bytes(2, "big") + wire)

    def close(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"", self.address)
        socket.create_connection(self.address).close()
        for thread in self._threads:
            thread.join(PATIENCE)
        self._udp.close()
        self._tcp.close()
