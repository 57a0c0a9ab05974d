"""The links between hosts of the virtual network, and the connections over them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from sansip.testing.endpoint import Endpoint

__all__ = ["Carrier", "Link", "Pipe"]


@dataclass(slots=True)
class Link:
    """One direction between two hosts.

    Attributes:
        latency: seconds that a packet travels.
        jitter: seconds more, drawn evenly; packets may overtake each other.
        loss: share of datagrams lost, 0 to 1.
        drop_next: how many of the next datagrams are lost.
        duplicate_next: how many of the next datagrams arrive twice.
        is_down: nothing passes; connections break and cannot be opened.
    """

    latency: float = 0.0
    jitter: float = 0.0
    loss: float = 0.0
    drop_next: int = 0
    duplicate_next: int = 0
    is_down: bool = False


class Carrier(Protocol):
    """The network that a connection is part of (``sansip.testing.network.Network``)."""

    now: float

    def at(self, time: float, function: Callable[[], None]) -> None: ...
    def link(self, source: str, destination: str) -> Link: ...


class ServerEnd(Protocol):
    """The server's end of a connection (``sansip.testing.server.Server``)."""

    def data(self, conn: int, data: bytes) -> None: ...
    def closed(self, conn: int, reason: str) -> None: ...


@dataclass(eq=False)
class Pipe:
    """One connection between a server and an endpoint."""

    network: Carrier
    server: ServerEnd
    conn: int
    endpoint: Endpoint
    transport: str
    server_address: tuple[str, int]
    is_open: bool = True

    def send(self, sender: object, data: bytes) -> None:
        """Carry ``data`` to the other end, in order."""
        if not self.is_open:
            return
        network = self.network
        if sender is self.server:
            link = network.link(self.server_address[0], self.endpoint.host)
            network.at(network.now + link.latency, lambda: self.endpoint.data(self, data))
        else:
            link = network.link(self.endpoint.host, self.server_address[0])
            network.at(network.now + link.latency, lambda: self.server.data(self.conn, data))

    def close(self, closer: object, reason: str) -> None:
        """End the connection; the other end hears of it after the latency."""
        if not self.is_open:
            return
        self.is_open = False
        network = self.network
        if closer is self.server:
            link = network.link(self.server_address[0], self.endpoint.host)
            network.at(network.now + link.latency, lambda: self.endpoint.closed(self, reason))
        else:
            link = network.link(self.endpoint.host, self.server_address[0])
            network.at(network.now + link.latency, lambda: self.server.closed(self.conn, reason))
