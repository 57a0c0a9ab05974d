"""The blocking adapter beside sockets of modules: all datagrams are read as soon as they come."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import sansip_blocking
from sansip.actions import Action, Ask, CloseDatagram, OpenDatagram, SendDatagram
from sansip.clock import Timers
from sansip.limits import Limits
from sansip.module.sockets import FIRST, Sockets
from sansip_blocking.receiver import LOOK
from sansip_sockets import READ
from sansip_sockets.waits import Pump, Wait
from tests.adapters.fakes import PATIENCE, FakeStack, Question
from tests.adapters.test_blocking import TCP, UDP, peer

pytestmark = pytest.mark.skipif(not hasattr(select, "epoll"), reason="where there is no epoll nothing is new")
RELAY = -7


@pytest.fixture
def relay() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(PATIENCE)
        yield sock


def asking(at: Any) -> FakeStack:
    """A stack that asks the relay for each datagram, and answers with what that says."""
    stack = FakeStack()
    sources: list[Any] = []

    def on_datagram(listener: int, data: bytes, source: Any) -> list[Action]:
        if listener == RELAY:
            return [SendDatagram(0, data, sources.pop(0))]
        sources.append(source)
        return [SendDatagram(RELAY, data, at, RELAY)]

    stack.on_datagram = on_datagram
    return stack


def turned(server: sansip_blocking.Server, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count from now on the pumps that the selector resumes."""
    counted: list[int] = []
    real: Callable[[float], None] = server._waiter.turn

    def turn(seconds: float) -> None:
        before = server._waiter._selector.select(0)
        counted.append(len(before))
        real(seconds)

    monkeypatch.setattr(server._waiter, "turn", turn)
    return counted


def brisk(server: sansip_blocking.Server, seconds: float = 0.0) -> None:
    """One turn, as if datagrams came one behind the other."""
    server._brisk = True
    server.turn(seconds or 3_600.0)


