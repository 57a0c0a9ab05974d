"""Hooks that wait: they hold a message, and the later messages of its line wait behind it.

Theory of operation: a hook that returns a coroutine, or a ``Later``, holds the message that it was given.
Each branch of a request is one line, and so is the way back to the caller. The hooks see the next message of
a line when the message before it has gone on, so no message overtakes another. A hold ends with its hooks,
after ``limits.hook_time``, or when the caller cancels. The proxy remembers the 2xx responses of an INVITE as
they left: the far end repeats them until the ACK comes (RFC 3261 13.3.1.4), and the caller must not see two
different answers.

A request whose hooks do not wait has none of these objects.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from sansip.later import Later

if TYPE_CHECKING:
    from sansip.clock import Timer, Timers

__all__ = ["Begin", "BranchRefused", "Hold", "Line", "Method", "Passage", "Waits", "Work"]

# A module, and its method.
Method = tuple[Any, Callable[..., Any]]


class Work(Protocol):
    """A coroutine under way."""

    def stop(self) -> None:
        """Close it; its owner hears nothing more."""


# Begins a coroutine: (work, done(result or exception, now), now).
Begin = Callable[[Coroutine[Any, Any, Any], Callable[[Any, float], None], float], Work]


class Passage(Protocol):
    """Where a message passes the hooks of one moment (``sansip.proxy.hooks``)."""

    timers: Timers
    hook_time: float
    begin: Begin

    def tell(self, who: Any, moment: str, error: BaseException) -> None: ...


class Waits:
    """The messages of one request that wait."""

    __slots__ = ("_ending", "accepted", "lines")

    def __init__(self) -> None:
        self.lines: dict[Any, Line] | None = None
        self._ending = False
        # To tag -> the octets of the 2xx that left, None while it waits.
        self.accepted: dict[str, bytes | None] = {}

    def blocked(self, key: Any) -> Line | None:
        """Return the line of ``key`` (a branch, or None for the way back), where something waits in it."""
        if self.lines is None:
            return None
        line = self.lines.get(key)
        return None if line is None or line.first is None else line

    def hold(self, key: Any, hold: Hold, work: Any, who: Any, now: float) -> None:
        """Have the first message of a line wait for ``work`` of ``who``: a coroutine, or a ``Later``."""
        later = isinstance(work, Later)
        if not later and not inspect.iscoroutine(work):
            hold.refuse(work, who, now)
            return
        if self._ending:
            # The caller gave up: nothing waits any more.
            if not later:
                work.close()
            hold.end(now)
            return
        if self.lines is None:
            self.lines = {}
        line = self.lines.get(key)
        if line is None:
            line = self.lines[key] = Line(self, key)
        line.first = hold
        hold.line = line
        hold.wait(work, who, now)

    def forget(self, line: Line) -> None:
        """Nothing waits in ``line`` any more."""
        if self.lines is not None and self.lines.get(line.key) is line:
            del self.lines[line.key]

    def end(self, now: float) -> None:
        """Let everything go on that waits: the caller cancelled (RFC 3261 9.2)."""
        self._ending = True
        try:
            for line in list((self.lines or {}).values()):
                if line.first is not None:
                    line.first.end(now)
        finally:
            self._ending = False


class BranchRefused(Exception):
    """A module decided that a copy must not leave, and has answered the request: no failure of its own."""


class Line:
    """Messages that wait behind each other. ``first`` waits for its hooks, the others for it."""

    __slots__ = ("_behind", "_waits", "first", "key")

    def __init__(self, waits: Waits, key: Any) -> None:
        self._waits = waits
        self.key = key
        self.first: Hold | None = None
        self._behind: deque[Callable[[float], None]] = deque()

    def append(self, pass_on: Callable[[float], None]) -> None:
        """Have ``pass_on`` called when everything before it has gone on."""
        self._behind.append(pass_on)

    def released(self, now: float) -> None:
        """The first one has gone on: so do those behind it, up to the next that waits."""
        self.first = None
        behind = self._behind
        # A method asks: mypyc assumes that ``first`` is None still, and one of these may wait in turn.
        while behind and self._is_free():
            if len(behind) == 1:
                # Whatever comes from here on finds no line.
                self._waits.forget(self)
            behind.popleft()(now)
        if self._is_free():
            self._waits.forget(self)

    def _is_free(self) -> bool:
        return self.first is None


class Hold:
    """A message that waits for one hook, with the hooks that follow it.

    ``go(allowed, now)`` is called once, at the end: not allowed where a hook that fails closed has failed.
    """

    __slots__ = ("_arguments", "_closed", "_go", "_key", "_moment", "_passage", "_rest", "_timer", "_waits",
                 "_who", "_work", "line")  # fmt: skip

    def __init__(
        self,
        passage: Passage,
        moment: str,
        rest: Iterator[Method],
        arguments: tuple[Any, ...],
        closed: bool,
        waits: Waits,
        key: Any,
        go: Callable[[bool, float], None],
    ) -> None:
        self._passage = passage
        self._moment = moment
        self._rest = rest
        self._arguments = arguments
        self._closed = closed
        self._waits = waits
        self._key = key
        self._go: Callable[[bool, float], None] | None = go
        self._work: Work | None = None
        self._who: Any = None
        self._timer: Timer | None = None
        self.line: Line | None = None

    def refuse(self, work: object, who: Any, now: float) -> None:
        """The hook of module ``who`` returned a value that cannot be waited for."""
        self._who = who
        self._failed(TypeError(f"it returned {work!r:.80}; a hook returns nothing, or waits"), now)

    def wait(self, work: Any, who: Any, now: float) -> None:
        """Wait until ``work`` of module ``who`` ends; it may have done so on return."""
        passage = self._passage
        self._who = who
        self._timer = timer = passage.timers.start(now, passage.hook_time, self, "hook")
        if isinstance(work, Later):
            # No coroutine to be stepped: what it does it does by itself.
            work.then(lambda result, now: self._ended(timer, result, now), now)
            return
        begun = passage.begin(work, lambda result, now: self._ended(timer, result, now), now)
        # A method asks: mypyc assumes that the value just assigned is still there.
        if self._waits_for(timer):
            self._work = begun

    def _waits_for(self, timer: Timer) -> bool:
        return self._timer is timer

    def _ended(self, timer: Timer, result: Any, now: float) -> None:
        if not self._waits_for(timer):
            return
        self._stop()
        if isinstance(result, BaseException):
            self._failed(result, now)
        else:
            self.go_on(now)

    def _failed(self, error: BaseException, now: float) -> None:
        if not isinstance(error, BranchRefused):
            self._passage.tell(self._who, self._moment, error)
        if self._closed:
            self._finish(False, now)
        else:
            self.go_on(now)

    def go_on(self, now: float) -> None:
        """Call the hooks that are left, up to the next one that waits."""
        for who, hook in self._rest:
            self._who = who
            try:
                work = hook(*self._arguments)
            except Exception as error:
                self._failed(error, now)
                return
            if work is not None:
                self._waits.hold(self._key, self, work, who, now)
                return
        self._finish(True, now)

    def _finish(self, allowed: bool, now: float) -> None:
        go, self._go = self._go, None
        if go is not None:
            go(allowed, now)
            if self.line is not None and self.line.first is self:
                self.line.released(now)

    def end(self, now: float) -> None:
        """Wait no longer: a message that fails closed does not go on."""
        self._stop()
        if self._closed:
            self._finish(False, now)
        else:
            self.go_on(now)

    def timer_fired(self, _name: str, now: float) -> None:
        if self._timer is not None:
            self._stop()
            text = f"it waited for {self._passage.hook_time:g} s (limits.hook_time)"
            self._failed(TimeoutError(text), now)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        work, self._work = self._work, None
        if work is not None:
            work.stop()
