"""Where rows are kept: with users and registrations, in Redis, or in memory.

Theory of operation: the store of users and registrations is opened already, and its
rows lie in the same database; a Redis that nodes share may have them instead.
"""

from __future__ import annotations

import threading
from typing import Any

from sansip.rows import MemoryRows, Read, Scan, Values
from sansip_server.config.redis import RedisPlace, RedisSettings
from sansip_server.faults import OperatorError
from sansip_server.rows.interface import RowStore
from sansip_server.rows.redis import RedisRows
from sansip_server.rows.sqlite import SqliteRows
from sansip_server.stores import Store
from sansip_server.stores.redis_client import RedisClient, password_of
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


class _Shared:
    """Rows in Redis: a client for each kind of question, for each has a thread of its own."""

    def __init__(self, place: RedisPlace, settings: RedisSettings) -> None:
        password = password_of(place, settings)
        self._clients = [RedisClient(place, settings, password) for _ in range(3)]
        self._clients[0].check()
        self._reader, self._scanner, self._writer = (
            RedisRows(client, settings.prefix) for client in self._clients
        )
        self.name = self._reader.name
        self.read = self._reader.read
        self.scan = self._scanner.scan
        self.write = self._writer.write

    def prepare(self, tables: Any) -> None:
        """Make the tables, or bring older ones to today's version. Raises OperatorError."""
        try:
            self._writer.prepare(tables)
        except OperatorError:
            raise
        except Exception as error:
            raise OperatorError(
                f"rows {self.name}: {error}; modules need their rows: start Redis, or take the key rows away"
            ) from None

    def close(self) -> None:
        for client in self._clients:
            client.close()


def open_rows(
    store: Store | None, place: RedisPlace | None = None, settings: RedisSettings | None = None
) -> RowStore:
    """Return the rows in the Redis at ``place``, else beside what is in ``store``, else in memory."""
    if place is not None:
        return _Shared(place, settings or RedisSettings())
    if store is None:
        return _Memory()
    if isinstance(store, SqliteStore):
        return SqliteRows(store)
    # SQLAlchemy is imported where a database server is used.
    from sansip_server.rows.sql import SqlRows
    from sansip_server.stores.server import ServerStore

    assert isinstance(store, ServerStore)
    return SqlRows(store.engine)
