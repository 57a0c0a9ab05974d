"""The timers, sockets and work of one module, so that all of them end with the module.

Theory of operation: a module starts timers, opens sockets, begins work that waits and watches the location,
all through its ``Core``, which notes it here. If a reload takes the module away, its timers end at once
(``rest``), and the rest of it when the last request that began with it has ended (``end``). An exception of a
timer is the module's failure: the timers of others fire all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from sansip.clock import Timer, TimerOwner, Timers

if TYPE_CHECKING:
    from sansip.location import Binding, MemoryLocation
    from sansip.module.sockets import Sockets

__all__ = ["Belongings", "ModuleTimers", "Watch"]

# Called with an address-of-record, its bindings before, and those after.
Watch = Callable[[str, "Sequence[Binding]", "Sequence[Binding]"], None]


class Work(Protocol):
    """A coroutine of a module (``sansip.routing.stepper.Running``)."""

    def stop(self) -> None: ...


class _Guard:
    """Owns the timers of one module: tells those who started them, and only while they may hear it."""

    __slots__ = ("_failed", "ended")

    def __init__(self, failed: Callable[[str, BaseException], None]) -> None:
        self._failed = failed
        self.ended = False

    def timer_fired(self, name: tuple[TimerOwner, Any], now: float) -> None:
        if self.ended:
            return
        owner, inner = name
        try:
            owner.timer_fired(inner, now)
        except Exception as error:
            self._failed("timer_fired", error)


class ModuleTimers:
    """The timers of one module; ``start`` is that of ``sansip.clock.Timers``."""

    __slots__ = ("_closed", "_failed", "_guard", "_timers")

    def __init__(self, timers: Timers, failed: Callable[[str, BaseException], None]) -> None:
        self._timers = timers
        self._failed = failed
        self._guard = _Guard(failed)
        self._closed = False

    def start(self, now: float, duration: float, owner: TimerOwner, name: Any) -> Timer:
        """Start a timer that calls ``owner.timer_fired(name, now)`` after ``duration`` seconds."""
        if self._closed:
            ended = Timer(now, self._guard, None)
            ended.cancel()
            return ended
        return self._timers.start(now, duration, self._guard, (owner, name))

    def end(self, closed: bool = False) -> None:
        """No timer that was started fires any more; where ``closed``, no further one is started."""
        self._guard.ended = True
        self._guard = _Guard(self._failed)
        self._closed = self._closed or closed


class Belongings:
    """The belongings of one module. ``failed(where, error)`` gets its exceptions.

    Attributes:
        timers: those of the module.
        ended: whether all is over; it gets no socket any more.
    """

    __slots__ = ("_failed", "_location", "_number", "_sockets", "_watches", "_work", "ended", "timers")

    def __init__(
        self,
        timers: Timers,
        location: MemoryLocation,
        sockets: Sockets,
        failed: Callable[[str, BaseException], None],
    ) -> None:
        self.timers = ModuleTimers(timers, failed)
        self.ended = False
        self._failed = failed
        self._location = location
        self._sockets = sockets
        # Each with the list that it is in.
        self._watches: list[tuple[list[Any], Watch]] = []
        self._number = 0
        self._work: dict[int, Work | None] = {}

    def new_work(self) -> int:
        """Return a number for work that is about to begin."""
        self._number += 1
        self._work[self._number] = None
        return self._number

    def keep_work(self, number: int, work: Work) -> None:
        """Stop ``work`` with the rest, unless it has ended by now."""
        if number in self._work:
            if self.ended:
                work.stop()
            else:
                self._work[number] = work

    def end_work(self, number: int) -> None:
        """The work has ended."""
        self._work.pop(number, None)

    def watch(self, method: Watch, *, hidden: bool = False) -> None:
        """Have ``method`` called when bindings change; ``hidden``: those with a source alone."""

        def guarded(aor: str, before: Sequence[Binding], after: Sequence[Binding]) -> None:
            try:
                method(aor, before, after)
            except Exception as error:
                self._failed(getattr(method, "__name__", "watch"), error)

        watchers = self._location.hidden_watchers if hidden else self._location.watchers
        self._watches.append((watchers, guarded))
        watchers.append(guarded)

    def rest(self) -> None:
        """Begin no work of its own any more: its work for requests goes on."""
        self.timers.end()
        for watchers, watch in self._watches:
            watchers.remove(watch)
        self._watches = []

    def end(self, now: float) -> None:
        """Let go of everything."""
        self.ended = True
        self.rest()
        self.timers.end(closed=True)
        work, self._work = self._work, {}
        for one in work.values():
            if one is not None:
                one.stop()
        self._sockets.end(self, now)
