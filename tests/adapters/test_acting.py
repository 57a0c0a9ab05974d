"""Programs around the stack make and take calls: ``server.act``, one contract for every runtime.

Theory of operation: ``story`` is what a program does, as a coroutine over a ``World``; each world says how
its runtime begins something beside it, waits for that, and sleeps. Under gevent a call is plain, so the
coroutine never waits and is stepped once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from sansip import ListenerConfig, Stack, StackConfig
from sansip.errors import LocalProtocolError
from sansip.events import CallOffered, CallPlaced, CallProgressed, CallTransferred
from sansip.ua import CallEnded, CallRefused, UserAgentConfig
from tests.missing import needed
from tests.ua.phones import ANSWER, OFFER

LISTENERS = [ListenerConfig(0, "udp", "127.0.0.1", 0)]
# Hundredths of a second that something may take.
PATIENCE = 800


def stack(listeners: list[Any]) -> Stack:
    """A stack whose route leaves calls to the program around it."""

    def route(request: Any) -> None:
        if request.method == "INVITE":
            incoming = request.incoming()
            if incoming is not None:
                incoming.hand_out()
        else:
            request.reply(200)

    ua = UserAgentConfig(transfers="accept", replaces="anyone")
    return Stack(StackConfig(listeners, ["biloxi.test"], route=route, ua=ua), bytes(32))


class World:
    """The parts of a runtime that the story needs. ``events`` are those that the stack told."""

    server: Any

    def __init__(self) -> None:
        self.events: list[Any] = []

    async def act(self, verb: str, number: int = 0, **given: Any) -> Any:
        return await self.server.act(verb, number, **given)

    async def start(self, verb: str, number: int = 0, **given: Any) -> Any:
        """Begin ``act``; return what ``result`` waits for."""
        raise NotImplementedError

    async def result(self, task: Any) -> Any:
        raise NotImplementedError

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError

    async def event(self, kind: type) -> Any:
        """Return the next event of ``kind``, and forget it."""
        for _ in range(PATIENCE):
            for one in self.events:
                if isinstance(one, kind):
                    self.events.remove(one)
                    return one
            await self.sleep(0.01)
        raise AssertionError(f"no {kind.__name__} among {self.events}")


async def story(world: World) -> None:
    """Calls to oneself, so that both sides are the program's: made, taken, changed, sent on, ended."""
    uri = f"sip:desk@127.0.0.1:{world.server.listeners[0].address[1]}"
    assert (await world.act("request", method="OPTIONS", uri=uri)).status == 200
    calling = await world.start("invite", uri=uri, sdp=OFFER)
    offered = await world.event(CallOffered)
    assert offered.sdp == OFFER
    await world.act("ring", offered.number)
    accepted = await world.act("accept", offered.number, sdp=ANSWER)
    call = await world.result(calling)
    assert call.remote_sdp == ANSWER
    for verb, given in (
        ("hold", {}),
        ("resume", {}),
        ("update", {}),
        ("reinvite", {}),
        ("info", {"body": b"5", "content_type": "application/dtmf"}),
        ("message", {"text": "hello"}),
        ("request", {"method": "OPTIONS"}),
    ):
        assert (await world.act(verb, call.number, **given)).status == 200
    # The other side is sent on, and calls us anew.
    sending = await world.start("transfer", call.number, to=uri)
    second = await world.event(CallOffered)
    taken = await world.act("accept", second.number, sdp=ANSWER)
    assert await world.result(sending) == 200
    moved = await world.event(CallTransferred)
    assert (moved.number, moved.target) == (accepted.number, uri)
    over = await world.start("over", accepted.number)
    await world.act("bye", call.number)
    assert await world.result(over) == "BYE"
    await world.act("bye", taken.number)
    # Refused, and given up.
    calling = await world.start("invite", uri=uri, sdp=OFFER)
    await world.act("reject", (await world.event(CallOffered)).number, status=486)
    with pytest.raises(CallRefused, match="486"):
        await world.result(calling)
    calling = await world.start("invite", uri=uri, sdp=OFFER, within=0.3)
    offered = await world.event(CallOffered)
    await world.act("ring", offered.number)
    with pytest.raises(CallRefused):
        await world.result(calling)
    # The caller hears of a verb that cannot be done.
    with pytest.raises(LocalProtocolError, match="over"):
        await world.act("bye", call.number)
    with pytest.raises(LocalProtocolError, match="name its number"):
        await world.act("bye")
    # A call that ends while its request waits.
    placed = await world.event(CallPlaced)
    while placed.number != call.number:
        placed = await world.event(CallPlaced)
    # One that rings is given up.
    world.events.clear()
    calling = await world.start("invite", uri=uri, sdp=OFFER)
    offered = await world.event(CallOffered)
    await world.act("ring", offered.number)
    rings = await world.event(CallProgressed)
    assert rings.status == 180
    placed = await world.event(CallPlaced)
    assert placed.number == rings.number
    await world.act("cancel", placed.number)
    with pytest.raises(CallRefused, match="487"):
        await world.result(calling)
    calling = await world.start("invite", uri=uri, sdp=OFFER)
    accepted = await world.act("accept", (await world.event(CallOffered)).number, sdp=ANSWER)
    call = await world.result(calling)
    waiting = await world.start("transfer", call.number, to=uri)
    await world.event(CallOffered)
    await world.act("bye", accepted.number)
    with pytest.raises(CallEnded):
        await world.result(waiting)


