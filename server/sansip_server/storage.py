"""The store at work: answers the stack's questions, and tells its health.

Theory of operation: each kind of question has a handler that runs in a worker thread and takes
all questions that wait as one batch. The log says once that a store fails, with the reason and
the consequence for phones, and once more that it works again; the stack turns each failure into a
503. A peer may send more than a database takes: then the updates of the batch are written one by
one, and only that peer gets the 503.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from sansip.auth import Lookup
from sansip.limits import DEFAULT, Limits
from sansip.location import Binding, LocationUpdate
from sansip.rows import Write
from sansip.stack import Stack
from sansip_server.config.schema import Settings
from sansip_server.faults import OperatorError, os_reason
from sansip_server.known import KnownUsers
from sansip_server.stores import DataRefused, Lock, Replaced, Store, lock_store, open_store
from sansip_server.stores.clocks import SLACK
from sansip_server.stores.sqlite import SqliteStore, is_busy
from sansip_server.timekeeping import Timekeeper
from sansip_sockets import handler

__all__ = ["Storage", "open_storage", "store_password"]

logger = logging.getLogger("sansip.store")

# Seconds between two deletions of expired rows. A restart skips expired rows, so they cost only room.
_SWEEP = 3_600.0
# Seconds that a row stays after it expired: time to correct a clock that was set wrong.
_KEPT = 86_400.0
# Addresses-of-record written in one transaction where everything is written again.
_RESYNC = 1_000


class RowWrites(Protocol):
    """The rows of modules, as ``Storage`` writes them beside registrations (``rows.RowService``)."""

    def beside(self, questions: Sequence[Write]) -> Callable[[Any], None] | None:
        """Return what writes ``questions`` in the transaction of a connection; None: only by themselves."""

    def written(self, count: int) -> None:
        """So many writes are durable."""

    def failed(self, error: Exception) -> None:
        """Writes failed with ``error``, a fault of the database."""

    def write(self, questions: Sequence[Write]) -> Sequence[Any]:
        """Write ``questions`` by themselves; return a result for each."""


class Storage:
    """Answers ``Lookup`` and ``LocationUpdate`` from ``store``.

    ``interval``: seconds from the beginning of one batch of registrations to that of
    the next, at the least. ``lock``: keeps other servers from ``store``; ``close`` releases it.
    """

    def __init__(
        self,
        store: Store,
        limits: Limits = DEFAULT,
        *,
        interval: float = 0.0,
        lock: Lock | None = None,
        clock: Callable[[], float] = time.monotonic,
        unix: Callable[[], float] = time.time,
        boot: str | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._store = store
        self._lock = lock
        self._interval = interval
        self._clock = clock
        self._sleep = sleep
        # When the latest batch began.
        self._begun = float("-inf")
        self._name = store.name
        self._unix = unix
        self._keeper = Timekeeper(store, clock=clock, unix=unix, boot=boot)
        # The stack's clock, and Unix time minus it, when the registrations were read.
        self._restored = (clock(), self._keeper.offset)
        self._stack: Stack | None = None
        # Whether everything in memory has to be written before the next batch.
        self._behind = False
        # One store, two handlers: it may find users while it can write nothing.
        self._failing: dict[str, tuple[float, str]] = {}
        self._batches = self._updates = 0
        self._seconds = self._slowest = 0.0
        self._swept = clock()
        # Rows of modules in the same file; their writes come to ``_save``, too.
        self._rows: RowWrites | None = None
        self.known = KnownUsers(limits.users_known)
        self.recall = self.known.recall

    @property
    def store(self) -> Store:
        """The database, for the other data in it."""
        return self._store

    def save_with(self, rows: RowWrites) -> Callable[..., Any] | None:
        """Return the function that is to write ``rows``, too: both are in one transaction.

        None where they are no tables of one SQLite file that this process writes in batches.
        """
        if not self._interval or not isinstance(self._store, SqliteStore):
            return None
        self._rows = rows
        return self._save

    def restore(self, stack: Stack) -> None:
        """Give ``stack`` the bindings that live. Raises OperatorError when they cannot be read."""
        self._stack = stack
        begun = self._clock()
        self._restored = (begun, self._keeper.offset)
        try:
            first = self._keeper.first()
            restored = stack.restore(self._read(begun, self._keeper.offset), begun, first)
        except Exception as error:
            raise OperatorError(f"store {self._name}: {error}; registrations cannot be read") from error
        logger.info("%d registrations from %s in %.1f s", restored, self._name, self._clock() - begun)

    def watch(self, post: Callable[..., None]) -> None:
        """Watch the machine's clock; ``post(function, *arguments)`` calls in the stack's thread."""

        def stepped(step: float) -> None:
            # The loop tells the stack the time of day each time that it wakes.
            post(_wake)
            if step < 0 and self._stack is not None:
                self._revive(self._stack, post)

        self._keeper.watch(stepped)

    def _read(self, now: float, offset: float) -> Iterator[Binding]:
        """Return the bindings that live at ``now``; none counts as written later than that."""
        for binding in self._store.bindings(now + offset, offset, self._keeper.boot):
            early = binding.refreshed_at - now
            if early > SLACK and binding.expires_at != math.inf:
                # Another boot wrote it by a clock that was ahead, so it counts as written now.
                binding = replace(binding, expires_at=binding.expires_at - early, refreshed_at=now)
            yield binding

    def _revive(self, stack: Stack, post: Callable[..., None]) -> None:
        """Take the bindings that seemed to be expired at the start because the clock was ahead."""
        then, before = self._restored
        offset = self._keeper.offset
        late = [
            one
            for one in self._read(self._clock(), offset)
            if one.expires_at + offset - before <= then and not stack.location.standing(one.aor)
        ]
        if late:
            post(self._take, stack, late)

    def _take(self, stack: Stack, late: list[Binding]) -> None:
        missing = [one for one in late if not stack.location.standing(one.aor)]
        restored = stack.restore(missing, self._clock())
        logger.warning("%d registrations that seemed to have expired are back from %s", restored, self._name)

    def lacking(self, realms: Iterable[str]) -> list[str]:
        """Return those of ``realms`` in which no user has a password."""
        try:
            return [realm for realm in realms if not any(True for _ in self._store.users(realm))]
        except Exception:
            # A failing store is reported elsewhere.
            return []

    @property
    def handlers(self) -> dict[type, Callable[..., Any]]:
        """The function that the adapter calls for each kind of question."""
        return {Lookup: self._lookup, LocationUpdate: self._save}

    def forget_users(self) -> None:
        """Ask the store anew for every user: another program may have changed them."""
        self.known.clear()

    def health(self) -> dict[str, Any]:
        """Return the state of the store for `sansip ctl health`."""
        since, error = min(self._failing.copy().values(), default=(None, None))
        return {"ok": since is None, "name": self._name, "failing_since": since, "error": error}

    def figures(self) -> dict[str, Any]:
        """Return the figures of the store for `sansip ctl stats`: written since the start, and seconds."""
        return {
            "batches": self._batches,
            "updates": self._updates,
            "seconds": round(self._seconds, 6),
            "slowest": round(self._slowest, 6),
        }

    def close(self) -> None:
        """Close the store; the worker threads have ended before."""
        self._keeper.close()
        self._store.close()
        if self._lock is not None:
            self._lock.close()

    # --- in worker threads

    @handler(batched=True)
    def _lookup(self, lookups: Sequence[Lookup]) -> Sequence[Mapping[str, str] | Exception | None]:
        try:
            # The generation first: rows that are read after it are as new, or newer.
            generation = self._store.generation()
            found = self._store.lookup(lookups)
        except Exception as error:
            self._failed("lookup", error)
            # Users that were known a moment ago may go on calling.
            return [self.known.last(one) or error for one in lookups]
        self._works("lookup")
        self.known.learn(generation, lookups, found)
        return found

    @handler(batched=True, patient=True, mixed=True)
    def _save(self, questions: Sequence[LocationUpdate | Write]) -> Sequence[Any]:
        # Meanwhile further updates wait in the adapter, and become one batch.
        wait = self._begun + self._interval - self._clock()
        if wait > 0:
            self._sleep(wait)
        begun = self._begun = self._clock()
        updates = [one for one in questions if type(one) is LocationUpdate]
        if len(updates) == len(questions):
            return self._save_updates(updates, begun)
        assert self._rows is not None
        writes = [one for one in questions if type(one) is Write]
        if not updates:
            return self._rows.write(writes)
        try:
            done = self._save_both(updates, writes, self._rows)
        except Exception as error:
            self._rows.failed(error)
            return [self._failed("save", error)] * len(questions)
        if done:
            self._saved(len(updates), begun)
            return [None] * len(questions)
        # Each by itself: that finds whose fault it is, and what one of them lacks is not the other's.
        saved, written = iter(self._save_updates(updates, begun)), iter(self._rows.write(writes))
        return [next(saved if type(one) is LocationUpdate else written) for one in questions]

    def _save_both(self, updates: Sequence[LocationUpdate], writes: Sequence[Write], rows: RowWrites) -> bool:
        """Write both in one transaction; return whether that was done.

        Raises the exception if another process writes for longer than ``store_timeout``: to wait
        as long for each of them once more would keep the phones waiting.
        """
        also = rows.beside(writes)
        if also is None or self._behind or not isinstance(self._store, SqliteStore):
            return False
        try:
            if self._lock is not None:
                self._lock.check()
            reading = self._keeper.reading()
            self._store.save(updates, reading.zero, reading.id, also)
        except Replaced:
            self._behind = True
            return False
        except Exception as error:
            if is_busy(error):
                raise
            logger.debug("store %s: registrations and rows are written apart: %s", self._name, error)
            return False
        rows.written(len(writes))
        return True

    def _save_updates(self, updates: Sequence[LocationUpdate], begun: float) -> Sequence[Exception | None]:
        results: Sequence[Exception | None] = [None] * len(updates)
        try:
            try:
                self._write(updates)
            except DataRefused as error:
                results = [error] if len(updates) == 1 else [self._alone(update) for update in updates]
        except Exception as error:
            return [self._failed("save", error)] * len(updates)
        self._saved(len(updates), begun)
        for result in results:
            if result is not None:
                logger.warning("store %s refuses a registration: %s", self._name, result)
        return results

    def _saved(self, count: int, begun: float) -> None:
        """A batch that began at ``begun`` is written."""
        self._works("save")
        self._refresh_users()
        now = self._clock()
        self._batches += 1
        self._updates += count
        self._seconds += now - begun
        self._slowest = max(self._slowest, now - begun)
        if now - self._swept >= _SWEEP:
            self._sweep(now)

    def _refresh_users(self) -> None:
        """Check here whether users were changed, because the stack may ask for users rarely."""
        if self.known.aging:
            try:
                self.known.learn(self._store.generation(), (), ())
            except Exception as error:
                self._failed("lookup", error)

    def _write(self, updates: Sequence[LocationUpdate]) -> None:
        """Write a batch, and before it all bindings that a replaced database lacks."""
        if self._lock is not None:
            self._lock.check()
        if not self._behind:
            try:
                self._put(updates)
                return
            except Replaced:
                self._behind = True
        self._keeper.forget()
        written = 0
        for chunk in self._everything():
            self._put(chunk)
            written += len(chunk)
        self._put(updates)
        self._behind = False
        logger.warning("store %s was replaced: the bindings of %d users written again", self._name, written)

    def _put(self, updates: Sequence[LocationUpdate]) -> None:
        """Write ``updates`` by today's reading of the clock."""
        reading = self._keeper.reading()
        self._store.save(updates, reading.zero, reading.id)

    def _everything(self) -> Iterator[list[LocationUpdate]]:
        if self._stack is None:
            return
        location = self._stack.location
        # The interpreter makes the list in one step, which the stack's thread cannot interrupt.
        names = iter(location.names())
        while chunk := [LocationUpdate(aor, (), location.standing(aor)) for aor in islice(names, _RESYNC)]:
            yield chunk

    def _alone(self, update: LocationUpdate) -> Exception | None:
        try:
            self._put([update])
        except DataRefused as error:
            return error
        return None

    def _sweep(self, now: float) -> None:
        self._swept = now
        if self._keeper.steady < _SWEEP:
            # The clock was set a moment ago, perhaps wrongly.
            return
        try:
            offset = self._keeper.offset
            self._store.forget(now + offset - _KEPT, offset, self._keeper.boot)
        except Exception as error:
            # The registrations were written: the next sweep will do.
            logger.warning("store %s: deleting what has expired failed: %s", self._name, error)

    def _failed(self, what: str, error: Exception) -> Exception:
        if not self._failing:
            logger.error(
                "store %s fails: %s; registrations get 503 until it works again", self._name, one_line(error)
            )
        self._failing.setdefault(what, (self._unix(), one_line(error)))
        return error

    def _works(self, what: str) -> None:
        if self._failing.pop(what, None) is not None and not self._failing:
            logger.warning("store %s works again", self._name)


