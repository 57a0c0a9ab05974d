"""The connection to Redis in the loop: one write a turn, order, silence, breaks, and no thread between."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from sansip.clock import Timers
from sansip_server.config.redis import RedisSettings, parse_redis
from sansip_server.stores.redis_client import Connected
from sansip_server.stores.redis_link import Link
from sansip_server.stores.resp import pack
from sansip_server.stores.tracked import Tracked
from sansip_sockets.waits import PAUSE, WRITE, Pump, Wait


class Connection:
    """Stands for redis-py's, which owns the socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.closed = False

    def disconnect(self) -> None:
        self._sock.close()
        self.closed = True


class Bench:
    """A hub of the test's own: time, pumps and threads move when the test says so."""

    def __init__(self, url: str = "redis://127.0.0.1:1/0", tracked: Tracked | None = None) -> None:
        self.now = 100.0
        self.timers = Timers()
        self.pumps: list[tuple[Pump, Wait]] = []
        self.ends: list[Callable[[], None]] = []
        self.posted: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []
        self.asked = 0
        self.reports: list[str] = []
        self.connections: list[Connection] = []
        self.theirs: list[socket.socket] = []
        hub = SimpleNamespace(
            answering=SimpleNamespace(worker=self.worker),
            inbox=SimpleNamespace(post=lambda function, *args: self.posted.append((function, args))),
            driver=SimpleNamespace(timers=self.timers),
            clock=lambda: self.now,
            settle=lambda _now: None,
            at_end=self.ends.append,
            spawn=self.spawn,
            quiet=set(),
            awaited=0,
            report=lambda text, error: self.reports.append(f"{text}: {error!r}"),
        )
        self.opened: Callable[[int, Any], None] = lambda *_: None
        self.hub = hub
        self.link = Link(hub, parse_redis(url), RedisSettings(timeout=1.0), None, tracked)

    def worker(self, _function: Any, answered: Callable[[int, Any], None]) -> Any:
        self.opened = answered

        def ask(_ask: Any) -> None:
            self.asked += 1

        return SimpleNamespace(ask=ask)

    def spawn(self, pump: Pump) -> None:
        try:
            self.pumps.append((pump, next(pump)))
        except StopIteration:
            pass

    def turn(self) -> None:
        """End the turn; resume what is ready."""
        ends, self.ends[:] = self.ends[:], []
        for function in ends:
            function()
        posted, self.posted = self.posted, []
        for function, args in posted:
            function(*args)
        running, self.pumps = self.pumps, []
        for pump, wait in running:
            kind, sock = wait[0], wait[1]
            if kind != PAUSE and sock.fileno() != -1 and not (kind == WRITE or readable(sock)):
                self.pumps.append((pump, wait))
                continue
            try:
                self.pumps.append((pump, pump.send(True)))
            except StopIteration:
                pass

    def connect(self, tracks: bool = False) -> socket.socket:
        """Have the connection be open; return Redis's end of it."""
        ours, theirs = socket.socketpair()
        theirs.settimeout(5.0)
        self.theirs.append(theirs)
        self.connections.append(Connection(ours))
        self.opened(0, Connected(self.connections[-1], tracks))
        return theirs

    def end(self) -> None:
        self.link.close()
        self.turn()
        for sock in self.theirs:
            sock.close()
        assert all(one.closed for one in self.connections)
        # The link leaves no socket with the runtime, which could take a later socket for it.
        assert (self.hub.awaited, self.hub.quiet) == (0, set())
        assert self.reports == []

    def run(self, *words: str) -> list[Any]:
        """Ask one batch of GETs; the result appears in the list."""
        found: list[Any] = []
        self.link.run([("GET", word) for word in words], found.append)
        return found

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.timers.fire_due(self.now)
        self.turn()


def readable(sock: socket.socket) -> bool:
    try:
        sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.end()


def test_one_write_a_turn(bench: Bench) -> None:
    """Many questions of one turn cost one system call; the answers go to those who asked, in order."""
    first, second = bench.run("a"), bench.run("b", "c")
    bench.turn()
    assert bench.asked == 1
    redis = bench.connect()
    assert redis.recv(1_000) == pack([("GET", "a"), ("GET", "b"), ("GET", "c")])
    assert (bench.hub.awaited, len(bench.hub.quiet)) == (1, 1)
    redis.send(b"$1\r\n1\r\n$1\r\n2")
    bench.turn()
    assert (first, second) == ([[b"1"]], [])
    redis.send(b"\r\n$-1\r\n")
    bench.turn()
    assert second == [[b"2", None]]
    # The connection stays; a question asked by an answer's receiver leaves in its turn.
    later: list[Any] = []
    bench.link.run([("GET", "d")], lambda _: bench.link.run([("GET", "e")], later.append))
    bench.turn()
    assert redis.recv(1_000) == pack([("GET", "d")])
    redis.send(b":1\r\n")
    bench.turn()
    assert redis.recv(1_000) == pack([("GET", "e")])
    assert bench.asked == 1


