"""Pumps resumed by hand: what no loopback socket can be made to do on demand.

Theory of operation: a pump is a generator, so a test can be its runtime. The
socket is a real one with one method replaced.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from sansip.actions import Reading, SendData, SendDatagram
from sansip.driver import Driver
from sansip_sockets import PAUSE, READ, WRITE, BoundListener, Hub, Pump, bind
from sansip_sockets.datagrams import BATCH, QUEUE, ROUNDS, SLICE, DatagramSocket
from tests.adapters.fakes import FakeStack, Listen


class Stubborn(socket.socket):
    """Fails with the errors it is given, then works."""

    errors: list[int]
    calls = 0

    def _fail(self) -> None:
        self.calls += 1
        if self.errors:
            number = self.errors.pop(0)
            raise OSError(number, os.strerror(number))

    def accept(self):
        self._fail()
        return super().accept()

    def sendto(self, *args):
        self._fail()
        return super().sendto(*args)

    def recvfrom(self, *args):
        self._fail()
        return super().recvfrom(*args)


def stubborn(listener: BoundListener) -> BoundListener:
    sock = listener.sock
    listener.sock = Stubborn(sock.family, sock.type, sock.proto, sock.detach())
    listener.sock.setblocking(False)
    listener.sock.errors = []
    return listener


class Bench:
    """A hub whose pumps are started and resumed by the test."""

    def __init__(self, *listeners: Listen) -> None:
        self.stack = FakeStack()
        self.reports: list[tuple[str, BaseException | None]] = []
        self.pumps: list[Pump] = []
        bound = [stubborn(bind(one)) for one in listeners]
        self.hub = Hub(
            Driver(self.stack),
            bound,
            self.pumps.append,
            report=lambda text, error: self.reports.append((text, error)),
        )
        self.hub.start()
        self.sock: Any = bound[0].sock

    def turn(self) -> None:
        """The work of the heart when the inbox is readable."""
        for function, args in self.hub.inbox.take():
            function(*args)


@pytest.fixture
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    made = Bench(Listen(0, request.param, "127.0.0.1"))
    yield made
    made.hub.close()


udp = pytest.mark.parametrize("bench", ["udp"], indirect=True)
tcp = pytest.mark.parametrize("bench", ["tcp"], indirect=True)


@tcp
def test_accept_pauses_when_descriptors_run_out(bench):
    """EMFILE leaves the connection in the kernel's queue: without a pause the pump would spin."""
    pump = bench.pumps[0]
    assert next(pump)[0] == READ
    bench.sock.errors = [errno.EMFILE, errno.EMFILE]
    with socket.create_connection(bench.sock.getsockname()):
        for _ in range(2):
            assert pump.send(True) == (PAUSE, bench.sock, 0.1)
            assert pump.send(False)[0] == READ
        # Reported once, not ten times a second.
        [(text, _)] = bench.reports
        assert "no connection is accepted until there is room" in text
        assert pump.send(True)[0] == READ
        bench.stack.expect("opened")


@tcp
def test_accept_passes_over_a_connection_that_is_gone(bench):
    """accept(2): errors of the new connection are no errors of the listener."""
    pump = bench.pumps[0]
    next(pump)
    bench.sock.errors = [errno.ECONNABORTED, errno.EPROTO]
    with socket.create_connection(bench.sock.getsockname()):
        assert pump.send(True)[0] == READ
        bench.stack.expect("opened")
    assert bench.reports == []


