"""Rows at work: answers the stack's questions, and tells the store's health.

Theory of operation: each kind of question has a handler that runs in a worker thread (rows in memory are
answered in the loop: ``turns``); writes that wait are one batch and one transaction, which begins some time
after the one before. If the database cannot hold the values of one of them, they are written one by one, and
only that one fails. The log says once that a store fails, and once more that it works again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from sansip.rows import Read, Scan, Table, Values, Write
from sansip_server.rows.interface import RowStore, Unexpected
from sansip_server.rows.memory import InMemory
from sansip_server.rows.sqlite import SqliteRows
from sansip_server.rows.turns import MemoryTurns
from sansip_server.stores.interface import DataRefused
from sansip_sockets import handler
from sansip_sockets.hub import Hub

if TYPE_CHECKING:
    from sansip_server.storage import Storage

__all__ = ["RowService"]

_Result = TypeVar("_Result")

logger = logging.getLogger("sansip.rows")


class RowService:
    """Answers ``Read``, ``Scan`` and ``Write`` from ``store``.

    ``interval``: least seconds from the beginning of one batch of writes to that of the next; a lone write
    does not wait. 0, also for rows in memory: no pause. ``clock`` and ``sleep`` are the machine's.
    ``storage`` has the registrations: in one SQLite file, what waits of both is one transaction.
    """

    def __init__(
        self,
        store: RowStore,
        interval: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        storage: Storage | None = None,
    ) -> None:
        self._store = store
        # Rows in memory are written in the loop, which must not sleep.
        self._interval = 0.0 if isinstance(store, InMemory) else interval
        self._clock = clock
        self._sleep = sleep
        # When the last batch began that was to wait for the one before.
        self._begun = float("-inf")
        # Kind of question -> since when it fails, and why.
        self._failing: dict[str, tuple[float, str]] = {}
        self._batches = self._writes = 0
        self._turns: MemoryTurns | None = None
        self._with: Callable[..., Any] | None = None
        if storage is not None and isinstance(store, SqliteRows) and store.store is storage.store:
            self._with = storage.save_with(self)

    def prepare(self, tables: Iterable[Table[Any]]) -> None:
        """Make the tables ready; raises ``OperatorError`` if the server must not start."""
        self._store.prepare(tables)

    @property
    def handlers(self) -> dict[type, Callable[..., Any]]:
        """The function that the adapter calls for each kind of question."""
        write = self._with or (self._write_in_time if self._interval else self.write)
        return {Read: self._read, Scan: self._scan, Write: write}

    def attach(self, hub: Hub) -> None:
        """Answer questions from the loop of ``hub`` where nothing has to be waited for."""
        if isinstance(self._store, InMemory) and self._turns is None:
            self._turns = MemoryTurns(hub, self.handlers)

    def health(self) -> dict[str, Any]:
        """Return the state of the rows for `sansip ctl health`."""
        since, error = min(self._failing.copy().values(), default=(None, None))
        return {"ok": since is None, "name": self._store.name, "failing_since": since, "error": error}

    def figures(self) -> dict[str, Any]:
        """Return the figures of the rows since the start for `sansip ctl stats`."""
        return {"batches": self._batches, "writes": self._writes}

    def close(self) -> None:
        self._store.close()

    # --- in worker threads

    def _read(self, question: Read) -> list[Values | None]:
        return self._guarded("read", lambda: self._store.read(question))

    def _scan(self, question: Scan) -> list[Values]:
        return self._guarded("scan", lambda: self._store.scan(question))

    @handler(batched=True, patient=True)
    def _write_in_time(self, questions: Sequence[Write]) -> Sequence[Any]:
        """Write, but not before its time; further writes wait in the adapter, and become one batch."""
        wait = self._begun + self._interval - self._clock()
        if wait > 0:
            self._sleep(wait)
        self._begun = self._clock()
        return self.write(questions)

    def beside(self, questions: Sequence[Write]) -> Callable[[Any], None] | None:
        """Return what writes ``questions`` in the transaction of a connection; None: only by themselves.

        One that expects rows is judged alone.
        """
        if not isinstance(self._store, SqliteRows) or any(one.expected for one in questions):
            return None
        return partial(self._store.put, questions)

    def written(self, count: int) -> None:
        """So many writes are durable, by what ``beside`` returned."""
        self._batches += 1
        self._writes += count
        self._works("write")

    def failed(self, error: Exception) -> None:
        """What ``beside`` returned was not written, by a fault of the database."""
        self._fails("write", error)

    @handler(batched=True)
    def write(self, questions: Sequence[Write]) -> Sequence[Any]:
        """Write ``questions``; return a result for each."""
        results: list[Any] = []
        plain: list[Write] = []
        for one in questions:
            if one.expected:
                # One that is not written must not keep the others from it. It may be about rows of theirs.
                results += self._together(plain)
                results.append(self._judged(one))
                plain = []
            else:
                plain.append(one)
        results += self._together(plain)
        self._batches += 1
        self._writes += len(questions)
        for result in results:
            if isinstance(result, DataRefused):
                logger.warning("%s refuses rows: %s", self._store.name, result)
        return results

    def _together(self, questions: list[Write]) -> list[Any]:
        """Write ``questions`` in one transaction; return None for each, or the exception."""
        if not questions:
            return []
        try:
            try:
                self._guarded("write", lambda: self._store.write(questions))
            except DataRefused as error:
                return [error] if len(questions) == 1 else [self._alone(one) for one in questions]
        except Exception as error:
            return [error] * len(questions)
        return [None] * len(questions)

    def _judged(self, question: Write) -> Any:
        """Write ``question``; return False where it expects another row, or the exception."""
        try:
            self._guarded("write", lambda: self._store.write([question]))
        except Unexpected:
            return False
        except Exception as error:
            return error
        return None

    def _alone(self, question: Write) -> Exception | None:
        try:
            self._store.write([question])
        except DataRefused as error:
            return error
        return None

    def _guarded(self, what: str, work: Callable[[], _Result]) -> _Result:
        try:
            result = work()
        except (DataRefused, Unexpected):
            raise
        except Exception as error:
            self._fails(what, error)
            raise
        self._works(what)
        return result

    def _fails(self, what: str, error: Exception) -> None:
        if not self._failing:
            logger.error("%s fails: %s; what needs its rows waits or is refused", self._store.name, error)
        self._failing.setdefault(what, (time.time(), str(error)))

    def _works(self, what: str) -> None:
        if self._failing.pop(what, None) is not None and not self._failing:
            logger.warning("%s works again", self._store.name)
