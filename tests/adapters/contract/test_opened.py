"""The contract of every runtime: connections that are opened, and those that never stand."""

from __future__ import annotations

import socket
import time

import pytest

from sansip.actions import Connect, Disconnect, SendData
from sansip.limits import Limits
from tests.adapters.contract.peer import read_all
from tests.adapters.fakes import PATIENCE, FakeStack, Listen


@pytest.fixture
def target():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        sock.settimeout(PATIENCE)
        yield sock


def test_connect_from_the_listeners_address(start, target):
    """Octets sent before the connection stands wait for it; peers see the listener's address."""
    server = start(stack := FakeStack(), Listen(4, "tcp", "127.0.0.2"))
    address = target.getsockname()
    server.send(Connect(9, "tcp", address, 4), SendData(9, b"early "), SendData(9, b"bird"))
    peer, source = target.accept()
    with peer:
        assert source[0] == "127.0.0.2"
        conn, info = stack.expect("opened")
        assert (conn, info.listener, info.transport, info.incoming) == (9, 4, "tcp", False)
        assert (info.remote, info.local) == (address, source)
        assert read_all(peer, 10) == b"early bird"
        peer.send(b"hello")
        assert read_all(peer, 5) == b"hello"
    assert stack.expect("closed") == (9, "closed by the peer")


def test_more_than_the_kernel_takes_waits_for_the_connection(start, target):
    """A NOTIFY of a large list opens its connection: its end was never written, and no timer saw that."""
    octets = b"x" * 3_000_000
    server = start(FakeStack(), Listen(0, "tcp", "127.0.0.1"), limits=Limits(connection_backlog=4_000_000))
    server.send(Connect(9, "tcp", target.getsockname(), 0), SendData(9, octets))
    peer, _ = target.accept()
    with peer:
        peer.settimeout(PATIENCE)
        assert read_all(peer, len(octets)) == octets


def test_connect_refused(start, target):
    """Without a listener the stack hears the reason, and can try the next address."""
    server = start(stack := FakeStack(), Listen(0, "tcp", "127.0.0.1"))
    address = target.getsockname()
    target.close()
    server.send(Connect(9, "tcp", address, 0), SendData(9, b"lost"))
    assert stack.expect("closed") == (9, "Connection refused")
    assert stack.told("opened") == []


def test_connect_that_nobody_answers(start):
    """limits.connect_time: a full accept queue swallows the request to connect."""
    limits = Limits(connect_time=0.2)
    server = start(stack := FakeStack(), Listen(0, "tcp", "127.0.0.1"), limits=limits)
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        server.send(Connect(9, "tcp", full.getsockname(), 0))
        assert stack.expect("closed") == (9, "not established in 0.2 s (limits.connect_time)")


def test_disconnect_while_connecting(start):
    """The stack changes its mind: it is told the end, and nothing is left behind."""
    server = start(stack := FakeStack(), Listen(0, "tcp", "127.0.0.1"))
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        server.send(Connect(9, "tcp", full.getsockname(), 0), SendData(9, b"x"), Disconnect(9, "no more"))
        assert stack.expect("closed") == (9, "no more")
        end = time.monotonic() + PATIENCE
        while server.call(lambda: len(server.hub.streams)):
            assert time.monotonic() < end


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        (Connect(9, "pigeon", ("127.0.0.1", 1), 0), "transport pigeon is not available here"),
        (Connect(9, "tcp", ("no address", 1), 0), None),
        (Connect(9, "tcp", ("127.0.0.1", 1), 77), None),
    ],
)
def test_connect_that_cannot_begin(start, action, reason):
    """It fails like any other connection: by ``connection_closed``."""
    server = start(stack := FakeStack(), Listen(0, "tcp", "127.0.0.1"))
    server.send(action)
    conn, told = stack.expect("closed")
    assert conn == 9
    assert reason in (told, None)
