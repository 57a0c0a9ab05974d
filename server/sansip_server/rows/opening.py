"""Opens the store of rows: with users and registrations, in Redis, or in memory.

Theory of operation: the store of users and registrations is opened already, and its
rows lie in the same database; a Redis that nodes share may have them instead.
"""

from __future__ import annotations

from typing import Any

from sansip_server.config.redis import RedisPlace, RedisSettings
from sansip_server.faults import OperatorError
from sansip_server.rows.interface import RowStore
from sansip_server.rows.memory import InMemory
from sansip_server.rows.redis import RedisRows
from sansip_server.rows.sqlite import SqliteRows
from sansip_server.stores import Store
from sansip_server.stores.redis_client import RedisClient, password_of
from sansip_server.stores.sqlite import SqliteStore

__all__ = ["open_rows"]


class _Shared:
    """Rows in Redis: a client for each kind of question, because each kind has a thread of its own."""

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
        self.tables = self._scanner.tables
        self.count = self._scanner.count

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
    """Return the rows in the Redis at ``place``, else in the database of ``store``, else in memory."""
    if place is not None:
        return _Shared(place, settings or RedisSettings())
    if store is None:
        return InMemory()
    if isinstance(store, SqliteStore):
        return SqliteRows(store)
    # SQLAlchemy is imported only if a database server is used.
    from sansip_server.rows.sql import SqlRows
    from sansip_server.stores.server import ServerStore

    assert isinstance(store, ServerStore)
    return SqlRows(store.engine)
