"""Unix time for a store's rows, also when the clock is set.

Theory of operation: rows are written by a reading of Unix time against the stack's clock
(``stores.clocks``). Before each batch the server compares the two; if they have moved apart by
more than a second, it makes a new reading. A thread also compares them each second, because a
server without new registrations must note a step, too: after a reboot only the last reading tells
how wrong the times of its rows are.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from sansip_server.stores import Store
from sansip_server.stores.clocks import SLACK, Clocks, Reading, boot_id

__all__ = ["Timekeeper"]

logger = logging.getLogger("sansip.store")

# Seconds between two looks at the clock.
_LOOK = 1.0
# Attempts to read both clocks at once.
_TRIES = 5


class Timekeeper:
    """Readings for ``store``: ``clock`` is the stack's, ``unix`` is the machine's.

    ``boot`` names the boot of the machine; None: ask the machine.
    """

    def __init__(
        self,
        store: Store,
        *,
        clock: Callable[[], float] = time.monotonic,
        unix: Callable[[], float] = time.time,
        boot: str | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._unix = unix
        self.boot = boot_id() if boot is None else boot
        self._reading: Reading | None = None
        # The offset of the clock at the last look, and the time of its last jump.
        self._seen = self.offset
        self._stepped = clock()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def offset(self) -> float:
        """Unix time minus the stack's clock, as it is now."""
        for _ in range(_TRIES):
            now = self._clock()
            offset = self._unix() - now
            if self._clock() - now < SLACK / 10:
                break
            # Another process had the processor between the two readings: that looks like a step.
        return offset

    @property
    def steady(self) -> float:
        """Seconds since the clock last jumped, or since the start."""
        return self._clock() - self._stepped

    def first(self) -> float:
        """Return the seconds to add to the stack's clock to date a GRUU: the same during one boot."""
        return Clocks(self._store.readings(), self.boot, self.offset).first

    def reading(self) -> Reading:
        """Return the reading to write rows by; raises the store's exceptions."""
        with self._lock:
            offset = self.offset
            if self._reading is not None and abs(self._reading.zero - offset) <= SLACK:
                return self._reading
            known = None
            if self._reading is None:
                known = Clocks(self._store.readings(), self.boot, offset).known(offset)
            self._reading = known or self._store.note_reading(self.boot, offset)
            return self._reading

    def forget(self) -> None:
        """Forget the reading: another database is open, which has readings of its own."""
        with self._lock:
            self._reading = None

    def look(self) -> float:
        """Note a step of the clock; return by how much it was set since the last look, 0.0 as a rule."""
        offset = self.offset
        step = offset - self._seen
        if abs(step) <= SLACK:
            # The clock was slewed: small changes that add up to a step matter to the store, not to people.
            step = 0.0
        else:
            self._stepped = self._clock()
            self._seen = offset
            logger.warning(
                "the machine's clock was set %s by %.0f s; registrations last as long as was granted",
                "forward" if step > 0 else "back",
                abs(step),
            )
        if self._reading is not None:
            try:
                self.reading()
            except Exception as error:
                # The next batch needs a reading, and fails without it.
                logger.info("store %s: the new reading of the clock waits: %s", self._store.name, error)
        return step

    def watch(self, stepped: Callable[[float], None]) -> None:
        """Look each second from now on, in a thread; ``stepped`` is called there with each step."""
        self._thread = threading.Thread(target=self._watch, args=(stepped,), name="sansip-clock", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread, after a last look."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join()
            self.look()

    def _watch(self, stepped: Callable[[float], None]) -> None:
        while not self._closed.wait(_LOOK):
            try:
                step = self.look()
                if step:
                    stepped(step)
            except Exception:
                logger.exception("the watch on the clock")
