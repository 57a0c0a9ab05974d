"""asyncio's loop, for a thread that does nothing but serve.

Theory of operation: for each socket that is ready, asyncio queues a handle, and calls it later in the same
turn: seven functions for a wake-up. asyncio waits in a selector, which the maker of a loop may choose. The
selector of this loop resumes the pumps itself, and goes on waiting. It returns to the loop when there is
something for the loop: an event of another socket, a callback or timer that a pump gave to the loop, or the
end of the time-out. While datagrams are gathered (``sansip_sockets.gathering``) it sleeps before it asks
what is ready. ``run`` makes such a loop; ``serve`` leaves the loop of an embedding program as it is.
"""

from __future__ import annotations

import asyncio
import os
import select
import selectors
import time
from collections.abc import Callable
from contextvars import Context
from typing import Any, TypeVarTuple, Unpack

from sansip_sockets import Gathering

__all__ = ["PumpLoop"]

_Ts = TypeVarTuple("_Ts")
# The events of a socket that can be read and has no error.
_READABLE = getattr(select, "EPOLLIN", 0)


class _Selector(selectors.DefaultSelector):
    """Calls the function in ``pumps`` of each descriptor that is readable; ``failed`` gets its exceptions."""

    def __init__(self, failed: Callable[[Exception], None]) -> None:
        super().__init__()
        self._failed = failed
        self.pumps: dict[int, Callable[[], None]] = {}
        # Whether the loop has got a callback or a timer since it began to wait, so that it has to wake.
        self.wanted = False
        # How long to sleep before the next wait; of the hub whose loop this is.
        self.gathering = Gathering()
        # The same epoll set by a descriptor of our own; None where the system has no epoll.
        epoll = getattr(select, "epoll", None)
        self._epoll: Any = None if epoll is None else epoll.fromfd(os.dup(self.fileno()))

    def select(self, timeout: float | None = None) -> list[Any]:
        """Resume pumps until something else is ready or due; return what is ready for the loop."""
        pumps = self.pumps
        if not pumps or self._epoll is None:
            return super().select(timeout)
        poll, clock = self._epoll.poll, time.monotonic
        gathering = self.gathering
        until = None if timeout is None else clock() + timeout
        self.wanted = False
        while True:
            pause = gathering.pause
            if pause and (timeout is None or timeout > pause):
                gathering.paused()
                time.sleep(pause)
            ready = poll(timeout)
            others = False
            for fd, events in ready:
                resume = pumps.get(fd)
                if resume is None or events != _READABLE:
                    others = True
                    continue
                try:
                    resume()
                except Exception as error:
                    self._failed(error)
            if others:
                # Level-triggered: sockets that were not served are still ready.
                return super().select(0)
            if self.wanted or not ready:
                return []
            if until is not None:
                timeout = until - clock()
                if timeout <= 0:
                    return []

    def close(self) -> None:
        if self._epoll is not None:
            self._epoll.close()
        super().close()


class PumpLoop(asyncio.SelectorEventLoop):
    """A loop whose selector resumes pumps (``watch``)."""

    # asyncio asks for the time twice in each turn; this saves the method between it and the clock.
    time = staticmethod(time.monotonic)

    def __init__(self) -> None:
        self._pumps = _Selector(self._pump_failed)
        super().__init__(self._pumps)

    def _pump_failed(self, error: Exception) -> None:
        self.call_exception_handler({"message": "a pump raised", "exception": error})

    def gather(self, gathering: Gathering) -> None:
        """Sleep as ``gathering`` says before each wait."""
        self._pumps.gathering = gathering

    def watch(self, fd: int, ready: Callable[[], None]) -> None:
        """Call ``ready`` whenever ``fd`` is readable, until ``unwatch``."""
        self.add_reader(fd, ready)
        self._pumps.pumps[fd] = ready

    def unwatch(self, fd: int) -> None:
        """Call nothing for ``fd`` any more."""
        self._pumps.pumps.pop(fd, None)
        self.remove_reader(fd)

    # A pump may call these while the selector waits: the selector then has to return.

    def call_soon(
        self, callback: Callable[[Unpack[_Ts]], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.Handle:
        self._pumps.wanted = True
        return super().call_soon(callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[_Ts]], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        self._pumps.wanted = True
        return super().call_at(when, callback, *args, context=context)

    def stop(self) -> None:
        self._pumps.wanted = True
        super().stop()