def _wake() -> None:
    """Do nothing, in the stack's thread."""


def open_storage(settings: Settings, domains: Iterable[str] = (), *, writes: bool = True) -> Storage | None:
    """Open the store that ``settings`` name, or return None; raise OperatorError.

    ``domains``: those whose registrations it holds. If a shared location has them, or another process
    writes them (``writes``), nothing is locked.
    """
    if settings.store is None:
        return None
    password = store_password(settings.store_password_file)
    options: dict[str, Any] = {
        "synchronous": settings.store_sync,
        "timeout": settings.store_timeout,
        "password": password,
    }
    if settings.location is not None or not writes:
        return Storage(open_store(settings.store, **options), settings.limits)
    store, lock = lock_store(settings.store, domains, **options)
    return Storage(store, settings.limits, interval=settings.store_interval, lock=lock)


def store_password(file: str | None) -> str | None:
    """Return the password in ``file``, without the end of its line; raise OperatorError."""
    if file is None:
        return None
    try:
        password = Path(file).read_text("utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = os_reason(error) if isinstance(error, OSError) else "not UTF-8"
        raise OperatorError(f"store_password_file {file}: {reason}") from None
    if not password:
        raise OperatorError(f"store_password_file {file}: it is empty")
    return password


def one_line(error: Exception) -> str:
    """Return the first line of ``error``: SQLAlchemy adds the statement and a link."""
    return (str(error) or type(error).__name__).strip().splitlines()[0]
