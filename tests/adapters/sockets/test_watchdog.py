"""The thread beside the loop wakes, tells and ends. The rest is in test_loop_state."""

from __future__ import annotations

import logging
import os
import queue
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sansip_sockets.watchdog import ABANDONED, AGAIN, LoopWatch
from tests.adapters.fakes import PATIENCE


class Inbox:
    def __init__(self, wakes: queue.Queue[None]) -> None:
        self._wakes = wakes

    def wake(self) -> None:
        self._wakes.put(None)


class Hub:
    """Something to watch; ``beats`` is set by the test."""

    def __init__(self) -> None:
        self.wakes: queue.Queue[None] = queue.Queue()
        self.inbox: Any = Inbox(self.wakes)
        self.beats = 1
        self.on_abandon: Callable[[], None] | None = None


class Watching:
    """A watch that looks when the test says so, on the test's clock, and starts no thread."""

    def __init__(self) -> None:
        self.hub = Hub()
        self.now = 100.0
        self.watch = LoopWatch(
            self.hub,
            lambda: self._route,
            start_thread=lambda function: function(),
            clock=lambda: self.now,
        )
        self.watch._reader.settimeout(0.001)

    def _route(self) -> None:
        """The function at work in the loop's thread while the test looks."""
        self.watch._look()

    def looks(self, seconds: float, *, beating: bool = False) -> None:
        for _ in range(round(seconds / 0.05)):
            self.now += 0.05
            self.hub.beats += beating
            self._route()


@pytest.fixture
def watching() -> Iterator[Watching]:
    one = Watching()
    yield one
    one.watch.close()


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The statuses that the process would have ended with."""
    statuses: list[int] = []

    def end(status: int) -> None:
        statuses.append(status)
        raise SystemExit

    monkeypatch.setattr(os, "_exit", end)
    return statuses


def test_an_idle_loop_is_woken_and_not_told_of(watching: Watching, caplog: pytest.LogCaptureFixture) -> None:
    watching.looks(0.05, beating=True)
    for _ in range(20):
        watching.looks(0.05)
        assert watching.hub.wakes.get_nowait() is None
        watching.looks(0.05, beating=True)
    assert watching.hub.wakes.empty()
    assert caplog.records == []


def test_a_route_that_holds_the_loop(watching: Watching, caplog: pytest.LogCaptureFixture) -> None:
    """Told once, with its stack, and once more when the loop goes on."""
    watching.looks(0.05, beating=True)
    watching.looks(3)
    (held,) = caplog.records
    assert held.levelno == logging.ERROR
    assert f" s so far: {__file__}, line " in held.getMessage()
    assert held.stack_info is not None
    assert "in _route\n    self.watch._look()" in held.stack_info
    caplog.clear()
    watching.looks(0.05, beating=True)
    assert [one.getMessage().partition(":")[0] for one in caplog.records] == ["the loop goes on after 3.0 s"]


def test_one_place_is_told_once_in_a_while(watching: Watching, caplog: pytest.LogCaptureFixture) -> None:
    """A route that blocks in each request does not fill the disk; left-out lines are counted."""
    for _ in range(8):
        watching.looks(1)
        watching.looks(0.05, beating=True)
    assert [one.levelname for one in caplog.records] == ["ERROR", "WARNING"]
    watching.looks(AGAIN, beating=True)
    watching.looks(1)
    assert "(7 times more since it was told last)" in caplog.records[-1].getMessage()


def test_a_signal_wakes_the_loop(watching: Watching) -> None:
    """The octet that the signal wrote came here instead of to the inbox."""
    watching.looks(0.05, beating=True)
    os.write(watching.watch.wakeup_fd, bytes([signal.SIGHUP]))
    watching.looks(0.05, beating=True)
    assert watching.hub.wakes.get_nowait() is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_is_not_heeded(
    number: int, watching: Watching, ended: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    """The server saves the state that must not be lost, logs the function that hangs, and ends."""
    saved: list[bool] = []
    watching.hub.on_abandon = lambda: saved.append(True)
    watching.looks(2)
    os.write(watching.watch.wakeup_fd, bytes([number]))
    with pytest.raises(SystemExit):
        watching.looks(2)
    assert ended == [ABANDONED]
    assert saved == [True]
    assert caplog.records[-1].getMessage().startswith("ended without draining: the loop was held for 3.")


def test_what_is_saved_may_fail(
    watching: Watching, ended: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    """Another node that does not answer, say: the end comes all the same."""

    def fail() -> None:
        raise OSError("nobody there")

    watching.hub.on_abandon = fail
    watching.looks(1)
    os.write(watching.watch.wakeup_fd, bytes([signal.SIGTERM]))
    with pytest.raises(SystemExit):
        watching.looks(2)
    assert ended == [ABANDONED]
    assert "nobody there" in caplog.text


def test_the_thread_ends_when_it_is_closed() -> None:
    """It must not look at a hub that is gone."""
    hub = Hub()
    threads: list[threading.Thread] = []

    def start(function: Callable[[], None]) -> None:
        threads.append(threading.Thread(target=function))
        threads[-1].start()

    watch = LoopWatch(hub, start_thread=start)
    watch.start()
    hub.wakes.get(timeout=PATIENCE)
    watch.close()
    threads[0].join(PATIENCE)
    assert not threads[0].is_alive()
