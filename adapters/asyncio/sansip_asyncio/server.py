"""The front doors: ``async with serve(...)`` inside a program, ``run(...)`` as a program.

Theory of operation: all that is particular to asyncio is here and in
``waiter``: signals, tasks for handlers that are coroutines, and the shape that
asyncio's users expect. What a server does is in ``sansip_sockets``.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from typing import Any

from sansip.actions import Action
from sansip.driver import AnyStack, FilterFactory
from sansip.limits import Limits
from sansip_asyncio.waiter import Waiter
from sansip_sockets import BoundListener, Build, Handlers, assemble, prepare, tune_gc

__all__ = ["Server", "run", "serve"]

# Seconds between two looks whether a draining stack has finished.
DRAIN_POLL = 0.05


class Server:
    """A running server. Made by ``serve`` and ``run``; all methods belong to its loop's thread."""

    def __init__(self, stack: AnyStack, bound: list[BoundListener], **options: Any) -> None:
        self.stack = stack
        self.listeners = bound
        self._waiter = Waiter(asyncio.get_running_loop())
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = asyncio.Event()
        self._hub = assemble(stack, bound, self._waiter.spawn, start_coroutine=self._start, **options)
        self._hub.start()

    def send(self, actions: list[Action]) -> None:
        """Perform actions that a call to ``self.stack`` returned."""
        self._hub.send(actions)

    async def drain(self, timeout: float = 32.0) -> bool:  # noqa: ASYNC109
        """Refuse new dialogs and wait until nothing runs; False when ``timeout`` s were not enough."""
        end = self._hub.clock() + timeout
        self._hub.drain()
        while not self._hub.idle and not self._closed.is_set():
            if self._hub.clock() >= end:
                return False
            await asyncio.sleep(DRAIN_POLL)
        return True

    def stop(self) -> None:
        """Close everything at once. Harmless when repeated."""
        if not self._closed.is_set():
            self._closed.set()
            for task in self._tasks:
                task.cancel()
            self._waiter.close()
            self._hub.close()

    async def wait_closed(self) -> None:
        """Return when the server has been stopped."""
        await self._closed.wait()

    serve_forever = wait_closed

    def _start(self, coroutine: Coroutine[Any, Any, Any], done: Callable[[Any], None]) -> None:
        """Run a handler that is ``async def``."""

        def finished(task: asyncio.Task[Any]) -> None:
            self._tasks.discard(task)
            if not self._closed.is_set():
                cancelled = task.cancelled()
                done(TimeoutError("cancelled") if cancelled else task.exception() or task.result())

        task = self._waiter.loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(finished)


@contextlib.asynccontextmanager
async def serve(
    build: Build,
    listeners: Sequence[Any] | None = None,
    *,
    handlers: Handlers | None = None,
    notify: Callable[[Any], None] | None = None,
    filters: Mapping[str, FilterFactory] | None = None,
    limits: Limits | None = None,
) -> AsyncIterator[Server]:
    """Serve in the running loop until the block is left. Raises ``BindError``."""
    stack, bound = prepare(build, listeners, filters)
    server = Server(stack, bound, handlers=handlers, notify=notify, filters=filters, limits=limits)
    try:
        yield server
    finally:
        server.stop()


def run(
    build: Build,
    listeners: Sequence[Any] | None = None,
    *,
    on_ready: Callable[[Server], None] | None = None,
    on_reload: Callable[[], None] | None = None,
    handlers: Handlers | None = None,
    notify: Callable[[Any], None] | None = None,
    filters: Mapping[str, FilterFactory] | None = None,
    limits: Limits | None = None,
    drain_time: float = 32.0,
    uvloop: bool = False,
) -> int:
    """Serve until SIGTERM or SIGINT, drain, and return the exit status 0.

    A second signal, or ``server.stop()``, ends it without draining. Raises
    ``BindError`` before anything else happens, and ``ModuleNotFoundError`` where
    uvloop is asked for and missing.
    """
    loop_factory = _uvloop_factory() if uvloop else None
    stack, bound = prepare(build, listeners, filters)

    async def main() -> int:
        server = Server(stack, bound, handlers=handlers, notify=notify, filters=filters, limits=limits)
        draining: list[asyncio.Task[None]] = []

        async def drain() -> None:
            await server.drain(drain_time)
            server.stop()

        def drain_or_stop() -> None:
            if draining:
                server.stop()
            else:
                draining.append(asyncio.ensure_future(drain()))

        try:
            with _signals(drain_or_stop, on_reload):
                if on_ready is not None:
                    on_ready(server)
                with tune_gc():
                    await server.wait_closed()
        finally:
            server.stop()
        return 0

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(main())


@contextlib.contextmanager
def _signals(stop: Callable[[], None], reload: Callable[[], None] | None) -> Iterator[None]:
    """Handle signals in the loop while the block runs."""
    loop = asyncio.get_running_loop()
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers: dict[int, Callable[[], None]] = {signal.SIGTERM: stop, signal.SIGINT: stop}
    if reload is not None:
        handlers[signal.SIGHUP] = reload
    for number, function in handlers.items():
        loop.add_signal_handler(number, function)
    try:
        yield
    finally:
        for number in handlers:
            loop.remove_signal_handler(number)


def _uvloop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ModuleNotFoundError:
        raise ModuleNotFoundError("uvloop is not installed; pip install 'sansip[uvloop]'") from None
    return uvloop.new_event_loop
