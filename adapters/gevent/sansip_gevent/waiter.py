"""Resumes pumps from gevent's hub: ``loop.io`` and ``loop.timer``.

Theory of operation: see ``sansip_sockets.callbacks``. The callbacks run in the
hub, so a wake-up costs no switch between greenlets; and since the hub cannot
wait, no pump is ever entered while another one, or the same, is under way.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from sansip_sockets import CallbackWaiter, End

__all__ = ["Waiter"]


class Waiter(CallbackWaiter):
    """Drives pumps until they end, or until ``close``. ``loop`` is that of a gevent hub."""

    def __init__(self, loop: Any) -> None:
        super().__init__()
        self.loop = loop

    def watch(self, fd: int, kind: int, ready: Callable[[], None]) -> End:
        """Call ``ready`` whenever ``fd`` is readable or writable."""
        # READ and WRITE are the numbers of libev and libuv.
        return _started(self.loop.io(fd, kind), ready)

    def after(self, seconds: float, expired: Callable[[], None]) -> End:
        """Call ``expired`` once, in ``seconds``."""
        return _started(self.loop.timer(seconds), expired)


def _started(watcher: Any, callback: Callable[[], None]) -> End:
    watcher.start(callback)
    return partial(_end, watcher)


def _end(watcher: Any) -> None:
    watcher.stop()
    watcher.close()
