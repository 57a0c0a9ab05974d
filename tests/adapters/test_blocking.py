"""The parts that only the blocking adapter has: turns, and datagrams that it waits for in ``recvfrom``."""

from __future__ import annotations

import socket
import threading
import time

import pytest

import sansip_blocking
from sansip.actions import Ask, Notify, SendData, SendDatagram
from sansip_blocking.receiver import BRISK, LOOK
from sansip_blocking.several import TOGETHER
from sansip_sockets import BindError, ControlSocket, bind, handler
from sansip_sockets.gathering import SPAN, VAIN
from sansip_sockets.hub import SLACK
from tests.adapters.fakes import PATIENCE, FakeStack, Listen, Question

UDP = Listen(0, "udp", "127.0.0.1")
TCP = Listen(1, "tcp", "127.0.0.1")


def peer(server: sansip_blocking.Server, number: int = 0) -> socket.socket:
    """Return a UDP socket whose peer is a listener of ``server``."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(PATIENCE)
    sock.connect(server.listeners[number].address)
    return sock


def test_turns_beside_other_work():
    """A program with a loop of its own serves between two steps of it, in one thread."""
    with sansip_blocking.Server(lambda listeners: FakeStack(), [UDP]) as server, peer(server) as sock:
        for number in range(10):
            sock.send(b"%d" % number)
            server.turn()
            assert sock.recv(100) == b"%d" % number
        # Nothing came: it is back in time.
        server.turn(0.0)
    assert server.listeners[0].sock.fileno() == -1
    server.turn()
    server.stop()


def serve_brisk(server: sansip_blocking.Server, sock: socket.socket, count: int) -> list[bytes]:
    """Have ``count`` datagrams wait, serve them in turns as if they came one behind the other."""
    for number in range(count):
        sock.send(b"%d" % number)
    answers: list[bytes] = []
    sock.setblocking(False)
    while len(answers) < count:
        server._brisk = True
        server.turn()
        for _ in range(count):
            try:
                answers.append(sock.recv(100))
            except BlockingIOError:
                break
    return answers


def test_datagrams_one_behind_the_other():
    """They are read where they are waited for; none is lost, and none overtakes."""
    seen: list[bool] = []
    stack = FakeStack()
    echo = stack.on_datagram
    with sansip_blocking.Server(lambda listeners: stack, [UDP]) as server, peer(server) as sock:

        def note(listener, data, source):
            seen.append(server.listeners[0].sock.getblocking())
            return echo(listener, data, source)

        stack.on_datagram = note
        count = 4 * LOOK
        assert serve_brisk(server, sock, count) == [b"%d" % number for number in range(count)]
        # Some of them by the one way, some by the other: both are in use.
        assert seen.count(True) >= LOOK


@pytest.mark.parametrize("awaited", [0, 1], ids=["alone", "beside another socket"])
def test_datagrams_that_are_gathered(monkeypatch, awaited):
    """They are served together; none is lost, none overtakes, and one that comes alone is not forgotten."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    with (
        sansip_blocking.Server(lambda listeners: FakeStack(), [UDP], gather=SPAN) as server,
        peer(server) as sock,
    ):
        # An answer that is waited for has the server wait for several sockets.
        server.hub.awaited = awaited
        server.hub.gathering.pause = SPAN
        count = 3 * TOGETHER + 5
        assert serve_brisk(server, sock, count) == [b"%d" % number for number in range(count)]
        # One pause serves many.
        assert 1 <= slept.count(SPAN) < count // 4
        server.hub.gathering.pause = SPAN
        assert serve_brisk(server, sock, 1) == [b"0"]
        server.hub.gathering.pause = SPAN
        for _ in range(VAIN + 1):
            # None comes any more, and something else keeps the server brisk.
            server._brisk = True
            server.turn(2 * BRISK)
        assert not server.hub.gathering.pause


@pytest.mark.parametrize("crowd", ["connection", "two listeners"])
def test_what_cannot_wait_is_not_kept_waiting(crowd):
    """A connection, another listener: all are waited for alike."""
    stack = FakeStack()
    listeners = [UDP, Listen(1, "udp", "127.0.0.1")] if crowd == "two listeners" else [UDP, TCP]
    blocking: list[bool] = []
    echo = stack.on_datagram
    with sansip_blocking.Server(lambda listeners: stack, listeners) as server:

        def note(listener, data, source):
            blocking.append(server.listeners[0].sock.getblocking())
            return echo(listener, data, source)

        stack.on_datagram = note
        with peer(server) as sock:
            assert serve_brisk(server, sock, 3) == [b"0", b"1", b"2"]
        assert not any(blocking)


def test_an_answer_that_may_wait():
    """A store writes for longer than ``recvfrom`` waits: meanwhile datagrams are read where they come."""
    stack, released = FakeStack(), threading.Event()
    blocking: list[bool] = []
    slow = handler(patient=True)(lambda question: released.wait(PATIENCE))
    with sansip_blocking.Server(lambda listeners: stack, [UDP], handlers={Question: slow}) as server:
        echo = stack.on_datagram

        def note(listener, data, source):
            blocking.append(server.listeners[0].sock.getblocking() and not server._jobs.running)
            return echo(listener, data, source)

        stack.on_datagram = note
        server.turn(0.0)
        server.send([Ask(1, Question("slow"))])
        with peer(server) as sock:
            serve_brisk(server, sock, LOOK)
            assert any(blocking)
            released.set()
            until = time.monotonic() + PATIENCE
            while not (answers := stack.told("answer")) and time.monotonic() < until:
                server.turn(0.01)
            assert answers == [(1, True)]


