"""Pumps on an event loop that calls back: the part that the waiters of asyncio and gevent share.

Theory of operation: each pump has a ``Driven``, which resumes it. A runtime says how to watch a
descriptor and how to be called later; each returns the function that ends it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from sansip_sockets.driven import Driven, End
from sansip_sockets.waits import Pump

__all__ = ["CallbackWaiter", "End"]


class CallbackWaiter(ABC):
    """Drives pumps until they end, or until ``close``."""

    def __init__(self) -> None:
        self._driven: set[Driven] = set()

    @abstractmethod
    def watch(self, fd: int, kind: int, ready: Callable[[], None]) -> End:
        """Call ``ready`` whenever ``fd`` is readable (``READ``) or writable (``WRITE``)."""

    @abstractmethod
    def after(self, seconds: float, expired: Callable[[], None]) -> End:
        """Call ``expired`` once, in ``seconds``."""

    def spawn(self, pump: Pump) -> None:
        """Start ``pump``; it runs to its first wait before this returns."""
        driven = Driven(self, pump)
        self._driven.add(driven)
        driven.resume(None)

    @property
    def is_resuming(self) -> bool:
        """Whether a pump is running, and so is our caller."""
        return any(driven.running for driven in self._driven)

    def close(self) -> None:
        """Let go of all pumps and sockets. Not to be called by a pump."""
        for driven in self._driven:
            driven.unwatch()
            driven.pump.close()
        self._driven.clear()

    def ended(self, driven: Driven) -> None:
        self._driven.discard(driven)
