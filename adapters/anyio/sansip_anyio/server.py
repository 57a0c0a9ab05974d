"""All of the anyio adapter: the waiter, ``async with serve(...)``, and ``run(...)`` as a program.

Theory of operation: one task waits, by ``anyio.wait_readable`` for the descriptor of a
``PolledWaiter``, and all pumps are resumed from there: no task for each connection.
Its task group also has the tasks of handlers; a stop cancels that group. It belongs to a task of
the server's own, so that stopping does not cancel the block of ``async with serve(...)``. The
code does not depend on the backend.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from typing import Any, Literal, Unpack

import anyio
from anyio.abc import TaskGroup, TaskStatus

from sansip.driver import AnyStack
from sansip_sockets import BoundListener, Build, Options, prepare, running
from sansip_sockets.front import PolledServer

__all__ = ["Server", "run", "serve"]


class Server(PolledServer):
    """A running server. Made by ``serve`` and ``run``; all methods belong to the loop's thread."""

    def __init__(
        self, stack: AnyStack, bound: list[BoundListener], tasks: TaskGroup, **options: Unpack[Options]
    ) -> None:
        self._tasks = tasks
        super().__init__(stack, bound, anyio.Event, tasks.start_soon, **options)

    def stop(self) -> None:
        """Close everything soon. Harmless when repeated, and in any callback of the server."""
        self._tasks.cancel_scope.cancel()

    async def turn(self) -> None:
        """Wait and resume the pumps, until cancelled. The task of ``serve``."""
        waiter = self._waiter
        while True:
            planned = waiter.deadline()
            with anyio.move_on_after(waiter.seconds_until(planned)):
                while waiter.deadline() >= planned:
                    await anyio.wait_readable(waiter)
                    waiter.turn()
            waiter.turn()


@asynccontextmanager
async def serve(
    build: Build, listeners: Sequence[Any] | None = None, **options: Unpack[Options]
) -> AsyncIterator[Server]:
    """Serve until the block is left. Raises ``BindError``, and what the block raises in a group."""
    stack, bound = prepare(build, listeners, options.get("filters"))
    async with anyio.create_task_group() as tasks:
        server: Server = await tasks.start(_serve, stack, bound, options)
        try:
            yield server
        finally:
            server.stop()


async def _serve(
    stack: AnyStack, bound: list[BoundListener], options: Options, *, task_status: TaskStatus[Server]
) -> None:
    with ExitStack() as in_the_end:
        async with anyio.create_task_group() as tasks:
            server = Server(stack, bound, tasks, **options)
            in_the_end.callback(server.close)
            task_status.started(server)
            # It never ends by itself: the group is left when it is cancelled.
            await server.turn()


def run(
    build: Build,
    listeners: Sequence[Any] | None = None,
    *,
    backend: Literal["asyncio", "trio"] = "asyncio",
    on_ready: Callable[[Server], None] | None = None,
    on_reload: Callable[[], object] | None = None,
    drain_time: float = 32.0,
    uvloop: bool = False,
    **options: Unpack[Options],
) -> int:
    """Serve until SIGTERM or SIGINT, drain, and return the exit status 0.

    A second signal, or ``server.stop()``, ends it without draining. Raises
    ``BindError`` before anything else happens, and ``ValueError`` where uvloop,
    an event loop of asyncio, is asked for under trio.
    """
    if uvloop and backend != "asyncio":
        raise ValueError("uvloop is an event loop for asyncio; trio has its own")

    async def main() -> int:
        async with serve(build, listeners, **options) as server:
            with running(server, on_ready, on_reload, drain_time):
                await server.wait_closed()
        return 0

    return anyio.run(main, backend=backend, backend_options={"use_uvloop": True} if uvloop else {})