def test_calls_with_a_relay(relay: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each datagram, of a phone or of the relay, is read without the turn of the loop."""
    at = relay.getsockname()
    with sansip_blocking.Server(lambda listeners: asking(at), [UDP]) as server, peer(server) as phone:
        server.send([OpenDatagram(RELAY, at)])
        resumed = turned(server, monkeypatch)
        for number in range(3 * LOOK):
            phone.send(b"%d" % number)
            brisk(server)
            data, back = relay.recvfrom(100)
            relay.sendto(data, back)
            brisk(server)
            assert phone.recv(100) == b"%d" % number
        assert sum(resumed) == 0
        # A socket that is closed is let go, and the listener has the quickest way again.
        server.send([CloseDatagram(RELAY)])
        server.turn(0.1)
        assert not server.hub.clients.sockets
        assert len(server.hub.clients) == 0


def test_a_relay_that_is_gone(relay: socket.socket) -> None:
    """RFC 1122 4.1.3.3: the error of its socket is told to the stack."""
    at = relay.getsockname()
    stack = asking(at)
    with sansip_blocking.Server(lambda listeners: stack, [UDP]) as server, peer(server) as phone:
        server.send([OpenDatagram(RELAY, at)])
        relay.close()
        phone.send(b"1")
        until = time.monotonic() + PATIENCE
        while not (failed := stack.told("send_failed")) and time.monotonic() < until:
            brisk(server, 0.01)
        assert failed
        assert failed[0][0] == RELAY


def test_beside_a_connection(relay: socket.socket) -> None:
    """What is neither the listener nor a module's socket has its turn at once."""
    at = relay.getsockname()
    with sansip_blocking.Server(lambda listeners: asking(at), [UDP, TCP]) as server, peer(server) as phone:
        server.send([OpenDatagram(RELAY, at)])
        with socket.create_connection(server.listeners[1].address) as caller:
            caller.settimeout(PATIENCE)
            caller.send(b"hello")
            phone.send(b"1")
            caller.setblocking(False)
            heard = b""
            until = time.monotonic() + PATIENCE
            while heard != b"hello" and time.monotonic() < until:
                brisk(server, 0.01)
                try:
                    heard = caller.recv(100)
                except BlockingIOError:
                    continue
            assert heard == b"hello"
            assert relay.recv(100) == b"1"


def test_beside_a_worker_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a store writes, datagrams are served as quickly, and what it answers waits for none of them."""
    stack, released = FakeStack(), threading.Event()
    handlers = {Question: lambda question: released.wait(PATIENCE)}
    with sansip_blocking.Server(lambda listeners: stack, [UDP], handlers=handlers) as server:
        server.turn(0.0)
        server.send([Ask(1, Question("slow"))])
        resumed = turned(server, monkeypatch)
        with peer(server) as phone:
            for number in range(2 * LOOK):
                phone.send(b"%d" % number)
                brisk(server)
                assert phone.recv(100) == b"%d" % number
        assert stack.told("answer") == []
        released.set()
        until = time.monotonic() + PATIENCE
        while not server.hub.inbox.signalled and time.monotonic() < until:
            time.sleep(0.001)
        brisk(server)
        assert stack.told("answer") == [(1, True)]
        assert sum(resumed) == 0


def test_what_is_posted_may_stop_the_server() -> None:
    """A signal, or another thread, ends it between two datagrams."""
    with sansip_blocking.Server(lambda listeners: FakeStack(), [UDP, TCP]) as server, peer(server) as phone:
        phone.send(b"1")
        server.hub.inbox.post(server.stop)
        brisk(server)
        brisk(server)
        assert server.is_stopping
        assert server.listeners[0].sock.fileno() == -1


def test_beside_a_peer_that_only_answers() -> None:
    """The server watches the socket of Redis only while it awaits an answer, and then reads it at once."""
    stack, heard = FakeStack(), []
    ours, redis = socket.socketpair()
    ours.setblocking(False)
    with ours, redis, sansip_blocking.Server(lambda listeners: stack, [UDP]) as server, peer(server) as phone:

        def pump() -> Pump:
            wait: Wait = (READ, ours, None)
            while True:
                yield wait
                heard.append(ours.recv(100))
                server.hub.awaited -= 1

        echo = stack.on_datagram
        blocking: list[bool] = []

        def on_datagram(listener: int, data: bytes, source: Any) -> list[Action]:
            blocking.append(server.listeners[0].sock.getblocking())
            if data == b"ask":
                server.hub.awaited += 1
                redis.send(b"answer")
            return echo(listener, data, source)

        stack.on_datagram = on_datagram
        server.hub.quiet.add(ours.fileno())
        server.hub.spawn(pump())
        server.turn(0.0)
        for data in (b"1", b"ask", b"2"):
            phone.send(data)
        brisk(server)
        assert [phone.recv(100) for _ in range(3)] == [b"1", b"ask", b"2"]
        assert heard == [b"answer"]
        assert server.hub.awaited == 0
        # Each of them was waited for in a read of the listener itself.
        assert all(blocking)


def test_what_ends_a_turn_may_ask_for_its_end() -> None:
    """The questions of a turn leave with it; they waited for the next datagram, a lone one for 270 ms."""
    told: list[int] = []
    with sansip_blocking.Server(lambda listeners: FakeStack(), [UDP]) as server:
        hub = server.hub
        hub.at_end(lambda: hub.at_end(lambda: told.append(1)))
        hub.perform([], hub.clock())
        assert told == [1]


def test_a_relay_whose_answer_nobody_waits_for(relay: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deletion: the listener is read as if there was no relay, and the answers are read in one look."""
    at, number = relay.getsockname(), FIRST
    stack = asking(at)
    # What the module waits for.
    counts = stack.sockets = Sockets(Timers(), Limits(), [], lambda: 1)  # type: ignore[attr-defined]  # as a stack has
    blocking: list[bool] = []

    def on_datagram(listener: int, data: bytes, source: Any) -> list[Action]:
        if listener == number:
            counts.questions -= 1
            if data != b"deleted":
                return [SendDatagram(0, data, phone.getsockname())]
            counts.patient -= 1
            return []
        blocking.append(server.listeners[0].sock.getblocking())
        counts.questions += 1
        counts.patient += data != b"offer"
        return [SendDatagram(number, b"deleted" if data != b"offer" else data, at, number)]

    stack.on_datagram = on_datagram
    with sansip_blocking.Server(lambda listeners: stack, [UDP]) as server, peer(server) as phone:
        server.send([OpenDatagram(number, at)])
        for data in (b"delete", b"delete", b"delete"):
            phone.send(data)
        brisk(server)
        for _ in range(3):
            data, back = relay.recvfrom(100)
            relay.sendto(data, back)
        # They are there, and the listener is served before them, in its own read.
        phone.send(b"delete")
        brisk(server)
        assert blocking == [True] * 4
        reads: list[int] = []
        (client,) = server.hub.clients.sockets.values()
        real = client.receive

        def receive(batch: list[tuple[bytes, Any]], most: int) -> int:
            reads.append(1)
            return real(batch, most)

        client.receive = receive
        data, back = relay.recvfrom(100)
        relay.sendto(data, back)
        # An offer is waited for: all answers come in the same look.
        phone.send(b"offer")
        brisk(server)
        data, back = relay.recvfrom(100)
        relay.sendto(data, back)
        brisk(server)
        assert phone.recv(100) == b"offer"
        assert (counts.questions, counts.patient) == (0, 0)
        assert len(reads) <= 2


def test_a_module_s_socket_of_a_stack_that_tells_nothing(relay: socket.socket) -> None:
    """It is waited for as ever: the stack of an embedding program may have no such count."""
    at = relay.getsockname()
    with sansip_blocking.Server(lambda listeners: asking(at), [UDP]) as server:
        server.send([OpenDatagram(RELAY, at)])
        fd = next(iter(server.hub.clients.sockets))
        assert not server.hub.clients.is_patient(fd)
        assert not server.hub.clients.is_patient(-1)
