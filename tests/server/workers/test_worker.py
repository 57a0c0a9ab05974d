"""sansip_server.workers.worker: what it takes from the parent before it serves."""

from __future__ import annotations

import marshal
import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from sansip.actions import Ask
from sansip.module.tally import Admit
from sansip_server.workers.worker import Common, Worker


@pytest.fixture
def link() -> Iterator[tuple[socket.socket, socket.socket]]:
    pair = socket.socketpair()
    yield pair
    for one in pair:
        one.close()


def send(sock: socket.socket, *messages: tuple[Any, ...]) -> None:
    for message in messages:
        data = marshal.dumps(message)
        sock.sendall(len(data).to_bytes(4, "big") + data)


def test_other_messages_wait_until_it_serves(link: tuple[socket.socket, socket.socket]) -> None:
    """The parent tells a million bindings for seconds: a command or the end may come between them."""
    parent, end = link
    directory: Any = SimpleNamespace(number=0)
    writers = [(end, end)] * 2
    worker = Worker(Common([[], []], writers, b"s" * 32, 7, directory), 1, 0, end)
    told: list[Any] = []

    def heard(facts: list[Any], now: float) -> list[Any]:
        told.extend(facts)
        return ["an event"]

    stack = SimpleNamespace(told=heard, registrar=SimpleNamespace(gruus=None))
    performed: list[Any] = []
    spawned: list[Any] = []
    hub = SimpleNamespace(
        clock=lambda: 0.0,
        spawn=spawned.append,
        driver=SimpleNamespace(outgoing=lambda actions, now: actions),
        perform=lambda actions, now: performed.extend(actions),
        perform_by=lambda ways: None,
        answering=SimpleNamespace(ask_by=lambda kind, asked: None),
        report=lambda text, error: pytest.fail(f"{text}: {error!r}"),
    )
    facts = [("closed", 1, "reset", False)]
    send(parent, ("facts", 0, facts), ("follow", True), ("go",), ("facts", 0, facts), ("begin", None))
    worker.restore(SimpleNamespace(hub=hub, stack=stack), values=True)
    assert told == facts * 2
    followers = SimpleNamespace(add=lambda ring, most: "follower")
    worker.attach(None, None, followers, [])
    follower: Any = worker._follower
    assert (follower, worker._go) == ("follower", True)
    # What happened before it served is told as well: which nodes live, for one.
    assert performed == ["an event"] * 2


def test_a_call_admitted_too_late_does_not_count(link: tuple[socket.socket, socket.socket]) -> None:
    """It was refused meanwhile, so nobody else would take it back: the limit would be lower for ever."""
    _, end = link
    directory: Any = SimpleNamespace(number=0)
    worker = Worker(Common([[], []], [(end, end)] * 2, b"s" * 32, 7, directory), 1, 0, end)
    waiting = {1}
    questions = SimpleNamespace(waits=waiting.__contains__)
    posted: list[Any] = []
    answers: list[Any] = []
    hub = SimpleNamespace(
        inbox=SimpleNamespace(post=posted.append), answer=lambda *answer: answers.append(answer)
    )
    worker._server = SimpleNamespace(hub=hub, stack=SimpleNamespace(questions=questions))
    for number in (1, 2, 3):
        worker._ask_value(Ask(number, Admit("calls a", 2)))
    worker._on_value(1, True, None)
    assert worker._facts == []
    worker._on_value(2, True, None)
    # There was no room: nothing was counted.
    worker._on_value(3, False, None)
    assert (worker._facts, worker._admits) == ([("held", "calls a", -1)], {})
    assert answers == [(1, True), (2, True), (3, False)]
