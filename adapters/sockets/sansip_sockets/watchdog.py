"""Watches the loop from a thread of its own: says what holds it, and ends the process if the loop cannot.

Theory of operation: a route that blocks (``time.sleep``, a database driver, ``while
True``) holds the loop, and with it all calls, the log, and SIGTERM. No other thread can free
the loop, but this one can see that it is held: the heart of the hub beats whenever the loop
comes round, and the watchdog wakes an idle loop ten times a second to see a beat. If no beat
follows for ``PATIENCE``, the stack of the loop's thread shows the code that holds it.

Signals reach this thread first (``wakeup_fd``), which wakes the loop for them. If a signal
asks for the end and the loop does not react within ``HEEDED``, this thread ends the process: a
loop that does not turn cannot drain calls, and a supervisor would have to kill it.

Sometimes this thread does not run either: code such as one regular expression keeps the
interpreter, or the machine sleeps. Then this thread can report it only afterwards; a
supervisor sees it from outside (``WatchdogSec`` of systemd).
"""

from __future__ import annotations

import _socket
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

from sansip_sockets.inbox import Inbox
from sansip_sockets.loop_state import TICK, LoopState, Sight
from sansip_sockets.whereabouts import Where, place_of

__all__ = ["ABANDONED", "LoopWatch", "StartThread"]

# Seconds for saving data before the process ends without its loop.
LAST_WORDS = 0.5
# Exit status of a process that ended without its loop (EX_SOFTWARE of sysexits.h).
ABANDONED = 70
# One place in the code is reported once in so many seconds.
AGAIN = 10.0
# Places remembered for that; when there are more, all are forgotten at once.
PLACES = 100

_log = logging.getLogger("sansip.loop")

# Starts a thread of the operating system for a function, also where threads are patched.
StartThread = Callable[[Callable[[], None]], None]


class Watched(Protocol):
    """The object that is watched: the hub."""

    inbox: Inbox
    beats: int
    on_abandon: Callable[[], None] | None


@dataclass(slots=True)
class _Told:
    """A place that was reported, when, and how often it held the loop since."""

    at: float
    times: int = 0


class LoopWatch:
    """Watches the loop of ``hub``, whose thread makes this.

    ``route`` returns the user's function that may hold it; ``drain_time`` is the time for draining
    after a signal.
    """

    def __init__(
        self,
        hub: Watched,
        route: Callable[[], Any] = lambda: None,
        *,
        drain_time: float = 32.0,
        start_thread: StartThread | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._hub = hub
        self._route = route
        self._clock = clock
        self._start_thread = start_thread or _start_thread
        self._state = LoopState(drain_time)
        # Not of the module ``socket``, which gevent may have patched: this has to block its thread.
        self._reader, self._writer = _socket.socketpair()
        self._reader.settimeout(TICK)
        self._writer.setblocking(False)
        # The number of this thread for ``sys._current_frames``, also where gevent patched ``threading``.
        me = sys._getframe()
        self._thread = next(number for number, frame in sys._current_frames().items() if frame is me)
        self._started = self._closed = False
        self._telling = False
        self._places: dict[str, _Told] = {}
        self._place = ""

    @property
    def wakeup_fd(self) -> int:
        """Descriptor to which a signal writes its number (``signal.set_wakeup_fd``)."""
        return self._writer.fileno()

    def start(self) -> None:
        """Begin to watch."""
        self._started = True
        self._start_thread(self._run)

    def close(self) -> None:
        """Let the thread end. No signal may write to ``wakeup_fd`` any more."""
        self._closed = True
        self._writer.close()
        if not self._started:
            self._reader.close()

    def _run(self) -> None:
        try:
            while not self._closed:
                self._look()
        except Exception:
            # Signals would wake no thread any more, so this error is reported.
            _log.exception("the watchdog failed")
        finally:
            self._reader.close()

    def _look(self) -> None:
        try:
            numbers = self._reader.recv(64)
        except TimeoutError:
            numbers = b""
        now, beats = self._clock(), self._hub.beats
        if numbers:
            self._hub.inbox.wake()
        if signal.SIGTERM in numbers or signal.SIGINT in numbers:
            self._state.end_asked(beats, now)
        sight = self._state.look(beats, now)
        if sight is Sight.QUIET:
            self._hub.inbox.wake()
        elif sight is Sight.FREED:
            if self._place:
                self._tell(logging.WARNING, "the loop goes on after %.1f s: it was held by %s", self._place)
        elif sight is not Sight.FREE:
            self._held(sight, now)

    # --- what is told

    def _held(self, sight: Sight, now: float) -> None:
        frame = sys._current_frames().get(self._thread)
        if frame is None:
            return
        where = place_of(frame, self._route())
        del frame
        if sight is Sight.ABANDON:
            self._abandon(where)
        self._place = ""
        if sight is Sight.STOPPED and not where.is_route:
            # The machine slept, most likely.
            return
        told = self._places.get(where.place)
        if told is not None and now - told.at < AGAIN:
            told.times += 1
            return
        if len(self._places) >= PLACES:
            self._places.clear()
        self._places[where.place] = _Told(now)
        again = f" ({told.times} times more since it was told last)" if told and told.times else ""
        self._place = where.place
        if where.is_route:
            text = f"a route holds the loop, for %.1f s so far: %s{again}; all others wait (docs/routing.md)"
            self._tell(logging.ERROR, text, where.place, where.rows)
        else:
            text = f"the loop has not turned for %.1f s: %s{again}; it has too much to do, or is blocked"
            self._tell(logging.WARNING, text, where.place, where.rows)

    def _tell(self, level: int, text: str, place: str, rows: str | None = None) -> None:
        """Write to the log from another thread, because the log may block as well."""
        if self._telling:
            return
        self._telling = True
        seconds = self._state.held

        def tell() -> None:
            try:
                _write(level, text, seconds, place, rows)
            finally:
                self._telling = False

        self._start_thread(tell)

    def _abandon(self, where: Where) -> NoReturn:
        """End the process: its loop is held, and it was asked to end."""
        reader, writer = _socket.socketpair()
        reader.settimeout(LAST_WORDS)

        def save() -> None:
            try:
                text = "ended without draining: the loop was held for %.1f s by %s"
                _write(logging.CRITICAL, text, self._state.held, where.place, where.rows)
                if self._hub.on_abandon is not None:
                    self._hub.on_abandon()
            except Exception:
                _log.exception("not all could be saved")
            finally:
                writer.close()

        self._start_thread(save)
        try:
            reader.recv(1)
        finally:
            # In time or not: a supervisor waits.
            reader.close()
            os._exit(ABANDONED)


def _write(level: int, text: str, seconds: float, place: str, rows: str | None) -> None:
    # ``stack_info`` of the logger's methods is the stack of this thread, not of the loop's.
    if _log.isEnabledFor(level):
        record = _log.makeRecord(_log.name, level, __file__, 0, text, (seconds, place), None, sinfo=rows)
        _log.handle(record)


def _start_thread(function: Callable[[], None]) -> None:
    threading.Thread(target=function, name="sansip-watchdog", daemon=True).start()
