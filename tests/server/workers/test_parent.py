"""sansip_server.workers.parent: workers that start while something else goes on."""

from __future__ import annotations

import marshal
import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from sansip_server.config.schema import Settings
from sansip_server.workers.nursery import NOT_STARTED
from sansip_server.workers.parent import Parent
from sansip_sockets.link import Link
from sansip_sockets.waits import WRITE, Pump


class Bench:
    """A parent whose workers are the other ends of its links."""

    def __init__(self) -> None:
        self.pumps: list[Pump] = []
        self.links: list[Link] = []
        self.ends: dict[int, socket.socket] = {}
        self.reloads: dict[int, int] = {}
        supervisor = SimpleNamespace(
            reloading=lambda: None, reloaded=lambda: None, ready=lambda hub: None, stopping=lambda: None
        )
        parts: list[Any] = [SimpleNamespace(listeners=[[], []]), self, None, None, supervisor]
        self.parent = Parent(Settings(), *parts)
        hub = SimpleNamespace(spawn=self.pumps.append, clock=lambda: 0.0, settle=lambda now: None)
        hub.driver = SimpleNamespace(timers=SimpleNamespace(start=lambda *given: None))
        self.parent._server = SimpleNamespace(hub=hub)

    def start(self, number: int, incarnation: int, reloads: int, link: socket.socket) -> None:
        """Be the nursery."""
        if number in self.ends:
            self.ends[number].close()
        self.ends[number] = link
        self.reloads[number] = reloads

    def ready(self, number: int) -> None:
        child = self.parent._children[number]
        assert child.link is not None
        self.links.append(child.link)
        self.parent._on_ready(child, 1_000 + number, [])

    def reloads_asked(self, number: int) -> list[int]:
        """Return the questions of the reloads that a worker was asked for, and read."""
        pumps, self.pumps[:] = list(self.pumps), []
        for pump in pumps:
            for wait in pump:
                if wait[0] != WRITE:
                    break
        self.ends[number].setblocking(False)
        try:
            data = self.ends[number].recv(65_536)
        except BlockingIOError:
            return []
        asked = []
        while data:
            size = int.from_bytes(data[:4], "big")
            message, data = marshal.loads(data[4 : 4 + size]), data[4 + size :]
            if message[0] == "reload":
                asked.append(message[1])
        return asked

    def reloaded(self, number: int, question: int) -> None:
        self.parent._on_reloaded(self.parent._children[number], question, ["route"], [])


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    for number in (0, 1):
        made.parent._start(number)
        made.ready(number)
    yield made
    for link in made.links:
        link._sock.close()
    for end in made.ends.values():
        end.close()


@pytest.mark.parametrize("moment", ["before the first has judged", "after the first has judged"])
def test_worker_that_starts_while_others_reload(bench: Bench, moment: str) -> None:
    """It has read the settings of before, and would serve by them until the next reload."""
    parent = bench.parent
    parent._ended(1, 0, 9)
    parent._start(1)
    assert bench.reloads[1] == 0
    ended: list[Any] = []
    parent.reloading.reload(lambda done, failed: ended.append((done, failed)))
    [question] = bench.reloads_asked(0)
    assert bench.reloads_asked(1) == []
    if moment.startswith("before"):
        bench.ready(1)
    bench.reloaded(0, question)
    if moment.startswith("after"):
        bench.ready(1)
    [question] = bench.reloads_asked(1)
    bench.reloaded(1, question)
    assert ended == [(["route"], [])]
    # The next one in its place reads them by itself.
    parent._ended(1, 1, 9)
    parent._start(1)
    bench.ready(1)
    assert bench.reloads[1] == 1
    assert bench.reloads_asked(1) == []


def test_worker_that_cannot_be_started_yet(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """EMFILE, or a nursery without a process: those who serve go on, and it is tried again a second later."""
    parent = bench.parent
    parent._said = True
    later: list[Any] = []
    parent._server.hub.driver.timers.start = lambda *given: later.append(given[1:])
    parent._ended(1, 0, NOT_STARTED)
    assert later == [(1.0, parent, 1)]

    def fails() -> Any:
        raise OSError("too many open files")

    with monkeypatch.context() as patched:
        patched.setattr(socket, "socketpair", fails)
        parent.timer_fired(1, 1.0)
    assert later == [(1.0, parent, 1)] * 2
    assert parent.failed == []
    parent.timer_fired(1, 2.0)
    bench.ready(1)
    assert parent._serving() == [0, 1]