def test_a_timer_that_is_due(monkeypatch):
    """Timers are at most 25 ms late on every runtime: what ``recvfrom`` waits is a part of that."""
    assert SLACK + BRISK <= 0.025
    with sansip_blocking.Server(lambda listeners: FakeStack(), [UDP]) as server, peer(server) as sock:
        sock.send(b"1")
        now = server.hub.clock()
        monkeypatch.setattr(server._waiter, "deadline", lambda: now)
        assert server._receiver.serve() is False
        monkeypatch.setattr(server._waiter, "deadline", lambda: server.hub.clock() + 60.0)
        assert server._receiver.serve() is True
        assert sock.recv(100) == b"1"


def test_a_control_socket_may_wait(tmp_path):
    """`sansip serve` has one always: an operator's question waits for milliseconds, calls do not."""
    stack = FakeStack()
    blocking: list[bool] = []
    echo = stack.on_datagram
    control = ControlSocket(tmp_path / "ctl")
    with sansip_blocking.Server(lambda listeners: stack, [UDP]) as server, peer(server) as sock:

        def note(listener, data, source):
            blocking.append(server.listeners[0].sock.getblocking())
            return echo(listener, data, source)

        stack.on_datagram = note
        control.start(server.hub, lambda line: (part for part in [b"answer\n"]))
        serve_brisk(server, sock, LOOK)
        assert any(blocking)
        with socket.socket(socket.AF_UNIX) as operator:
            operator.settimeout(PATIENCE)
            operator.connect(str(tmp_path / "ctl"))
            operator.send(b"question\n")
            operator.setblocking(False)
            answer = b""
            while not answer:
                server._brisk = True
                server.turn(0.1)
                try:
                    answer = operator.recv(100)
                except BlockingIOError:
                    continue
            assert answer == b"answer\n"
            # While an operator is connected, everything is waited for alike.
            blocking.clear()
            serve_brisk(server, sock, 3)
            assert not any(blocking)
    control.close()


def test_a_bug_costs_its_own_datagram_only():
    """Also where they are read one by one."""
    reports: list[BaseException | None] = []
    stack = FakeStack()
    echo = stack.on_datagram

    def fail(listener, data, source):
        if data == b"1":
            raise ZeroDivisionError
        return echo(listener, data, source)

    stack.on_datagram = fail
    with (
        sansip_blocking.Server(
            lambda listeners: stack, [UDP], report=lambda text, error: reports.append(error)
        ) as server,
        peer(server) as sock,
    ):
        for number in range(3):
            sock.send(b"%d" % number)
        for _ in range(4):
            server._brisk = True
            server.turn(0.1)
        assert [sock.recv(100), sock.recv(100)] == [b"0", b"2"]
    assert [type(error) for error in reports] == [ZeroDivisionError]


def test_drain_and_stop_from_inside():
    """A watcher of events stops the server; the caller of a drain hears that it did not finish."""
    stack = FakeStack()
    stack.idle = False
    with sansip_blocking.Server(lambda listeners: stack, [UDP], notify=lambda event: server.stop()) as server:
        assert server.drain(0.0) is False
        stack.on_datagram = lambda listener, data, source: [
            Notify("stop"),
            SendDatagram(listener, b"bye", source),
        ]
        with peer(server) as sock:
            sock.send(b"stop")
            server.serve_forever()
            assert sock.recv(100) == b"bye"
        with pytest.raises(RuntimeError, match="stopped"):
            server._serve_until([])


def test_a_route_must_not_wait():
    """Serving within a callback of the server would enter a pump that runs."""
    stack = FakeStack()
    reports: list[BaseException | None] = []
    stack.on_data = lambda conn, data: [Notify("wait"), SendData(conn, b"went on")]
    with sansip_blocking.Server(
        lambda listeners: stack,
        [TCP],
        notify=lambda event: server.turn(),
        report=lambda text, error: reports.append(error),
    ) as server:
        with socket.create_connection(server.listeners[0].address) as sock:
            sock.send(b"x")
            sock.settimeout(0.0)
            answer = b""
            while not answer:
                server.turn(0.1)
                try:
                    answer = sock.recv(100)
                except BlockingIOError:
                    continue
        assert answer == b"went on"
    assert [str(error) for error in reports] == [
        "turn, drain and act wait; a route or a watcher of events must not"
    ]


def test_an_async_handler_is_refused():
    """There is no loop for it; nothing is left open."""

    async def handler(question): ...

    with pytest.raises(TypeError, match="use a plain function"):
        sansip_blocking.Server(lambda listeners: FakeStack(), [UDP], handlers={Question: handler})


def test_a_port_in_use():
    """It is raised as it is."""
    with bind(UDP).sock as taken, pytest.raises(BindError, match="in use"):
        sansip_blocking.Server(FakeStack, [Listen(0, "udp", "127.0.0.1", taken.getsockname()[1])])
