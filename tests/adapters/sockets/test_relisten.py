"""Listeners added and removed while the server runs, on every runtime: all of them, or none."""

from __future__ import annotations

import dataclasses
import socket

import pytest

from sansip.actions import CloseDatagram
from sansip_sockets import BindError, Relisten
from tests.adapters.fakes import FakeStack, Listen

HOST = "127.0.0.1"


def relisten(server, *listeners):
    """Have ``server`` serve ``listeners`` from now on; return them with their ports."""

    def change():
        prepared = Relisten(server.hub, listeners)
        prepared.take()
        return prepared.configs

    return server.call(change)


def now(server):
    """Return the configurations of what ``server`` has."""
    return [one.config for one in server.hub.listeners.values()]


def test_one_is_added_beside_the_others(start, connect):
    """A datagram and a connection are taken there at once; a connection that stands goes on."""
    server = start(stack := FakeStack(), Listen(0, "udp", HOST), Listen(1, "tcp", HOST))
    standing = connect(server.address(1))
    standing.send(b"before")
    assert standing.recv(100) == b"before"
    udp, tcp = relisten(server, *now(server), Listen(2, "udp", HOST), Listen(3, "tcp", HOST))[2:]
    peer = connect((HOST, udp.port), socket.SOCK_DGRAM)
    peer.send(b"new")
    assert peer.recv(100) == b"new"
    assert stack.expect("datagram")[0] == 2
    second = connect((HOST, tcp.port))
    second.send(b"there")
    assert second.recv(100) == b"there"
    standing.send(b"after")
    assert standing.recv(100) == b"after"


def test_one_is_removed_and_its_connections_go_on(start, connect):
    """The listener accepts no more connections.

    The server serves those that are open until the stack closes them.
    """
    server = start(FakeStack(), Listen(0, "udp", HOST), Listen(1, "tcp", HOST))
    place = server.address(1)
    standing = connect(place)
    standing.send(b"1")
    assert standing.recv(100) == b"1"
    relisten(server, now(server)[0])
    # Its pump closes the socket in a turn of its own.
    for _ in range(1_000):
        try:
            socket.create_connection(place, 1).close()
        except ConnectionRefusedError:
            break
    else:
        pytest.fail("connections are accepted still")
    standing.send(b"2")
    assert standing.recv(100) == b"2"


def test_a_datagram_socket_stays_until_the_stack_is_done(start, connect):
    """The calls that use the socket get their answers.

    ``CloseDatagram`` closes it, and its port is free then.
    """
    server = start(FakeStack(), Listen(0, "udp", HOST), Listen(1, "udp", HOST))
    place = server.address(1)
    peer = connect(place, socket.SOCK_DGRAM)
    relisten(server, now(server)[0])
    peer.send(b"retransmitted")
    assert peer.recv(100) == b"retransmitted"
    server.send(CloseDatagram(1))
    for _ in range(1_000):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
            try:
                again.bind(place)
                break
            except OSError:
                server.call(lambda: None)
    else:
        pytest.fail("the port is not free")
    assert [one.id for one in now(server)] == [0]


def test_a_port_that_is_taken_changes_nothing(start, connect):
    """The message names the listener and the fix; listeners opened beside it are closed again."""
    server = start(FakeStack(), Listen(0, "udp", HOST))
    before = now(server)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as other, socket.socket() as free:
        other.bind((HOST, 0))
        other.listen()
        free.bind((HOST, 0))
        port = free.getsockname()[1]
        free.close()
        wanted = [*before, Listen(1, "tcp", HOST, port), Listen(2, "tcp", HOST, other.getsockname()[1])]
        with pytest.raises(BindError, match="is in use by another program"):
            server.call(lambda: Relisten(server.hub, wanted))
        with socket.socket() as again:
            again.bind((HOST, port))
    assert now(server) == before
    peer = connect(server.address(), socket.SOCK_DGRAM)
    peer.send(b"still")
    assert peer.recv(100) == b"still"


def test_what_is_spoken_at_a_port_changes(start, connect):
    """The socket stays where its port does: a client that connects meanwhile is not refused."""
    server = start(stack := FakeStack(), Listen(0, "tcp", HOST))
    config = now(server)[0]
    place = server.address()
    relisten(server, dataclasses.replace(config, id=4))
    peer = connect(place)
    peer.send(b"x")
    assert peer.recv(100) == b"x"
    assert stack.expect("opened")[1].listener == 4
