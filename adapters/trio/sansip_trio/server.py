"""All of the trio adapter: the waiter, ``async with serve(...)``, and ``run(...)`` as a program.

Theory of operation: one task waits, by ``trio.lowlevel.wait_readable`` for the descriptor of a
``PolledWaiter``, and all pumps are resumed from there: no task for each connection.
Its nursery also has the tasks of handlers; a stop cancels that nursery. It belongs to a task of
the server's own, so that stopping does not cancel the block of ``async with serve(...)``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from typing import Any, Unpack

import trio

from sansip.driver import AnyStack
from sansip_sockets import BoundListener, Build, Options, prepare, running
from sansip_sockets.front import PolledServer

__all__ = ["Server", "run", "serve"]


class Server(PolledServer):
    """A running server. Made by ``serve`` and ``run``; all methods belong to its trio thread."""

    def __init__(
        self, stack: AnyStack, bound: list[BoundListener], nursery: trio.Nursery, **options: Unpack[Options]
    ) -> None:
        self._nursery = nursery
        super().__init__(stack, bound, trio.Event, nursery.start_soon, **options)

    def stop(self) -> None:
        """Close everything soon. Harmless when repeated, and in any callback of the server."""
        self._nursery.cancel_scope.cancel()

    async def turn(self) -> None:
        """Wait and resume the pumps, until cancelled. The task of ``serve``."""
        waiter = self._waiter
        while True:
            planned = waiter.deadline()
            with trio.move_on_after(waiter.seconds_until(planned)):
                while waiter.deadline() >= planned:
                    await trio.lowlevel.wait_readable(waiter)
                    waiter.turn()
            waiter.turn()


@asynccontextmanager
async def serve(
    build: Build, listeners: Sequence[Any] | None = None, **options: Unpack[Options]
) -> AsyncIterator[Server]:
    """Serve until the block is left. Raises ``BindError``, and groups what the block raises, as trio does."""
    stack, bound = prepare(build, listeners, options.get("filters"))
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(_serve, stack, bound, options)
        try:
            yield server
        finally:
            server.stop()


async def _serve(
    stack: AnyStack, bound: list[BoundListener], options: Options, *, task_status: trio.TaskStatus[Server]
) -> None:
    with ExitStack() as in_the_end:
        async with trio.open_nursery() as nursery:
            server = Server(stack, bound, nursery, **options)
            in_the_end.callback(server.close)
            task_status.started(server)
            # It never ends by itself: the nursery is left when it is cancelled.
            await server.turn()


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
        raise ValueError("uvloop is an event loop for asyncio; trio has its own")

    async def main() -> int:
        async with serve(build, listeners, **options) as server:
            with running(server, on_ready, on_reload, drain_time):
                await server.wait_closed()
        return 0

    return trio.run(main)
