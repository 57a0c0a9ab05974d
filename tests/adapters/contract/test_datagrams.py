"""The contract of every runtime: datagrams, and those that cannot leave."""

from __future__ import annotations

import socket
import sys
import threading

import pytest

from sansip.actions import SendDatagram
from tests.adapters.contract.peer import BOTH_FAMILIES
from tests.adapters.fakes import PATIENCE, FakeStack, Listen


@BOTH_FAMILIES
def test_datagrams_come_in_and_go_out(start, connect, host):
    """One datagram is one input with its source, and its answer comes from the listener's address."""
    server = start(stack := FakeStack(), Listen(7, "udp", host))
    peer = connect(server.address(), socket.SOCK_DGRAM)
    peer.send(b"hello")
    assert peer.recv(100) == b"hello"
    listener, data, source = stack.expect("datagram")
    assert (listener, data, source[:2]) == (7, b"hello", peer.getsockname()[:2])


def test_a_burst_is_answered_whole_and_in_order(start, connect):
    """More datagrams than one batch holds lose nothing and keep their order."""
    server = start(FakeStack(), Listen(0, "udp", "127.0.0.1"))
    peer = connect(server.address(), socket.SOCK_DGRAM)
    # All of it waits before the server looks, so that its turns are used up.
    blocked = threading.Event()
    server.hub.inbox.post(blocked.wait, PATIENCE)
    burst = [b"%d" % number for number in range(250)]
    for data in burst:
        peer.send(data)
    blocked.set()
    assert [peer.recv(100) for _ in burst] == burst


def test_the_largest_and_the_empty_datagram(start, connect):
    """RFC 768 allows both; neither is cut, neither ends the pump."""
    server = start(stack := FakeStack(), Listen(0, "udp", "127.0.0.1"))
    peer = connect(server.address(), socket.SOCK_DGRAM)
    for data in (b"", b"x" * 65507, b"end"):
        peer.send(data)
        assert stack.expect("datagram")[1] == data
        assert peer.recv(65535) == data


def test_an_exception_costs_its_own_datagram_only(start, connect):
    """A bug met by one datagram is reported, and its neighbours are answered."""
    stack = FakeStack()
    echo = stack.on_datagram

    def fail(listener, data, source):
        if data == b"bug":
            raise ZeroDivisionError
        return echo(listener, data, source)

    stack.on_datagram = fail
    server = start(stack, Listen(0, "udp", "127.0.0.1"))
    peer = connect(server.address(), socket.SOCK_DGRAM)
    for data in (b"1", b"bug", b"2"):
        peer.send(data)
    assert [peer.recv(100), peer.recv(100)] == [b"1", b"2"]
    [(_, error)] = server.reports
    assert isinstance(error, ZeroDivisionError)
    server.reports.clear()


@pytest.mark.skipif(sys.platform != "linux", reason="IP_RECVERR is Linux's")
@BOTH_FAMILIES
def test_a_dead_next_hop_is_known_at_once(start, connect, host):
    """RFC 3261 18.4: an ICMP "port unreachable" fails the send it is about, and no other."""
    server = start(stack := FakeStack(), Listen(3, "udp", host))
    with socket.socket(server.listeners[0].sock.family, socket.SOCK_DGRAM) as sock:
        sock.bind((host, 0))
        dead = sock.getsockname()
    peer = connect(server.address(), socket.SOCK_DGRAM)
    data = b"OPTIONS sip:nobody SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK%d\r\n" + b"X: y\r\n" * 500
    # Several transactions send there: the error is about one of them.
    server.send(SendDatagram(3, data % 1, peer.getsockname(), 6), SendDatagram(3, data % 2, dead, 7))
    assert peer.recv(10_000) == data % 1
    # Sent while the error of the other one is pending on the same socket.
    server.send(SendDatagram(3, b"fine", peer.getsockname()))
    assert stack.expect("send_failed") == (7, "Connection refused")
    assert peer.recv(100) == b"fine"
    peer.send(b"still here")
    assert peer.recv(100) == b"still here"
    assert stack.told("send_failed") == []


def test_a_datagram_that_cannot_leave_fails(start, connect):
    """Too long for UDP: the kernel says so, the stack hears it and may take TCP (RFC 3261 18.1.1)."""
    server = start(stack := FakeStack(), Listen(0, "udp", "127.0.0.1"))
    server.send(SendDatagram(0, b"x" * 70000, ("127.0.0.1", 9), 7))
    assert stack.expect("send_failed") == (7, "Message too long")


def test_an_impossible_action_is_reported_and_the_rest_done(start, connect):
    """An action that makes no sense is a bug above; the batch around it is performed."""
    server = start(stack := FakeStack(), Listen(0, "udp", "127.0.0.1"))
    peer = connect(server.address(), socket.SOCK_DGRAM)
    bad = SendDatagram(0, b"bad", ("127.0.0.1", 99999), 7)
    server.send(bad, SendDatagram(99, b"no listener", ("127.0.0.1", 9)))
    server.send(SendDatagram(0, b"good", peer.getsockname()))
    assert peer.recv(100) == b"good"
    assert stack.expect("send_failed")[0] == 7
    assert [type(error) for _, error in server.reports] == [OverflowError, KeyError]
    server.reports.clear()
