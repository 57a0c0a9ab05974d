"""The contract of every runtime: timers, and the time of day."""

from __future__ import annotations

import socket
import time

from sansip.actions import SendDatagram
from tests.adapters.fakes import FakeStack, Listen, bug


def test_timers_fire_in_order_and_never_early(start):
    """Deadlines given in any order fire in theirs; a later one does not hold up an earlier one."""
    server = start(stack := FakeStack(), Listen(0, "udp", "127.0.0.1"))

    def begin(*timers):
        now = server.hub.clock()
        stack.deadlines += [(now + after, name) for after, name in timers]
        server.hub.send([])

    server.call(lambda: begin((3600.0, "never")))
    server.call(lambda: begin((0.15, "third"), (0.05, "first"), (0.1, "second")))
    server.call(lambda: begin((0.0, "at once")))
    fired = [stack.expect("timer") for _ in range(4)]
    assert [name for name, _ in fired] == ["at once", "first", "second", "third"]
    assert all(late >= 0 for _, late in fired)


def test_a_timer_set_by_a_datagram(start, connect):
    """The heart sleeps without end; an input that starts a timer wakes it."""
    stack = FakeStack()
    peers = []

    def remind(listener, data, source):
        peers.append(source)
        stack.deadlines.append((server.hub.clock() + 0.02, data))
        return []

    stack.on_datagram = remind
    stack.on_timer = lambda name: [SendDatagram(0, name, peers[0])]
    server = start(stack, Listen(0, "udp", "127.0.0.1"))
    peer = connect(server.address(), socket.SOCK_DGRAM)
    peer.send(b"remind me")
    assert peer.recv(100) == b"remind me"


def test_an_exception_of_a_timer_is_contained(start):
    """The next timer fires all the same."""
    stack = FakeStack()
    stack.on_timer = lambda name: bug() if name == "bug" else []
    server = start(stack, Listen(0, "udp", "127.0.0.1"))

    def begin():
        now = server.hub.clock()
        stack.deadlines += [(now, "bug"), (now, "fine")]
        server.hub.send([])

    server.call(begin)
    assert [stack.expect("timer")[0] for _ in range(2)] == ["bug", "fine"]
    assert [type(error) for _, error in server.reports] == [ZeroDivisionError]
    server.reports.clear()


def test_a_stack_that_cannot_tell_its_deadline_is_asked_again(start, connect):
    """Even then, everything but the timers goes on, and they do when it can."""
    stack = FakeStack()
    server = start(stack, Listen(0, "udp", "127.0.0.1"))
    working = stack.next_deadline
    server.call(lambda: setattr(stack, "next_deadline", bug))
    peer = connect(server.address(), socket.SOCK_DGRAM)
    peer.send(b"hello")
    assert peer.recv(100) == b"hello"
    stack.deadlines = [(0.0, "late")]
    setattr(stack, "next_deadline", working)  # noqa: B010 - mypy forbids the plain assignment
    assert stack.expect("timer")[0] == "late"
    assert {type(error) for _, error in server.reports} == {ZeroDivisionError}
    server.reports.clear()


def test_the_stack_learns_the_time_of_day(start):
    """``now + wall_offset`` is Unix time, for the Date header (RFC 3261 20.17)."""
    server = start(stack := FakeStack(), Listen(0, "udp", "127.0.0.1"))
    assert abs(server.hub.clock() + stack.wall_offset - time.time()) < 1.0
