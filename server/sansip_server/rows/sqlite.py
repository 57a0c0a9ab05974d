"""Rows in the server's SQLite file, beside users and registrations.

Theory of operation: the file is the one of ``SqliteStore``, which has the connections and notices
a file that was replaced; a batch of writes is one transaction. Rows lie in the order of their key
(``WITHOUT ROWID``), so a scan reads neighbours.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sansip.rows import Read, Scan, Table, Values, Write
from sansip_server.rows.codec import VERSIONS, Codec, described, layout, stored_table
from sansip_server.rows.interface import Unexpected, check_current, check_table, upgrade
from sansip_server.stores.interface import DataRefused
from sansip_server.stores.sqlite import REFUSALS, SqliteStore, decode, encode, transaction

__all__ = ["SqliteRows"]

_KINDS = {"text": "TEXT", "integer": "INTEGER", "real": "REAL", "boolean": "INTEGER", "octets": "BLOB"}


@dataclass(slots=True)
class _Statements:
    """The statements of one table, made once."""

    codec: Codec
    put: str
    delete: str
    read: str


class SqliteRows:
    """The rows in the file of ``store``, which the caller closes."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = self.store = store
        self.name = store.name
        self._known: dict[str, _Statements] = {}

    def prepare(self, tables: Iterable[Table[Any]]) -> None:
        """Make the tables, or bring older ones to today's version."""
        for table in tables:
            with self._store.guarded() as connection, transaction(connection):
                connection.execute(
                    f"CREATE TABLE IF NOT EXISTS {VERSIONS}"
                    " (name TEXT PRIMARY KEY, version INTEGER NOT NULL, columns TEXT NOT NULL)"
                )
                row = connection.execute(
                    f"SELECT version, columns FROM {VERSIONS} WHERE name = ?", (table.name,)
                ).fetchone()
                found, columns = (None, "") if row is None else row
                check_table(table, found, self.name)
                if found is None:
                    connection.execute(_create(table))
                elif found < table.version:
                    self._migrate(connection, table, found, columns)
                connection.execute(
                    f"REPLACE INTO {VERSIONS} VALUES (?, ?, ?)",
                    (table.name, table.version, described(table.columns, table.key)),
                )

    def _migrate(self, connection: sqlite3.Connection, table: Table[Any], found: int, before: str) -> None:
        columns, key = layout(before)
        names = [column.name for column in columns]
        codec = Codec(columns, key, encode, decode)
        rows = connection.execute(f"SELECT {_list(names)} FROM {_quoted(table.name)}")
        given = (dict(zip(names, codec.read(row), strict=True)) for row in rows)
        values = upgrade(table, given, found, self.name)
        connection.execute(f"DROP TABLE {_quoted(table.name)}")
        connection.execute(_create(table))
        statements = self._statements(table)
        connection.executemany(statements.put, map(statements.codec.write, values))

    def _statements(self, table: Table[Any]) -> _Statements:
        found = self._known.get(table.name)
        if found is None:
            where = " AND ".join(f"{_quoted(name)} = ?" for name in table.key)
            places = ", ".join("?" * len(table.columns))
            name, columns = _quoted(table.name), _list(table.names)
            found = self._known[table.name] = _Statements(
                Codec(table.columns, table.key, encode, decode),
                f"REPLACE INTO {name} ({columns}) VALUES ({places})",
                f"DELETE FROM {name} WHERE {where}",
                f"SELECT {columns} FROM {name} WHERE {where}",
            )
        return found

    def read(self, question: Read) -> list[Values | None]:
        """Return the values of each key, or None."""
        statements = self._statements(question.table)
        codec = statements.codec
        found: list[Values | None] = []
        with self._store.guarded() as connection:
            for key in question.keys:
                row = connection.execute(statements.read, codec.key(key)).fetchone()
                found.append(None if row is None else codec.read(row))
        return found

    def scan(self, question: Scan) -> list[Values]:
        """Return a page of rows in the order of the key."""
        table, codec = question.table, self._statements(question.table).codec
        tests = [f"{_quoted(name)} = ?" for name in table.key[: len(question.prefix)]]
        given = codec.key(question.prefix)
        if question.after is not None:
            tests.append(f"({_list(table.key)}) > ({', '.join('?' * len(table.key))})")
            given += codec.key(question.after)
        where = f" WHERE {' AND '.join(tests)}" if tests else ""
        statement = f"SELECT {_list(table.names)} FROM {_quoted(table.name)}{where}"
        statement += f" ORDER BY {_list(table.key)} LIMIT ?"
        with self._store.guarded() as connection:
            return [codec.read(row) for row in connection.execute(statement, [*given, question.limit])]

    def write(self, questions: Sequence[Write]) -> None:
        """Make all durable, or none."""
        try:
            self._store.write(partial(self.put, questions))
        except REFUSALS as error:
            raise DataRefused(str(error)) from error

    def put(self, questions: Sequence[Write], connection: sqlite3.Connection) -> None:
        """Write in the transaction of ``connection``."""
        self._check(connection, questions)
        for expected in (one for question in questions for one in question.expected):
            codec = self._statements(expected.table).codec
            read = self._statements(expected.table).read
            row = connection.execute(read, codec.key(expected.key)).fetchone()
            if (None if row is None else codec.read(row)) != expected.values:
                raise Unexpected
        for question in questions:
            for change in question.changes:
                statements = self._statements(change.table)
                if change.rows:
                    _put(connection, statements, change.rows)
                if change.deleted:
                    connection.executemany(
                        statements.delete, [statements.codec.key(one) for one in change.deleted]
                    )

    def _check(self, connection: sqlite3.Connection, questions: Sequence[Write]) -> None:
        """Raise ``Outdated`` if another program migrated a table that is to be written."""
        tables = {change.table.name: change.table for one in questions for change in one.changes}
        found = {}
        for name in tables:
            row = connection.execute(f"SELECT version FROM {VERSIONS} WHERE name = ?", (name,)).fetchone()
            if row is not None:
                found[name] = row[0]
        check_current(tables.values(), found, self.name)

    def tables(self) -> list[Table[Any]]:
        """Return the tables that there are, by name."""
        with self._store.guarded() as connection:
            there = connection.execute(
                "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (VERSIONS,)
            ).fetchone()
            if there is None:
                return []
            rows = connection.execute(f"SELECT name, version, columns FROM {VERSIONS} ORDER BY name")
            return [stored_table(*row) for row in rows]

    def count(self, table: Table[Any]) -> int:
        """Return how many rows ``table`` has."""
        with self._store.guarded() as connection:
            (number,) = connection.execute(f"SELECT COUNT(*) FROM {_quoted(table.name)}").fetchone()
            return int(number)

    def close(self) -> None:
        """Do nothing: the caller closes the store."""


def _put(connection: sqlite3.Connection, statements: _Statements, rows: Sequence[Values]) -> None:
    """Put ``rows``. Nearly all values are bound as they are: a look at each costs as much as its writing."""
    try:
        connection.executemany(statements.put, rows)
    except UnicodeEncodeError:
        # Text that is no UTF-8; rows before that one are put once more.
        connection.executemany(statements.put, map(statements.codec.write, rows))


def _create(table: Table[Any]) -> str:
    columns = [
        f"{_quoted(column.name)} {_KINDS[column.kind]}{'' if column.optional else ' NOT NULL'}"
        for column in table.columns
    ]
    columns.append(f"PRIMARY KEY ({_list(table.key)})")
    return f"CREATE TABLE {_quoted(table.name)} ({', '.join(columns)}) WITHOUT ROWID"


def _quoted(name: str) -> str:
    # Names such as `when` are words of SQL.
    return f'"{name}"'


def _list(names: Iterable[str]) -> str:
    return ", ".join(map(_quoted, names))