def test_a_broken_connection_costs_one_more_try(bench: Bench) -> None:
    """A Redis that was restarted meanwhile costs no phone its answer; one that breaks again does."""
    found = bench.run("a")
    bench.turn()
    bench.connect().close()
    bench.turn()
    assert bench.asked == 2
    redis = bench.connect()
    assert redis.recv(1_000) == pack([("GET", "a")])
    redis.close()
    bench.turn()
    assert [type(one) for one in found] == [ConnectionResetError]
    bench.turn()
    assert [one.closed for one in bench.connections] == [True, True]


def test_half_an_answer_is_no_answer(bench: Bench) -> None:
    """What came of a batch before the break is forgotten: it is asked as a whole again."""
    found = bench.run("a", "b")
    bench.turn()
    redis = bench.connect()
    redis.send(b":1\r\n")
    bench.turn()
    redis.close()
    bench.turn()
    redis = bench.connect()
    redis.send(b":2\r\n:3\r\n")
    bench.turn()
    assert found == [[2, 3]]


def test_a_connection_that_does_not_open(bench: Bench) -> None:
    """All that wait hear of it, and the next question tries again."""
    found = bench.run("a"), bench.run("b")
    bench.turn()
    bench.opened(0, ConnectionRefusedError("no"))
    assert [type(one[0]) for one in found] == [ConnectionRefusedError] * 2
    bench.run("c")
    bench.turn()
    assert bench.asked == 2


def test_silence(bench: Bench) -> None:
    """A Redis that hangs holds nobody for longer than ``timeout``; a slow one that answers goes on."""
    first = bench.run("a")
    second = bench.run("b")
    bench.turn()
    redis = bench.connect()
    bench.pass_time(0.9)
    redis.send(b":1\r\n")
    bench.turn()
    bench.pass_time(0.9)
    assert (first, second) == ([[1]], [])
    for _ in range(5):
        bench.pass_time(0.25)
    assert [type(one) for one in second] == [TimeoutError]
    # Its late answer must not be taken for that of another question.
    found = bench.run("c")
    bench.turn()
    assert bench.asked == 2
    redis = bench.connect()
    redis.send(b":3\r\n")
    bench.turn()
    assert found == [[3]]


def test_more_than_the_socket_takes(bench: Bench) -> None:
    """What the kernel has no room for waits in order, and nothing is sent twice."""
    bench.run("warm")
    bench.turn()
    redis = bench.connect()
    redis.recv(1_000)
    words = ["x" * 50_000 + str(number) for number in range(40)]
    for word in words:
        bench.run(word)
        bench.turn()
    wanted = pack([("GET", word) for word in words])
    got = b""
    while len(got) < len(wanted):
        got += redis.recv(1_000_000)
        bench.turn()
    assert got == wanted


def test_another_protocol(bench: Bench) -> None:
    """A port that is not Redis's fails the questions, with a text."""
    found = bench.run("a")
    bench.turn()
    for _ in range(2):
        bench.connect().send(b"HTTP/1.1 400 Bad Request\r\n")
        bench.turn()
    assert "begins with" in str(found[0])


def test_an_answer_that_nobody_asked_for(bench: Bench) -> None:
    """Answers that are out of step would be given to the wrong questions: the connection goes."""
    found = bench.run("a")
    bench.turn()
    redis = bench.connect()
    redis.send(b":1\r\n:2\r\n")
    bench.turn()
    assert found == [[1]]
    bench.turn()
    assert bench.connections[0].closed


def test_a_master_that_became_a_replica() -> None:
    """Behind sentinels the next connection goes to the new master; the phone gets its refusal."""
    bench = Bench("redis+sentinel://127.0.0.1:1/mymaster/0")
    found = bench.run("a")
    bench.turn()
    bench.connect().send(b"-READONLY You can't write against a read only replica.\r\n")
    bench.turn()
    assert [str(one[0]) for one in found] == ["You can't write against a read only replica."]
    bench.run("b")
    bench.turn()
    assert bench.asked == 2
    bench.end()


def test_closed(bench: Bench) -> None:
    """After the end nobody hears of anything, and no socket stays."""
    found = bench.run("a")
    bench.turn()
    bench.connect()
    bench.link.close()
    bench.turn()
    assert bench.connections[0].closed
    assert found == []
    bench.connect()
    assert bench.connections[1].closed


def test_an_answer_without_an_end(bench: Bench) -> None:
    """Octets of an answer that never ends are no sign of life: those who wait hear after ``timeout``."""
    found = bench.run("a")
    bench.turn()
    redis = bench.connect()
    redis.send(b"$1000000\r\n")
    while not found and bench.now < 103.0:
        redis.send(b"x")
        bench.turn()
        bench.pass_time(0.25)
    assert [type(one) for one in found] == [TimeoutError]


def test_while_the_socket_takes_nothing(bench: Bench) -> None:
    """Questions wait apart: what waits is not copied again for each turn that adds some."""
    bench.run("warm")
    bench.turn()
    redis = bench.connect()
    redis.recv(1_000)
    bench.run("x" * 4_000_000)
    bench.turn()
    waiting = bench.link._rest
    for number in range(3):
        bench.run(str(number))
        bench.turn()
    assert len(bench.link._waiting) == 3
    assert len(bench.link._rest) <= len(waiting)
    got = b""
    while not got.endswith(pack([("GET", str(number)) for number in range(3)])):
        got += redis.recv(1_000_000)
        bench.turn()


