"""The front doors: ``async with serve(...)`` inside a program, ``run(...)`` as a program.

Theory of operation: all that is particular to curio is here and in ``waiter``:
tasks for handlers that are coroutines, a stop that plain code can ask for, and
the shape that curio's users expect. What a server does is in ``sansip_sockets``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, Unpack

import curio

from sansip.actions import Action
from sansip.driver import AnyStack
from sansip_curio.waiter import Waiter
from sansip_sockets import BoundListener, Build, Options, assemble, prepare, signals, tune_gc

__all__ = ["Server", "run", "serve"]


class Server:
    """A running server. Made by ``serve`` and ``run``; all methods belong to its kernel's thread."""

    def __init__(self, stack: AnyStack, bound: list[BoundListener], **options: Unpack[Options]) -> None:
        self.stack = stack
        self.listeners = bound
        self._waiter = Waiter()
        self._closed = curio.Event()
        self._stopping = False
        self.hub = assemble(stack, bound, self._waiter.spawn, start_coroutine=self._start, **options)
        self.hub.start()

    def send(self, actions: list[Action]) -> None:
        """Perform actions that a call to ``self.stack`` returned."""
        self.hub.send(actions)
        self.hub.inbox.wake()  # what this started is spawned by a task

    async def drain(self, timeout: float = 32.0) -> bool:  # noqa: ASYNC109
        """Refuse new dialogs and wait until nothing runs; False when ``timeout`` s were not enough."""
        finished: list[bool] = []
        event = curio.Event()

        def done(result: bool) -> None:
            finished.append(result)
            self._waiter.start(event.set())

        self.hub.drain(timeout, done)
        await self._waiter.flush()
        await event.wait()
        return finished[0]

    def stop(self) -> None:
        """Close everything soon. Harmless when repeated, and in any callback of the server."""
        if not self._stopping:
            self._stopping = True
            self._waiter.start(self._close())
            self.hub.inbox.wake()

    async def wait_closed(self) -> None:
        """Return when the server has been stopped."""
        await self._closed.wait()

    serve_forever = wait_closed

    async def aclose(self) -> None:
        """Close everything, and return when that is done."""
        self.stop()
        await self._waiter.flush()
        await self._closed.wait()

    async def _close(self) -> None:
        await self._waiter.close()
        self.hub.close()
        await self._waiter.flush()
        await self._closed.set()

    def _start(self, coroutine: Coroutine[Any, Any, Any], done: Callable[[Any], None]) -> None:
        """Run a handler that is ``async def``."""

        async def answer() -> None:
            try:
                result = await coroutine
            except (Exception, curio.CancelledError) as error:
                result = error if isinstance(error, Exception) else TimeoutError("cancelled")
            if not self._stopping:
                done(result)

        self._waiter.start(answer())


@asynccontextmanager
async def serve(
    build: Build, listeners: Sequence[Any] | None = None, **options: Unpack[Options]
) -> AsyncIterator[Server]:
    """Serve in the running kernel until the block is left. Raises ``BindError``."""
    stack, bound = prepare(build, listeners, options.get("filters"))
    server = Server(stack, bound, **options)
    try:
        await server._waiter.flush()
        yield server
    finally:
        async with curio.disable_cancellation():
            await server.aclose()


def run(
    build: Build,
    listeners: Sequence[Any] | None = None,
    *,
    on_ready: Callable[[Server], None] | None = None,
    on_reload: Callable[[], None] | None = None,
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
            with signals(server.hub, server.stop, drain_time, on_reload):
                if on_ready is not None:
                    on_ready(server)
                with tune_gc():
                    await server.wait_closed()
        return 0

    return int(curio.run(main))
