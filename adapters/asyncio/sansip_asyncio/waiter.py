"""Resumes pumps from an asyncio event loop: ``add_reader``, ``add_writer``, ``call_later``.

Theory of operation: the watch of a pump stays registered from one wait to the
next as long as the pump yields the same tuple, so a wake-up costs the loop one
callback and no system call beside its poll. No task and no future is involved.
"""

from __future__ import annotations

import asyncio
from inspect import GEN_RUNNING, getgeneratorstate

from sansip_sockets import PAUSE, READ, WRITE, Pump, Wait

__all__ = ["Waiter"]


class Waiter:
    """Drives pumps until they end, or until ``close``."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.driven: set[_Driven] = set()

    def spawn(self, pump: Pump) -> None:
        """Start ``pump``; it runs to its first wait before this returns."""
        driven = _Driven(self, pump)
        self.driven.add(driven)
        driven.resume(None)

    @property
    def is_resuming(self) -> bool:
        """Whether a pump is running, and so is our caller."""
        return any(getgeneratorstate(driven.pump) == GEN_RUNNING for driven in self.driven)

    def close(self) -> None:
        """Let go of all pumps and sockets."""
        for driven in self.driven:
            driven.unwatch()
            driven.pump.close()
        self.driven.clear()


class _Driven:
    """One pump and what it waits for."""

    __slots__ = ("_fd", "_kind", "_owner", "_send", "_timer", "_wait", "pump")

    def __init__(self, owner: Waiter, pump: Pump) -> None:
        self._owner = owner
        self.pump = pump
        self._send = pump.send
        self._wait: Wait | None = None
        self._kind = PAUSE
        self._fd = -1
        self._timer: asyncio.TimerHandle | None = None

    def ready(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.resume(True)

    def timed_out(self) -> None:
        self._timer = None
        self.resume(False)

    def resume(self, value: bool | None) -> None:
        try:
            wait = self._send(value)  # type: ignore[arg-type]
            while wait is not self._wait and wait[0] == PAUSE and not wait[2]:
                self.unwatch()
                wait = self._send(False)
        except StopIteration:
            self.unwatch()
            self._owner.driven.discard(self)
            return
        if wait is not self._wait:
            self._watch(wait)
        if wait[2] is not None:
            self._timer = self._owner.loop.call_later(wait[2], self.timed_out)

    def _watch(self, wait: Wait) -> None:
        kind = wait[0]
        if kind != self._kind or self._fd != wait[1].fileno():
            self.unwatch()
            self._kind, self._fd = kind, wait[1].fileno()
            if kind == READ:
                self._owner.loop.add_reader(self._fd, self.ready)
            elif kind == WRITE:
                self._owner.loop.add_writer(self._fd, self.ready)
        self._wait = wait

    def unwatch(self) -> None:
        if self._kind == READ:
            self._owner.loop.remove_reader(self._fd)
        elif self._kind == WRITE:
            self._owner.loop.remove_writer(self._fd)
        self._kind, self._wait = PAUSE, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
