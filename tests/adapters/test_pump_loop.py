"""The loop of ``sansip_asyncio.run``: what else it has to do is not forgotten while datagrams come."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from sansip_asyncio.loop import PumpLoop
from sansip_sockets.gathering import SPAN, VAIN, Gathering
from tests.adapters.fakes import PATIENCE


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


def test_what_a_pump_asks_for_comes_at_once(ends: tuple[socket.socket, socket.socket]) -> None:
    """A task, a timer, an end: the selector would wait for an hour."""
    ours, theirs = ends
    told: list[Any] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, PumpLoop)
        done = loop.create_future()

        def ready() -> None:
            match ours.recv(10):
                case b"soon":
                    loop.call_soon(told.append, "soon")
                    theirs.send(b"later")
                case b"later":
                    loop.call_later(0.01, theirs.send, b"future")
                    told.append("later")
                case b"future":
                    told.append("future")
                    done.set_result(None)

        loop.call_later(3_600.0, told.append, "never")
        loop.watch(ours.fileno(), ready)
        theirs.send(b"soon")
        await asyncio.wait_for(done, PATIENCE)
        loop.unwatch(ours.fileno())

    began = time.monotonic()
    with asyncio.Runner(loop_factory=PumpLoop) as runner:
        runner.run(main())
    assert told == ["soon", "later", "future"]
    assert time.monotonic() - began < PATIENCE


def test_beside_a_flood(ends: tuple[socket.socket, socket.socket]) -> None:
    """A socket that is always ready keeps neither other sockets nor timers waiting."""
    ours, theirs = ends
    a, b = socket.socketpair()
    a.setblocking(False)

    async def main() -> list[Any]:
        loop: Any = asyncio.get_running_loop()

        def ready() -> None:
            # It sends itself the next one.
            theirs.send(ours.recv(10))

        theirs.send(b"again")
        loop.watch(ours.fileno(), ready)
        b.send(b"other")
        heard = await asyncio.wait_for(loop.sock_recv(a, 10), PATIENCE)
        slept = await asyncio.wait_for(asyncio.sleep(0.01, "slept"), PATIENCE)
        loop.unwatch(ours.fileno())
        return [heard, slept]

    with a, b, asyncio.Runner(loop_factory=PumpLoop) as runner:
        assert runner.run(main()) == [b"other", "slept"]


def test_a_pump_that_raises(ends: tuple[socket.socket, socket.socket]) -> None:
    """The loop tells it, as it does of its own callbacks, and goes on."""
    ours, theirs = ends
    told: list[Any] = []

    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, about: told.append(about["exception"]))
        done = loop.create_future()

        def ready() -> None:
            if ours.recv(10) == b"1":
                raise ZeroDivisionError
            done.set_result(None)

        loop.watch(ours.fileno(), ready)
        theirs.send(b"1")
        theirs.send(b"2")
        await asyncio.wait_for(done, PATIENCE)
        loop.unwatch(ours.fileno())

    with asyncio.Runner(loop_factory=PumpLoop) as runner:
        runner.run(main())
    assert [type(one) for one in told] == [ZeroDivisionError]


def test_datagrams_that_are_gathered(
    ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop sleeps before it looks, but not past what is due, and not where nothing is gathered."""
    ours, theirs = ends
    slept: list[float] = []
    gathering = Gathering(SPAN)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, PumpLoop)
        loop.gather(gathering)
        done = loop.create_future()

        def ready() -> None:
            match ours.recv(10):
                case b"busy":
                    gathering.pause = SPAN
                    theirs.send(b"last")
                case b"last":
                    gathering.pause = 0.0
                    slept.append(0.0)
                    done.set_result(None)

        loop.watch(ours.fileno(), ready)
        theirs.send(b"busy")
        await asyncio.wait_for(done, PATIENCE)
        gathering.pause = SPAN
        # Due sooner than a pause would end.
        await asyncio.sleep(SPAN / 2)
        loop.unwatch(ours.fileno())

    monkeypatch.setattr(time, "sleep", slept.append)
    with asyncio.Runner(loop_factory=PumpLoop) as runner:
        runner.run(main())
    assert slept == [SPAN, 0.0]


def test_datagrams_that_have_ended(
    ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A socket that is read on, where no datagram comes any more, is not kept waiting at each wake-up."""
    ours, theirs = ends
    slept: list[float] = []
    gathering = Gathering(SPAN)
    gathering.pause = SPAN
    count = 3 * VAIN

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, PumpLoop)
        loop.gather(gathering)
        done = loop.create_future()
        left = count

        def ready() -> None:
            nonlocal left
            ours.recv(10)
            left -= 1
            if left:
                theirs.send(b"more")
            else:
                done.set_result(None)

        loop.watch(ours.fileno(), ready)
        theirs.send(b"first")
        await asyncio.wait_for(done, PATIENCE)
        loop.unwatch(ours.fileno())

    monkeypatch.setattr(time, "sleep", slept.append)
    with asyncio.Runner(loop_factory=PumpLoop) as runner:
        runner.run(main())
    assert VAIN <= slept.count(SPAN) <= VAIN + 1
