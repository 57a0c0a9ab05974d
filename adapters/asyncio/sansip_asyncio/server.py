"""The front doors: ``async with serve(...)`` inside a program, ``run(...)`` as a program.

Theory of operation: all that is particular to asyncio is here, in
``waiter`` and in ``loop``: tasks for handlers that are coroutines, and the shape that asyncio's
users expect. ``sansip_sockets`` contains the work of a server.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, Unpack

from sansip.actions import Action
from sansip.driver import AnyStack
from sansip_asyncio.loop import PumpLoop
from sansip_asyncio.waiter import Waiter
from sansip_sockets import BoundListener, Build, Options, assemble, prepare, running
from sansip_sockets.outcome import outcome

__all__ = ["Server", "run", "serve"]


class Server:
    """A running server. Made by ``serve`` and ``run``; all methods belong to its loop's thread."""

    def __init__(self, stack: AnyStack, bound: list[BoundListener], **options: Unpack[Options]) -> None:
        self.stack = stack
        self.listeners = bound
        self._loop = asyncio.get_running_loop()
        self._waiter = Waiter(self._loop)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = asyncio.Event()
        self.hub = assemble(stack, bound, self._waiter.spawn, start_coroutine=self._start, **options)
        if isinstance(self._loop, PumpLoop):
            self._loop.gather(self.hub.gathering)
        self.hub.start()

    def send(self, actions: list[Action]) -> None:
        """Perform actions that a call to ``self.stack`` returned."""
        self.hub.send(actions)

    async def drain(self, timeout: float = 32.0) -> bool:  # noqa: ASYNC109 (a part of the public signature)
        """Refuse new dialogs and wait until nothing runs; False when ``timeout`` s were not enough."""
        finished: asyncio.Future[bool] = self._loop.create_future()
        self.hub.drain(timeout, lambda result: None if finished.done() else finished.set_result(result))
        return await finished

    async def act(self, verb: str, number: int = 0, **given: Any) -> Any:
        """Do ``verb`` of the user agent, or of call ``number``; return what comes of it (docs/calls.md)."""
        told: asyncio.Future[Any] = self._loop.create_future()
        self.hub.act(verb, number, given, lambda result: None if told.done() else told.set_result(result))
        return outcome(await told)

    def stop(self) -> None:
        """Close everything at once. Harmless when repeated, and in any callback of the server."""
        if self._waiter.is_resuming:
            # A pump called us: it has to come to its next wait first.
            self._loop.call_soon(self.stop)
        elif not self._closed.is_set():
            self._closed.set()
            for task in self._tasks:
                task.cancel()
            self._waiter.close()
            self.hub.close()

    async def wait_closed(self) -> None:
        """Return when the server has been stopped."""
        await self._closed.wait()

    serve_forever = wait_closed

    def _start(self, coroutine: Coroutine[Any, Any, Any], done: Callable[[Any], None]) -> None:
        """Run a handler that is ``async def``."""

        def finished(task: asyncio.Task[Any]) -> None:
            self._tasks.discard(task)
            if not self._closed.is_set():
                failed = TimeoutError("cancelled") if task.cancelled() else task.exception()
                done(task.result() if failed is None else failed)

        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(finished)


@asynccontextmanager
async def serve(
    build: Build, listeners: Sequence[Any] | None = None, **options: Unpack[Options]
) -> AsyncIterator[Server]:
    """Serve in the running loop until the block is left. Raises ``BindError``."""
    stack, bound = prepare(build, listeners, options.get("filters"))
    server = Server(stack, bound, **options)
    try:
        yield server
    finally:
        server.stop()


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
    ``BindError`` before anything else happens, and ``ModuleNotFoundError`` where
    uvloop is asked for and missing.
    """
    loop_factory = _uvloop_factory() if uvloop else PumpLoop
    stack, bound = prepare(build, listeners, options.get("filters"))

    async def main() -> int:
        server = Server(stack, bound, **options)
        try:
            with running(server, on_ready, on_reload, drain_time):
                await server.wait_closed()
        finally:
            server.stop()
        return 0

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(main())


def _uvloop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ModuleNotFoundError:
        raise ModuleNotFoundError("uvloop is not installed; pip install 'sansip[uvloop]'") from None
    return uvloop.new_event_loop