@udp
def test_datagrams_wait_while_the_send_buffer_is_full(bench):
    """EAGAIN queues, in order, without asking the kernel for each; writable flushes."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))
        peer.settimeout(5)
        bench.sock.errors = [errno.EAGAIN]
        address = peer.getsockname()
        bench.hub.send([SendDatagram(0, b"%d" % number, address) for number in range(5)])
        assert bench.sock.calls == 1
        flush = bench.pumps[-1]
        assert next(flush)[0] == WRITE
        bench.sock.errors = [errno.EAGAIN]
        assert flush.send(True)[0] == WRITE
        with pytest.raises(StopIteration):
            flush.send(True)
        bench.hub.send([SendDatagram(0, b"5", address)])
        assert [peer.recv(10) for _ in range(6)] == [b"0", b"1", b"2", b"3", b"4", b"5"]
    assert bench.stack.told("send_failed") == []


@udp
def test_a_full_queue_drops_datagrams(bench):
    """Memory is bounded; dropped datagrams are counted, and SIP repeats them."""
    bench.sock.errors = [errno.EAGAIN]
    bench.hub.send([SendDatagram(0, b"x", ("127.0.0.1", 9))] * (QUEUE + 7))
    assert bench.hub.datagrams[0].dropped == 7


@udp
def test_a_queued_datagram_may_fail(bench):
    """It is told like any other, and the rest follows."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))
        peer.settimeout(5)
        bad = SendDatagram(0, b"bad", peer.getsockname(), 7)
        good = SendDatagram(0, b"good", peer.getsockname(), 8)
        bench.sock.errors = [errno.EAGAIN]
        bench.hub.send([bad, good])
        flush = bench.pumps[-1]
        next(flush)
        bench.sock.errors = [errno.EPERM]
        flush.send(True)
        with pytest.raises(StopIteration):
            flush.send(True)
        assert peer.recv(10) == b"good"
    bench.turn()
    assert bench.stack.expect("send_failed") == (7, "Operation not permitted")


@udp
def test_an_error_of_somebody_else_costs_a_send_nothing(bench):
    """A pending ICMP error is returned by whatever call comes next; that call is repeated."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))
        peer.settimeout(5)
        bench.sock.errors = [errno.ECONNREFUSED]
        bench.hub.send([SendDatagram(0, b"hello", peer.getsockname())])
        assert peer.recv(10) == b"hello"
    bench.turn()
    assert bench.stack.told("send_failed") == []


@udp
def test_a_send_that_fails_twice_has_failed(bench):
    """The reason is the kernel's words."""
    bench.sock.errors = [errno.ENETUNREACH, errno.ENETUNREACH]
    bench.hub.send([SendDatagram(0, b"hello", ("127.0.0.1", 9), 7)])
    bench.turn()
    assert bench.stack.expect("send_failed") == (7, "Network is unreachable")


@udp
def test_a_socket_that_had_an_error_is_watched_anew(bench):
    """libuv stops watching a descriptor on EPOLLERR, so the pump asks for a fresh watch."""
    pump = bench.pumps[0]
    assert next(pump)[0] == READ
    bench.sock.errors = [errno.ECONNREFUSED]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.sendto(b"hello", bench.sock.getsockname())
        assert pump.send(True) == (PAUSE, bench.sock, 0.0)
        # The datagrams behind the error were read in the same turn.
        assert bench.stack.expect("datagram")[1] == b"hello"
    assert pump.send(False)[0] == READ


@tcp
def test_one_write_for_a_batch(bench):
    """Messages to one connection leave in one system call."""
    pump = bench.pumps[0]
    next(pump)
    with socket.create_connection(bench.sock.getsockname()) as peer:
        peer.settimeout(5)
        pump.send(True)
        conn, _ = bench.stack.expect("opened")
        connection = bench.hub.streams._table[conn]
        sizes = []

        class Counting(socket.socket):
            def send(self, data, *flags):
                sizes.append(len(data))
                return super().send(data, *flags)

        sock = connection.sock
        connection.sock = Counting(sock.family, sock.type, sock.proto, sock.detach())
        bench.hub.send([SendData(conn, b"one "), SendData(conn, b"two "), SendData(conn, b"three")])
        assert sizes == [13]
        assert peer.recv(100) == b"one two three"


class Crowd:
    """A socket in whose buffer datagrams of many sources wait; ``errors`` come between them."""

    def __init__(self) -> None:
        self.waiting: list[tuple[bytes, tuple[str, int]] | int] = []

    def recvfrom(self, size: int, flags: int = 0) -> tuple[bytes, tuple[str, int]]:
        if not self.waiting:
            raise BlockingIOError
        first = self.waiting.pop(0)
        if isinstance(first, int):
            raise OSError(first, os.strerror(first))
        return first

    def recvmsg(self, *args: Any) -> Any:
        raise BlockingIOError

    def sendto(self, data: bytes, address: Any) -> int:
        return len(data)

    def close(self) -> None: ...