def test_one_receiver_fails(bench: Bench) -> None:
    """The others get their answers; that of one who fails is reported."""

    def fails(_answers: Any) -> None:
        raise ValueError("a mistake")

    bench.link.run([("GET", "a")], fails)
    found = bench.run("b")
    bench.turn()
    bench.connect().send(b":1\r\n:2\r\n")
    bench.turn()
    assert found == [[2]]
    assert bench.reports == ["an answer of Redis: ValueError('a mistake')"]
    bench.reports.clear()


def test_more_than_one_turn_reads(bench: Bench) -> None:
    """A peer that sends without an end does not keep the loop from others."""
    found = bench.run("a")
    bench.turn()
    bench.connect()
    sock = bench.link._open.sock
    reads = 0

    class Endless:
        """A socket that always has octets."""

        def recv(self, size: int) -> bytes:
            nonlocal reads
            reads += 1
            if reads > 100:
                raise BlockingIOError
            return b"$500000000\r\n".ljust(size, b"x") if reads == 1 else b"x" * size

    bench.link._read(bench.link._open, Endless())
    assert reads == 16
    assert sock.fileno() != -1
    assert found == []


BOB = "sip:bob@h"
CHANGED = b">2\r\n$10\r\ninvalidate\r\n*1\r\n$18\r\nsansip:{sip:bob@h}\r\n"


class Tracking(Bench):
    """A link that is told of changes; ``asks`` notes bob's record when it is certain."""

    def __init__(self, tracks: bool = True) -> None:
        self.tracked = Tracked("sansip", 10)
        super().__init__(tracked=self.tracked)
        self.asks("1")
        self.turn()
        self.redis = self.connect(tracks)

    def asks(self, version: str) -> None:
        def done(_answers: Any) -> None:
            if self.link.certain:
                self.tracked.note(BOB, version)

        self.link.run([("GET", "a"), ("GET", "b")], done)

    def present(self) -> str | None:
        return self.tracked.versions.get(BOB) if self.link.is_current() else None


def test_what_redis_tells_is_taken_first() -> None:
    """A change that has come, and that no pump has read yet, is known before a call goes to the old place."""
    bench = Tracking()
    bench.redis.send(b":1\r\n:1\r\n")
    bench.turn()
    assert bench.present() == "1"
    bench.redis.send(CHANGED)
    assert bench.present() is None
    bench.end()


@pytest.mark.parametrize("turns", [[b":1\r\n:1\r\n" + CHANGED], [b":1\r\n", CHANGED, b":1\r\n"]])
def test_a_change_behind_an_answer(turns: list[bytes]) -> None:
    """An answer that Redis gave before the change is old when it is used, however the octets are cut."""
    bench = Tracking()
    for data in turns:
        bench.redis.send(data)
        bench.turn()
    assert bench.present() is None
    bench.asks("2")
    bench.turn()
    bench.redis.send(b":1\r\n:1\r\n")
    bench.turn()
    assert bench.present() == "2"
    bench.end()


def test_a_change_before_an_answer() -> None:
    """What was read after the change is present."""
    bench = Tracking()
    bench.redis.send(CHANGED + b":1\r\n:1\r\n")
    bench.turn()
    assert bench.present() == "1"
    bench.end()


def test_nothing_is_believed_without_proof() -> None:
    """A Redis that is out of reach tells nothing: what is known counts for ``timeout`` after it answered."""
    bench = Tracking()
    bench.redis.send(b":1\r\n:1\r\n")
    bench.turn()
    bench.pass_time(0.9)
    assert bench.present() == "1"
    bench.pass_time(0.2)
    assert bench.present() is None
    bench.asks("1")
    bench.turn()
    # A message is no proof: it may be an old one.
    bench.redis.send(CHANGED)
    assert bench.present() is None
    bench.redis.send(b":1\r\n:1\r\n")
    bench.turn()
    assert bench.present() == "1"
    bench.end()


@pytest.mark.parametrize("how", ["break", "silence", "close"])
def test_nothing_is_believed_of_a_connection_that_ended(how: str) -> None:
    """Redis forgets with the connection what it had to tell."""
    bench = Tracking()
    bench.redis.send(b":1\r\n:1\r\n")
    bench.turn()
    assert bench.present() == "1"
    if how == "break":
        bench.redis.close()
        assert bench.present() is None
        bench.turn()
    elif how == "silence":
        bench.asks("1")
        bench.turn()
        for _ in range(6):
            bench.pass_time(0.25)
    else:
        bench.link.close()
    bench.turn()
    assert (bench.present(), bench.tracked.versions) == (None, {})
    bench.end()


def test_a_redis_that_does_not_tell() -> None:
    """A user without the right to CLIENT TRACKING: each look-up is a trip, as ever."""
    bench = Tracking(tracks=False)
    bench.redis.send(b":1\r\n:1\r\n")
    bench.turn()
    assert (bench.present(), bench.tracked.versions) == (None, {})
    bench.end()
