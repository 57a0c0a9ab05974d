"""Pumps on a selector of their own: for runtimes whose only way to wait is a task, or a thread, that waits.

Theory of operation: curio and trio have no callback for a socket that is ready, and
a task for each connection costs more memory than the connection. But a selector
has a descriptor itself, which is readable whenever one that it watches is ready
(epoll and kqueue can be watched by each other). So the runtime waits for one descriptor, in
one task, and ``turn`` then resumes every pump that can go on:

    while True:
        with timeout_at(planned := waiter.deadline()):
            while waiter.deadline() >= planned:
                await readable(waiter)
                waiter.turn()
        waiter.turn()

A timeout costs much on these runtimes, so one serves many waits, until it has passed or something
is due before it. A thread that does nothing else can wait in ``turn(seconds)`` itself.
"""

from __future__ import annotations

import heapq
import selectors
import time
from collections.abc import Callable, Mapping
from functools import partial
from math import inf
from typing import Any

from sansip_sockets.callbacks import CallbackWaiter, End
from sansip_sockets.waits import READ, WRITE

__all__ = ["PolledWaiter"]

# Cancelled timers stay in the heap until they would have fired: at most this many, or as many as live ones.
CANCELLED = 64


class _Timer:
    """A function to call at a time; cancelled when ``expired`` is None."""

    __slots__ = ("deadline", "expired")

    def __init__(self, deadline: float, expired: Callable[[], None]) -> None:
        self.deadline = deadline
        self.expired: Callable[[], None] | None = expired

    def __lt__(self, other: _Timer) -> bool:
        return self.deadline < other.deadline


class PolledWaiter(CallbackWaiter):
    """Drives pumps until they end, or until ``close``; ``fileno`` is the descriptor to wait for.

    Code that starts a pump or a timer outside of ``turn`` has to wake the inbox of the hub
    afterwards, so that the task that waits asks for the ``deadline`` again.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._selector = selectors.DefaultSelector()
        # A heap.
        self._timers: list[_Timer] = []
        self._cancelled = 0
        # How often a watch began or ended: where the number is the same, so are the watches.
        self.changes = 0
        # Descriptor -> what resumes the pumps that wait for it, at the places READ and WRITE.
        self.places: dict[int, list[Callable[[], None] | None]] = {}

    def fileno(self) -> int:
        """Return the descriptor that is readable while a pump can go on."""
        return int(self._selector.fileno())

    def deadline(self) -> float:
        """Return when ``turn`` is due even if nothing is ready, by the clock; infinity: never."""
        timer = self._next()
        return inf if timer is None else timer.deadline

    def seconds_until(self, deadline: float) -> float:
        """Return the seconds from now to ``deadline``, an hour at the most."""
        return min(max(deadline - self._clock(), 0.0), 3_600.0)

    @property
    def watched(self) -> Mapping[Any, selectors.SelectorKey]:
        """The registrations that this waits for, by descriptor."""
        return self._selector.get_map()

    def turn(self, seconds: float = 0.0) -> None:
        """Resume all pumps whose socket is ready, for which it waits ``seconds``, or whose time has come."""
        for key, events in self._selector.select(seconds):
            # An earlier pump may have ended a watch of this turn: then its place is empty.
            for kind in (READ, WRITE):
                if events & kind and (ready := key.data[kind]) is not None:
                    ready()
        now = self._clock()
        while (timer := self._next()) is not None and timer.deadline <= now:
            heapq.heappop(self._timers)
            expired, timer.expired = timer.expired, None
            if expired is not None:
                expired()

    def _next(self) -> _Timer | None:
        timers = self._timers
        while timers and timers[0].expired is None:
            heapq.heappop(timers)
            self._cancelled -= 1
        return timers[0] if timers else None

    def watch(self, fd: int, kind: int, ready: Callable[[], None]) -> End:
        """Call ``ready`` whenever ``fd`` is readable or writable."""
        self.changes += 1
        # READ and WRITE are the numbers of the selectors module.
        key = self._selector.get_map().get(fd)
        if key is None:
            places: list[Callable[[], None] | None] = [None, None, None]
            self._selector.register(fd, kind, places)
            self.places[fd] = places
        else:
            places = key.data
            self._selector.modify(fd, key.events | kind, places)
        places[kind] = ready
        return partial(self._unwatch, fd, kind, places)

    def _unwatch(self, fd: int, kind: int, places: list[Callable[[], None] | None]) -> None:
        self.changes += 1
        places[kind] = None
        other = READ + WRITE - kind
        if places[other] is None:
            self._selector.unregister(fd)
            del self.places[fd]
        else:
            self._selector.modify(fd, other, places)

    def after(self, seconds: float, expired: Callable[[], None]) -> End:
        """Call ``expired`` once, in ``seconds``."""
        timer = _Timer(self._clock() + seconds, expired)
        heapq.heappush(self._timers, timer)
        return partial(self._cancel, timer)

    def _cancel(self, timer: _Timer) -> None:
        if timer.expired is not None:
            timer.expired = None
            self._cancelled += 1
            if self._cancelled > CANCELLED and 2 * self._cancelled > len(self._timers):
                self._timers = [one for one in self._timers if one.expired is not None]
                heapq.heapify(self._timers)
                self._cancelled = 0

    def close(self) -> None:
        """Let go of all pumps and sockets. Not to be called by a pump."""
        super().close()
        self._selector.close()
