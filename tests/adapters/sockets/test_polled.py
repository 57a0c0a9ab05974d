"""``PolledWaiter``: watches and timers behind one descriptor; the contract runs it on curio and trio."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from math import inf

import pytest

from sansip_sockets import PAUSE, READ, WRITE, PolledWaiter, Pump
from sansip_sockets.inbox import Inbox
from sansip_sockets.polled import CANCELLED
from sansip_sockets.waits import Bell


class Clock:
    """Time that the test moves."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def waiter(clock: Clock) -> Iterator[PolledWaiter]:
    one = PolledWaiter(clock)
    yield one
    one.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    with one, other:
        yield one, other


def is_ready(waiter: PolledWaiter) -> bool:
    return bool(select.select([waiter], [], [], 0)[0])


def pump(kind: int, sock: socket.socket, timeout: float | None, seen: list[bool]) -> Pump:
    """Wait for the same again and again; note each value that the pump is resumed with."""
    wait = (kind, sock, timeout)
    while True:
        ready = yield wait
        seen.append(ready)
        if ready and kind == READ and not sock.recv(1):
            return


def test_one_descriptor_for_all(waiter, pair):
    """It is readable while a pump can go on; ``turn`` resumes that one."""
    one, other = pair
    seen: list[bool] = []
    waiter.spawn(pump(READ, one, None, seen))
    assert not is_ready(waiter)
    other.send(b"x")
    assert is_ready(waiter)
    waiter.turn()
    assert seen == [True]
    assert not is_ready(waiter)


def test_reading_and_writing_one_socket(waiter, pair):
    """Two pumps of a connection, each woken for its own."""
    one, other = pair
    reads: list[bool] = []
    writes: list[bool] = []
    waiter.spawn(pump(READ, one, None, reads))

    def write() -> Pump:
        writes.append((yield (WRITE, one, None)))

    waiter.spawn(write())
    waiter.turn()
    assert (reads, writes) == ([], [True])
    assert not is_ready(waiter)
    other.close()
    waiter.turn()
    assert reads == [True]


def test_a_pump_that_ends_another_of_this_turn(waiter):
    """Both are ready; what the first ends is not resumed any more, though the selector named it."""
    pairs = [socket.socketpair() for _ in range(2)]
    seen: list[int] = []
    ends: dict[int, object] = {}

    def ready(number: int) -> None:
        seen.append(number)
        ends[1 - number]()  # type: ignore[operator]  # known to be there

    for number, (one, other) in enumerate(pairs):
        ends[number] = waiter.watch(one.fileno(), READ, lambda number=number: ready(number))
        other.send(b"x")
    waiter.turn()
    assert len(seen) == 1
    ends[seen[0]]()  # type: ignore[operator]  # known to be there
    for one, other in pairs:
        one.close()
        other.close()


def test_timeouts(waiter, pair, clock):
    """The earliest timeout counts; a timeout that is over is not told again; infinity means never."""
    assert waiter.deadline() == inf
    assert waiter.seconds_until(inf) == 3_600.0
    seen: list[bool] = []
    waiter.spawn(pump(READ, pair[0], 5.0, seen))
    assert waiter.deadline() == 105.0
    assert waiter.seconds_until(105.0) == 5.0
    clock.now = 104.9
    waiter.turn()
    assert seen == []
    clock.now = 107.0
    assert waiter.seconds_until(105.0) == 0.0
    waiter.turn()
    assert seen == [False]
    # It waits the same again, from now on.
    assert waiter.deadline() == 112.0
    pair[1].send(b"x")
    waiter.turn()
    assert seen == [False, True]
    assert waiter.deadline() == 112.0


def test_a_pause_is_not_watched(waiter, pair, clock):
    """The socket may be closed meanwhile."""
    seen: list[bool] = []

    def pausing() -> Pump:
        seen.append((yield (PAUSE, pair[0], 1.0)))

    waiter.spawn(pausing())
    pair[1].send(b"x")
    assert not is_ready(waiter)
    clock.now += 1.0
    waiter.turn()
    assert seen == [False]


def test_cancelled_timers_do_not_pile_up(waiter, clock):
    """A timer far away that is set again with every message must cost no memory until then."""
    for _ in range(10_000):
        waiter.after(3_600.0, lambda: None)()
    assert len(waiter._timers) <= CANCELLED + 1
    kept = waiter.after(1.0, lambda: None)
    assert waiter.deadline() == 101.0
    kept()
    kept()
    assert waiter.deadline() == inf


def test_a_bell_resumes_its_pump(waiter, pair):
    """A wait of four parts ends when its bell rings, also where the pump is driven by compiled code."""
    inbox = Inbox()
    bell = Bell(inbox)
    seen = []

    def waiting() -> Pump:
        seen.append((yield PAUSE, pair[0], 60.0, bell))

    waiter.spawn(waiting())
    bell._rung()
    assert seen == [False]
    inbox.close()
