"""Resumes pumps from an asyncio event loop: ``add_reader``, ``add_writer``, ``call_later``.

Theory of operation: see ``sansip_sockets.callbacks``. No task and no future is
involved; in a loop of our own, no handle either (``sansip_asyncio.loop``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from sansip_asyncio.loop import PumpLoop
from sansip_sockets import READ, CallbackWaiter, End

__all__ = ["Waiter"]


class Waiter(CallbackWaiter):
    """Drives pumps until they end, or until ``close``."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._loop = loop

    def watch(self, fd: int, kind: int, ready: Callable[[], None]) -> End:
        """Call ``ready`` whenever ``fd`` is readable or writable."""
        if kind == READ:
            if isinstance(self._loop, PumpLoop):
                self._loop.watch(fd, ready)
                return partial(self._loop.unwatch, fd)
            self._loop.add_reader(fd, ready)
            return partial(self._loop.remove_reader, fd)
        self._loop.add_writer(fd, ready)
        return partial(self._loop.remove_writer, fd)

    def after(self, seconds: float, expired: Callable[[], None]) -> End:
        """Call ``expired`` once, in ``seconds``."""
        return self._loop.call_later(seconds, expired).cancel
