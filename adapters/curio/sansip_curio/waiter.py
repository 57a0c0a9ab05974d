"""Resumes pumps from curio: a task for each socket, and curio's two traps for readiness.

Theory of operation: curio leaves a socket registered with its selector while
its task waits for the same thing again, so a wake-up costs one turn of the kernel
and no system call beside its poll. Tasks can only be spawned by tasks, and
pumps are plain code; so what a pump starts is kept in a list, and whoever
drives the pump spawns it before waiting again.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import curio
from curio.traps import _io_release, _read_wait, _write_wait

from sansip_sockets import PAUSE, READ, Pump

__all__ = ["Waiter"]


class Waiter:
    """Drives pumps, and coroutines beside them, until they end or until ``close``."""

    def __init__(self) -> None:
        self._new: list[Coroutine[Any, Any, None]] = []
        self._tasks: set[Any] = set()

    def spawn(self, pump: Pump) -> None:
        """Have ``pump`` started when the pump that asks for it waits, or by ``flush``."""
        self._new.append(self._drive(pump))

    def start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """The same for a coroutine."""
        self._new.append(self._until_done(coroutine))

    async def flush(self) -> None:
        """Spawn what was started by plain code."""
        while self._new:
            # Nobody joins them: curio would complain of others than daemons.
            task = await curio.spawn(self._new.pop(0), daemon=True)
            self._tasks.add(task)

    async def close(self) -> None:
        """Cancel all tasks but the one that calls, and wait for them to end."""
        own = {await curio.current_task()}
        await self.flush()
        while others := self._tasks - own:
            for task in others:
                await task.cancel()
            # What a task started in its last turn.
            await self.flush()

    async def _until_done(self, coroutine: Coroutine[Any, Any, None]) -> None:
        try:
            await coroutine
            await self.flush()
        finally:
            self._tasks.discard(await curio.current_task())

    async def _drive(self, pump: Pump) -> None:
        try:
            kind, sock, timeout = pump.send(None)  # type: ignore[arg-type]
            while True:
                if self._new:
                    await self.flush()
                ready = False
                if kind == PAUSE:
                    await _io_release(sock)
                    if timeout:
                        await curio.sleep(timeout)
                elif timeout is None:
                    await (_read_wait(sock) if kind == READ else _write_wait(sock))
                    ready = True
                else:
                    async with curio.ignore_after(timeout):
                        await (_read_wait(sock) if kind == READ else _write_wait(sock))
                        ready = True
                kind, sock, timeout = pump.send(ready)
        except StopIteration:
            pass
        finally:
            pump.close()
            self._tasks.discard(await curio.current_task())
