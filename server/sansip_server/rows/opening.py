"""Where rows are kept: with users and registrations, in Redis, or in memory.

Theory of operation: the store of users and registrations is opened already, and its
rows lie in the same database; a Redis that nodes share may have them instead.
"""

from __future__ import annotations

import threading
from typing import Any

from sansip.rows import MemoryRows, Read, Scan, Values
from sansip_server.rows.interface import RowStore
from sansip_server.rows.sqlite import SqliteRows
from sansip_server.stores import Store
from sansip_server.stores.sqlite import SqliteStore

__all__ = ["open_rows"]


class _Memory:
    """Rows that end with the process. Each kind of question has a thread of its own, hence the lock."""

    name = "memory"

    def __init__(self) -> None:
        self._rows = MemoryRows()
        self._lock = threading.Lock()

    def prepare(self, tables: Any) -> None:
        """There is nothing older."""

    def read(self, question: Read) -> list[Values | None]:
        with self._lock:
            return self._rows.read(question)

    def scan(self, question: Scan) -> list[Values]:
        with self._lock:
            return self._rows.scan(question)

    def write(self, questions: Any) -> None:
        with self._lock:
            for question in questions:
                self._rows.write(question)

    def close(self) -> None:
        """Nothing is open."""


def open_rows(store: Store | None) -> RowStore:
    """Return the rows beside what is in ``store``; in memory where there is none."""
    if store is None:
        return _Memory()
    if isinstance(store, SqliteStore):
        return SqliteRows(store)
    # SQLAlchemy is imported where a database server is used.
    from sansip_server.rows.sql import SqlRows
    from sansip_server.stores.server import ServerStore

    assert isinstance(store, ServerStore)
    return SqlRows(store.engine)