@pytest.fixture
def crowd(bench: Bench) -> Crowd:
    """The octets that the pump of ``bench`` reads in place of its socket."""
    made = Crowd()
    bench.hub.listeners[0].sock.close()
    bench.hub.listeners[0].sock = made  # type: ignore[assignment]  # the test's own in its place
    bench.pumps[0] = DatagramSocket(bench.hub, bench.hub.listeners[0]).pump()
    return made


def served(bench: Bench) -> list[str]:
    """The sources whose datagrams the stack was given since the last time, in order."""
    return [source[0] for _, _, source in bench.stack.told("datagram")]


@udp
def test_one_resumption_serves_a_bounded_number(bench, crowd):
    """One turn of the loop does a bounded amount of work; the next turn serves the rest without a wake-up."""
    pump = bench.pumps[0]
    assert next(pump)[2] is None
    crowd.waiting = [(b"x", ("198.51.100.1", 9))] * 400
    most = 1 + BATCH + ROUNDS * SLICE
    total = 0
    while True:
        wait = pump.send(True)
        now_served = len(bench.stack.told("datagram"))
        assert now_served - total <= most
        total = now_served
        if wait[2] is None:
            break
        # The loop is asked to come back at once: the socket itself is empty and would not wake us.
        assert (wait[0], wait[2]) == (READ, 0.0)
    assert total == 400


@udp
def test_an_honest_datagram_overtakes_a_flood(bench, crowd):
    """400 in the kernel's line, then one of somebody else: it is served within two slices."""
    pump = bench.pumps[0]
    next(pump)
    crowd.waiting = [(b"x", ("198.51.100.1", 9))] * 400 + [(b"honest", ("192.0.2.1", 9))]
    while "192.0.2.1" not in (before := served(bench)):
        pump.send(True)
    # One batch is read before it shows that many wait.
    assert before.index("192.0.2.1") <= 1 + SLICE
    pump.send(True)
    crowd.waiting = [(b"later", ("192.0.2.2", 9))]
    seen = len(served(bench))
    pump.send(True)
    assert served(bench)[seen:].index("192.0.2.2") <= SLICE + 1


@udp
def test_errors_of_a_flooder_who_is_gone_do_not_hide_others(bench, crowd):
    """Each answer to a closed port is an error at the next read: the honest one behind 60 of them is read.

    Seen in an attack: one error ended the look at the socket, one look was one slice, and an OPTIONS waited
    for 600 others.
    """
    pump = bench.pumps[0]
    next(pump)
    crowd.waiting = [(b"x", ("198.51.100.1", 9))] * 400
    pump.send(True)
    seen = len(served(bench))
    crowd.waiting = [errno.ECONNREFUSED] * 60 + [(b"honest", ("192.0.2.1", 9))]
    pump.send(True)
    assert served(bench)[seen:].index("192.0.2.1") <= SLICE


@tcp
def test_a_connection_that_is_not_read_outlives_its_writing(bench):
    """A peer is not read, and takes what waited for it: the connection stays, and is read again."""
    accepting = bench.pumps[0]
    next(accepting)
    with socket.create_connection(bench.sock.getsockname()) as peer:
        accepting.send(True)
        conn = bench.stack.expect("opened")[0]
        reading = bench.pumps.pop()
        next(reading)
        streams = bench.hub.streams
        # More than the kernel takes, so that a second pump writes.
        streams.writing.write(SendData(conn, bytes(700_000)))
        streams.writing.flush()
        writing = bench.pumps.pop()
        wait = next(writing)
        streams.read(Reading(conn, False))
        peer.sendall(b"hello")
        with pytest.raises(StopIteration):
            reading.send(True)
        peer.settimeout(5)
        while wait is not None:
            assert wait[0] == WRITE
            peer.recv(1_000_000)
            try:
                wait = writing.send(True)
            except StopIteration:
                wait = None
        streams.read(Reading(conn, True))
        again = bench.pumps.pop()
        assert next(again)[0] == READ
        again.send(True)
        assert bench.stack.expect("data")[1] == b"hello"
