"""One pump, and what it waits for.

Theory of operation: the watch of a pump stays registered from one wait to the
next as long as the pump yields the same tuple, so a wake-up costs the loop one
callback and no system call beside its poll.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, TypeAlias

from sansip_sockets.waits import PAUSE, Pump, Wait

__all__ = ["Driven", "End"]

# Ends a watch or a timer; also called when the timer has fired.
End: TypeAlias = Callable[[], object]


class Owner(Protocol):
    """What drives pumps (``sansip_sockets.callbacks.CallbackWaiter``)."""

    def watch(self, fd: int, kind: int, ready: Callable[[], None]) -> End: ...
    def after(self, seconds: float, expired: Callable[[], None]) -> End: ...
    def ended(self, driven: Driven) -> None: ...


class Driven:
    """One pump and what it waits for."""

    __slots__ = ("_end_timer", "_end_watch", "_owner", "_send", "_wait", "pump", "running")

    def __init__(self, owner: Owner, pump: Pump) -> None:
        self._owner = owner
        self.pump = pump
        self._send = pump.send
        # Whether the pump is running now.
        self.running = False
        self._wait: Wait | None = None
        self._end_watch: End | None = None
        self._end_timer: End | None = None

    def ready(self) -> None:
        if self._end_timer is not None:
            self._end_timer()
            self._end_timer = None
        # As in ``resume``: nearly every wake-up is this one, and the pump waits for the same again.
        self.running = True
        try:
            wait = self._send(True)
            if wait is not self._wait or wait[2] is not None:
                self._follow(wait)
        except StopIteration:
            self.unwatch()
            self._owner.ended(self)
        finally:
            self.running = False

    def timed_out(self) -> None:
        if self._end_timer is not None:
            self._end_timer()
            self._end_timer = None
        self.resume(False)

    def _belled(self, wait: Any) -> None:
        if self._wait is wait:
            self.timed_out()

    def resume(self, value: bool | None) -> None:
        self.running = True
        try:
            self._follow(self._send(value))  # type: ignore[arg-type]  # its kind is known here
        except StopIteration:
            self.unwatch()
            self._owner.ended(self)
        finally:
            self.running = False

    def _follow(self, wait: Wait) -> None:
        """Wait for what the pump has yielded."""
        while wait is not self._wait and wait[0] == PAUSE and not wait[2]:
            self.unwatch()
            wait = self._send(False)
        if wait is not self._wait:
            self._watch(wait)
        if wait[2] is not None:
            self._end_timer = self._owner.after(wait[2], self.timed_out)

    def _watch(self, wait: Any) -> None:
        # Any: where its length tells a type of tuple, the compiled build makes another object of it.
        kind, sock = wait[0], wait[1]
        if len(wait) == 4:
            wait[3].resume = partial(self._belled, wait)
        before = self._wait
        if before is None or before[0] != kind or before[1] is not sock:
            self.unwatch()
            if kind != PAUSE:
                self._end_watch = self._owner.watch(sock.fileno(), kind, self.ready)
        self._wait = wait

    def unwatch(self) -> None:
        if self._end_watch is not None:
            self._end_watch()
            self._end_watch = None
        if self._end_timer is not None:
            self._end_timer()
            self._end_timer = None
        self._wait = None
