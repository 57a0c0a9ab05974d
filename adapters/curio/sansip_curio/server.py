"""The front doors: ``async with serve(...)`` inside a program, ``run(...)`` as a program.

Theory of operation: one task waits, for the descriptor of a ``PolledWaiter``, and all pumps
are resumed from there: no task for each connection. Two things are particular to curio. Only a
task can spawn tasks, so handlers that are coroutines are put on a list, and the task that
waits spawns them. And plain code can ask for a stop.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, Unpack

import curio
from curio.traps import _io_release, _read_wait

from sansip.driver import AnyStack
from sansip_sockets import BoundListener, Build, Options, prepare, running
from sansip_sockets.front import PolledServer

__all__ = ["Server", "run", "serve"]


class Server(PolledServer):
    """A running server. Made by ``serve`` and ``run``; all methods belong to its kernel's thread."""

    def __init__(self, stack: AnyStack, bound: list[BoundListener], **options: Unpack[Options]) -> None:
        self._wanted: list[Coroutine[Any, Any, None]] = []
        self._tasks: set[curio.Task] = set()
        self._stopping = False
        super().__init__(stack, bound, curio.Event, lambda work: self._wanted.append(work()), **options)

    def _set(self, event: Any) -> None:
        # It is a coroutine, and needs a task.
        self._wanted.append(event.set())

    def stop(self) -> None:
        """Close everything soon. Harmless when repeated, and in any callback of the server."""
        if not self._stopping:
            self._stopping = True
            self.hub.inbox.wake()

    async def turn(self) -> None:
        """Wait, resume the pumps, spawn what they started; until stopped. The task of ``serve``."""
        waiter = self._waiter
        try:
            while not self._stopping:
                planned = waiter.deadline()
                async with curio.ignore_after(waiter.seconds_until(planned)):
                    while waiter.deadline() >= planned and not self._stopping:
                        await _read_wait(waiter)
                        waiter.turn()
                        await self._spawn_wanted()
                waiter.turn()
                await self._spawn_wanted()
        finally:
            await _io_release(waiter)
            waiter.close()
            for task in self._tasks:
                await task.cancel(blocking=False)
            self.hub.close()
            await self._spawn_wanted()
            await self._closed.set()

    async def _spawn_wanted(self) -> None:
        while self._wanted:
            # No task joins them, and curio complains about an unjoined task that is not a daemon.
            self._tasks.add(await curio.spawn(self._until_done(self._wanted.pop(0)), daemon=True))

    async def _until_done(self, coroutine: Coroutine[Any, Any, None]) -> None:
        try:
            await coroutine
        finally:
            self._tasks.discard(await curio.current_task())

    def _start(self, coroutine: Coroutine[Any, Any, Any], done: Callable[[Any], None]) -> None:
        """Run a handler that is ``async def``."""

        async def answer() -> None:
            try:
                result = await coroutine
            except (Exception, curio.CancelledError) as error:
                result = error if isinstance(error, Exception) else TimeoutError("cancelled")
            if not self._stopping:
                done(result)
                self.hub.inbox.wake()
            # An error has a traceback, which holds this frame.
            del result

        self._start_task(answer)


@asynccontextmanager
async def serve(
    build: Build, listeners: Sequence[Any] | None = None, **options: Unpack[Options]
) -> AsyncIterator[Server]:
    """Serve in the running kernel until the block is left. Raises ``BindError``."""
    stack, bound = prepare(build, listeners, options.get("filters"))
    server = Server(stack, bound, **options)
    waiting = await curio.spawn(server.turn, daemon=True)
    try:
        yield server
    finally:
        server.stop()
        async with curio.disable_cancellation():
            await waiting.wait()


def run(
    build: Build,
    listeners: Sequence[Any] | None = None,
    *,
    on_ready: Callable[[Server], None] | None = None,
    on_reload: Callable[[], object] | None = None,
    drain_time: float = 32.0,
    uvloop: bool = False,
    **options: Unpack[Options],
) -> int:
    """Serve until SIGTERM or SIGINT, drain, and return the exit status 0.

    A second signal, or ``server.stop()``, ends it without draining. Raises
    ``BindError`` before anything else happens, and ``ValueError`` where uvloop,
    an event loop of asyncio, is asked for.
    """
    if uvloop:
        raise ValueError("uvloop is an event loop for asyncio; curio has its own")

    async def main() -> int:
        async with serve(build, listeners, **options) as server:
            with running(server, on_ready, on_reload, drain_time):
                await server.wait_closed()
        return 0

    return int(curio.run(main))
