"""Resumes pumps from gevent's hub: ``loop.io`` and ``loop.timer``.

Theory of operation: the watcher of a pump stays started from one wait to the
next as long as the pump yields the same tuple, and its callback runs in the hub,
so a wake-up costs neither a switch between greenlets nor a system call beside
the loop's poll. A callback of the hub cannot wait, so no pump is ever entered
while another one, or the same, is under way.
"""

from __future__ import annotations

from typing import Any

from sansip_sockets import PAUSE, Pump, Wait

__all__ = ["Waiter"]


class Waiter:
    """Drives pumps until they end, or until ``close``. ``loop`` is that of a gevent hub."""

    def __init__(self, loop: Any) -> None:
        self.loop = loop
        self.driven: set[_Driven] = set()

    def spawn(self, pump: Pump) -> None:
        """Start ``pump``; it runs to its first wait before this returns."""
        driven = _Driven(self, pump)
        self.driven.add(driven)
        driven.resume(None)

    def close(self) -> None:
        """Let go of all pumps and sockets. Not to be called by a pump."""
        for driven in self.driven:
            driven.unwatch()
            driven.pump.close()
        self.driven.clear()


class _Driven:
    """One pump and what it waits for."""

    __slots__ = ("_owner", "_send", "_timer", "_wait", "_watcher", "pump")

    def __init__(self, owner: Waiter, pump: Pump) -> None:
        self._owner = owner
        self.pump = pump
        self._send = pump.send
        self._wait: Wait | None = None
        self._watcher: Any = None
        self._timer: Any = None

    def ready(self) -> None:
        if self._timer is not None:
            self._stop_timer()
        self.resume(True)

    def timed_out(self) -> None:
        self._stop_timer()
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
            self._timer = self._owner.loop.timer(wait[2])
            self._timer.start(self.timed_out)

    def _watch(self, wait: Wait) -> None:
        kind, sock, _ = wait
        if self._wait is None or self._wait[:2] != (kind, sock):
            self.unwatch()
            if kind != PAUSE:
                # READ and WRITE are the numbers of libev and libuv.
                self._watcher = self._owner.loop.io(sock.fileno(), kind)
                self._watcher.start(self.ready)
        self._wait = wait

    def unwatch(self) -> None:
        if self._watcher is not None:
            self._watcher.stop()
            self._watcher.close()
            self._watcher = None
        if self._timer is not None:
            self._stop_timer()
        self._wait = None

    def _stop_timer(self) -> None:
        self._timer.stop()
        self._timer.close()
        self._timer = None
