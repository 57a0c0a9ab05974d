"""The contract of every runtime: the drain, and the end."""

from __future__ import annotations

import dataclasses
import socket
from concurrent.futures import Future

from sansip.actions import SendDatagram
from tests.adapters.contract.peer import read_all
from tests.adapters.fakes import PATIENCE, FakeStack, Listen


def test_stop_closes_everything(start, connect):
    """Peers see the end, and the addresses can be bound again at once."""
    server = start(stack := FakeStack(), Listen(0, "udp", "127.0.0.1"), Listen(1, "tcp", "127.0.0.1"))
    peer = connect(server.address(1))
    stack.expect("opened")
    addresses = [server.address(0), server.address(1)]
    server.stop()
    assert read_all(peer) == b""
    again = [
        dataclasses.replace(Listen(0, "udp", "127.0.0.1"), port=addresses[0][1]),
        dataclasses.replace(Listen(1, "tcp", "127.0.0.1"), port=addresses[1][1]),
    ]
    server = start(lambda listeners: FakeStack(), *again)
    assert [server.address(0), server.address(1)] == addresses


def test_drain_waits_until_the_stack_is_idle(start, connect):
    """The stack hears it, goes on serving, and says when it has finished."""
    stack = FakeStack()
    stack.idle = False
    server = start(stack, Listen(0, "udp", "127.0.0.1"))
    peer = connect(server.address(), socket.SOCK_DGRAM)
    assert server.drain(0.0) is False
    stack.expect("drain")

    def finish(listener, data, source):
        stack.idle = True
        return [SendDatagram(listener, b"finished", source)]

    stack.on_datagram = finish
    peer.send(b"BYE")
    assert server.drain(PATIENCE) is True
    assert peer.recv(100) == b"finished"


def test_stop_ends_a_drain(start):
    """The caller that waits for the drain learns that it did not finish."""
    stack = FakeStack()
    stack.idle = False
    server = start(stack, Listen(0, "udp", "127.0.0.1"))
    outcome: Future[bool] = Future()
    server.call(lambda: server.hub.drain(3600.0, outcome.set_result))
    assert not outcome.done()
    server.stop()
    assert outcome.result(PATIENCE) is False
