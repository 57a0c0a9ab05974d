"""sansip_sockets.link: values from process to process, whole and in order."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from sansip_sockets import PolledWaiter
from sansip_sockets import link as module
from sansip_sockets.link import Link
from sansip_sockets.reports import Reports


class Host:
    """The part of a hub that a link needs."""

    def __init__(self, waiter: PolledWaiter) -> None:
        self.spawn = waiter.spawn
        self.report = Reports(lambda text, error: self.reported.append(text), lambda: 0.0)
        self.reported: list[str] = []


class Pair:
    """Two ends in one process."""

    def __init__(self) -> None:
        self.waiter = PolledWaiter()
        self.host = Host(self.waiter)
        self.got: tuple[list[Any], list[Any]] = ([], [])
        self.lost: list[int] = []
        socks = socket.socketpair()
        self.ends = [
            Link(self.host, sock, self.got[1 - index].extend, partial(self.lost.append, index))
            for index, sock in enumerate(socks)
        ]

    def close(self) -> None:
        for end in self.ends:
            end.close()
        self.turn()
        self.waiter.close()

    def turn(self, times: int = 50) -> None:
        for _ in range(times):
            self.waiter.turn(0.0)


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.close()


def test_values_arrive_whole_and_in_order(pair: Pair) -> None:
    """A record that overtakes another would bring an old binding back."""
    values = [("a", 1, None, b"\xff", 1.5, ("x",)), *[("n", index) for index in range(100)]]
    for value in values:
        pair.ends[0].send(value)
    pair.turn()
    assert pair.got[0] == values


def test_more_than_the_kernel_takes_waits(pair: Pair) -> None:
    """A worker that is busy for a moment must lose nothing."""
    values = [("big", index, b"x" * 50_000) for index in range(60)]
    for value in values:
        pair.ends[0].send(value)
    pair.turn(500)
    assert pair.got[0] == values
    pair.ends[0].send(("after",))
    pair.turn()
    assert pair.got[0][-1] == ("after",)


def test_a_list_is_made_as_it_is_read(pair: Pair) -> None:
    """A million records must not wait in memory as octets for a worker that starts."""
    made = []

    def source() -> Any:
        for index in range(300):
            made.append(index)
            yield ("item", index, b"x" * 20_000)

    pair.ends[0].feed(source())
    pair.ends[0].send(("between",))
    assert len(made) < 100
    pair.turn(3_000)
    numbers = [value[1] for value in pair.got[0] if value[0] == "item"]
    assert numbers == list(range(300))
    assert ("between",) in pair.got[0]


def test_the_other_end_is_gone(pair: Pair) -> None:
    """The parent has to hear of a dead worker, and a worker of a dead parent, once."""
    pair.ends[0].close()
    pair.turn()
    assert sorted(pair.lost) == [0, 1]
    pair.ends[1].send(("too late",))
    pair.turn()
    assert sorted(pair.lost) == [0, 1]


def test_one_that_does_not_read_is_lost(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that hangs must not take the memory of its parent."""
    monkeypatch.setattr(module, "BACKLOG", 1_000_000)
    for _ in range(40):
        pair.ends[0].send(("x", b"x" * 100_000))
    assert not pair.ends[0].is_open


def test_a_receiver_that_fails_is_reported() -> None:
    """One bad message must not end the link for the others."""
    waiter = PolledWaiter()
    host = Host(waiter)
    one, other = socket.socketpair()
    got: list[Any] = []

    def received(values: list[Any]) -> None:
        got.append(values)
        raise ValueError("a bug")

    receiver = Link(host, one, received, lambda: None)
    sender = Link(host, other, lambda values: None, lambda: None)
    for _ in range(2):
        sender.send(("x",))
        for _ in range(10):
            waiter.turn(0.0)
    assert len(got) == 2
    assert host.reported
    for end in (receiver, sender):
        end.close()
    for _ in range(10):
        waiter.turn(0.0)
    waiter.close()
