"""A blocking connection through filters."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from sansip.entropy import Entropy
from sansip.transport.websocket import WebSocket
from sansip.transport.websocket.client import WebSocketClient
from sansip_server.channel import Channel, ConnectionLost

PATIENCE = 10.0


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, two = socket.socketpair()
    with one, two:
        yield one, two


def test_plain(pair: tuple[socket.socket, socket.socket]) -> None:
    """Without filters it is the socket; the end of it is told."""
    channel = Channel(pair[0])
    channel.open(PATIENCE)
    assert not channel.boundary
    channel.send(b"OPTIONS", PATIENCE)
    assert pair[1].recv(100) == b"OPTIONS"
    pair[1].sendall(b"SIP/2.0")
    assert channel.receive(PATIENCE) == [b"SIP/2.0"]
    with pytest.raises(TimeoutError):
        channel.receive(0.001)
    pair[1].close()
    with pytest.raises(ConnectionLost, match="the server closed the connection"):
        channel.receive(PATIENCE)
    channel.close()


def test_through_a_websocket(pair: tuple[socket.socket, socket.socket]) -> None:
    """Handshake, messages with boundaries, and a goodbye that the other end understands."""
    near = Channel(pair[0], [WebSocketClient("sip.test", Entropy(b"0" * 16))])
    far = Channel(pair[1], [WebSocket()])
    opening = threading.Thread(target=far.open, args=(PATIENCE,))
    opening.start()
    near.open(PATIENCE)
    opening.join(PATIENCE)
    assert near.boundary
    near.send(b"one", PATIENCE)
    near.send(b"two", PATIENCE)
    received: list[bytes] = []
    while len(received) < 2:
        received += far.receive(PATIENCE)
    assert received == [b"one", b"two"]
    near.close()
    with pytest.raises(ConnectionLost, match="1001"):
        far.receive(PATIENCE)


def test_a_handshake_that_nobody_answers(pair: tuple[socket.socket, socket.socket]) -> None:
    """It is given up in time."""
    channel = Channel(pair[0], [WebSocketClient("sip.test", Entropy(b"0" * 16))])
    with pytest.raises(TimeoutError):
        channel.open(0.05)


def test_a_handshake_that_is_refused(pair: tuple[socket.socket, socket.socket]) -> None:
    """The reason of the filter is the reason of the loss."""
    pair[1].sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
    channel = Channel(pair[0], [WebSocketClient("sip.test", Entropy(b"0" * 16))])
    with pytest.raises(ConnectionLost, match="refused with 404 Not Found"):
        channel.open(PATIENCE)