def on_asyncio() -> None:
    import asyncio

    import sansip_asyncio

    class Here(World):
        async def start(self, verb: str, number: int = 0, **given: Any) -> Any:
            task = asyncio.create_task(self.act(verb, number, **given))
            # Its wish is told before the next one of ours.
            await asyncio.sleep(0)
            return task

        async def result(self, task: Any) -> Any:
            return await task

        async def sleep(self, seconds: float) -> None:
            await asyncio.sleep(seconds)

    async def main() -> None:
        world = Here()
        async with sansip_asyncio.serve(stack, LISTENERS, notify=world.events.append) as world.server:
            await story(world)

    asyncio.run(main())


class Nursery(World):
    """Of the runtimes that have task groups."""

    tasks: Any

    async def start(self, verb: str, number: int = 0, **given: Any) -> Any:
        found: list[Any] = []
        begun: list[bool] = []

        async def run() -> None:
            begun.append(True)
            try:
                found.append((await self.act(verb, number, **given), None))
            except Exception as error:
                found.append((None, error))

        self.tasks.start_soon(run)
        while not begun:
            await self.sleep(0)
        return found

    async def result(self, task: Any) -> Any:
        for _ in range(PATIENCE):
            if task:
                value, error = task[0]
                if error is not None:
                    raise error
                return value
            await self.sleep(0.01)
        raise AssertionError("it never ended")


def on_trio() -> None:
    trio = needed("trio")
    sansip_trio = needed("sansip_trio")

    class Here(Nursery):
        async def sleep(self, seconds: float) -> None:
            await trio.sleep(seconds)

    async def main() -> None:
        world = Here()
        async with (
            trio.open_nursery() as world.tasks,
            sansip_trio.serve(stack, LISTENERS, notify=world.events.append) as world.server,
        ):
            await story(world)

    trio.run(main)


def on_anyio(backend: str) -> None:
    anyio = needed("anyio")
    sansip_anyio = needed("sansip_anyio")

    class Here(Nursery):
        async def sleep(self, seconds: float) -> None:
            await anyio.sleep(seconds)

    async def main() -> None:
        world = Here()
        async with (
            anyio.create_task_group() as world.tasks,
            sansip_anyio.serve(stack, LISTENERS, notify=world.events.append) as world.server,
        ):
            await story(world)

    anyio.run(main, backend=backend)


def on_curio() -> None:
    # First, for it makes curio importable (``sansip_curio.compat``).
    sansip_curio = needed("sansip_curio")
    import curio

    class Here(World):
        async def start(self, verb: str, number: int = 0, **given: Any) -> Any:
            async def run() -> Any:
                return await self.act(verb, number, **given)

            task = await curio.spawn(run)
            await curio.sleep(0)
            return task

        async def result(self, task: Any) -> Any:
            try:
                return await task.join()
            except curio.TaskError as error:
                raise (error.__cause__ or error) from None

        async def sleep(self, seconds: float) -> None:
            await curio.sleep(seconds)

    async def main() -> None:
        world = Here()
        async with sansip_curio.serve(stack, LISTENERS, notify=world.events.append) as world.server:
            await story(world)

    curio.run(main)


def on_gevent() -> None:
    gevent = needed("gevent")
    sansip_gevent = needed("sansip_gevent")

    class Here(World):
        async def act(self, verb: str, number: int = 0, **given: Any) -> Any:
            return self.server.act(verb, number, **given)

        async def start(self, verb: str, number: int = 0, **given: Any) -> Any:
            def run() -> Any:
                try:
                    return self.server.act(verb, number, **given), None
                except Exception as error:
                    return None, error

            greenlet = gevent.spawn(run)
            gevent.sleep(0)
            return greenlet

        async def result(self, task: Any) -> Any:
            value, error = task.get(timeout=8)
            if error is not None:
                raise error
            return value

        async def sleep(self, seconds: float) -> None:
            gevent.sleep(seconds)

    world = Here()
    world.server = sansip_gevent.Server(stack, LISTENERS, notify=world.events.append)
    world.server.start()
    try:
        with pytest.raises(StopIteration):
            story(world).send(None)
    finally:
        world.server.stop()


def on_blocking() -> None:
    import sansip_blocking
    from sansip_sockets.outcome import outcome

    class Here(World):
        async def act(self, verb: str, number: int = 0, **given: Any) -> Any:
            return self.server.act(verb, number, **given)

        async def start(self, verb: str, number: int = 0, **given: Any) -> Any:
            told: list[Any] = []
            self.server.hub.act(verb, number, given, told.append)
            return told

        async def result(self, task: Any) -> Any:
            for _ in range(PATIENCE):
                if task:
                    return outcome(task[0])
                await self.sleep(0.01)
            raise AssertionError("it never ended")

        async def sleep(self, seconds: float) -> None:
            # Nothing runs beside it: it serves meanwhile.
            self.server.turn(seconds)

    world = Here()
    world.server = sansip_blocking.Server(stack, LISTENERS, notify=world.events.append)
    with world.server, pytest.raises(StopIteration):
        story(world).send(None)


RUNTIMES: dict[str, Callable[[], None]] = {
    "asyncio": on_asyncio,
    "trio": on_trio,
    "anyio-asyncio": lambda: on_anyio("asyncio"),
    "anyio-trio": lambda: on_anyio("trio"),
    "curio": on_curio,
    "gevent": on_gevent,
    "blocking": on_blocking,
}


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_whole_calls(runtime: str) -> None:
    """The same program on each runtime, each verb that there is."""
    if runtime == "curio" and sys.version_info >= (3, 14):
        pytest.skip("curio does not run there")
    RUNTIMES[runtime]()
