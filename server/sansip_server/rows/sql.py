"""Rows in a database server, by SQLAlchemy Core: PostgreSQL, MariaDB, MySQL.

Theory of operation: ``Engine`` has the connections; a batch of writes is one
transaction. An older table is migrated aside: its rows are read, written to a new table
by another name, and the names are changed at the end. So a migration that fails has changed
nothing, even in a database that cannot undo a change of tables (MySQL). The version is also in
the table's comment, which moves with the name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from sansip.rows import Column, Read, Scan, Table, Values, Write
from sansip_server.rows.codec import VERSIONS, Codec, described, layout, stored_table
from sansip_server.rows.interface import Unexpected, check_current, check_table, upgrade
from sansip_server.stores.dialects import decode_text, encode_text
from sansip_server.stores.engine import Engine

__all__ = ["SqlRows"]

# Rows written in one statement when a table is migrated.
_CHUNK = 1_000


@dataclass(slots=True)
class _Statements:
    """One table in the dialect of the engine, and its statements."""

    codec: Codec
    table: sa.Table
    put: Any
    delete: Any
    read: Any


class SqlRows:
    """The rows in the database of ``engine``, which the caller closes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.name = engine.name
        self._known: dict[str, _Statements] = {}
        columns = engine.dialect.column
        self._versions = sa.Table(
            VERSIONS,
            sa.MetaData(),
            sa.Column("name", columns("text", keys=1), primary_key=True),
            sa.Column("version", columns("integer"), nullable=False),
            sa.Column("columns", columns("text"), nullable=False),
        )

    def prepare(self, tables: Iterable[Table[Any]]) -> None:
        """Make the tables, or bring older ones to today's version."""
        put = self._engine.dialect.upsert(self._versions, ["name"])
        for table in tables:
            with self._engine.opening() as connection:
                self._versions.create(connection, checkfirst=True)
                # Locked for update, and before any table: writers of an older program look here first.
                row = connection.execute(
                    sa.select(self._versions.c.version, self._versions.c.columns)
                    .where(self._versions.c.name == table.name)
                    .with_for_update()
                ).first()
                found, columns = (None, "") if row is None else (int(row[0]), row[1])
                check_table(table, found, self.name)
                if found is None:
                    self._made(table, table.name).create(connection)
                elif found < table.version and not self._replaced(connection, table):
                    self._migrate(connection, table, found, columns)
                connection.execute(
                    put,
                    {
                        "name": table.name,
                        "version": table.version,
                        "columns": described(table.columns, table.key),
                    },
                )

    def _replaced(self, connection: sa.Connection, table: Table[Any]) -> bool:
        """Whether a migration was killed after its table got its name and before the version was noted."""
        if self._engine.dialect.transactional:
            return False
        return sa.inspect(connection).get_table_comment(table.name)["text"] == _comment(table)

    def _made(self, table: Table[Any], name: str) -> sa.Table:
        return self._table(table.columns, table.key, name, _comment(table))

    def _table(
        self, columns: Sequence[Column], key: Sequence[str], name: str, comment: str | None = None
    ) -> sa.Table:
        keys = sum(column.kind != "integer" for column in columns if column.name in key)
        made = [
            sa.Column(
                column.name,
                self._engine.dialect.column(column.kind, keys=max(keys, 1) if column.name in key else 0),
                nullable=column.optional,
                primary_key=column.name in key,
                autoincrement=False,
            )
            for column in columns
        ]
        return sa.Table(name, sa.MetaData(), *made, sa.PrimaryKeyConstraint(*key), comment=comment)

    def _migrate(self, connection: sa.Connection, table: Table[Any], found: int, before: str) -> None:
        columns, key = layout(before)
        names = [column.name for column in columns]
        old = self._table(columns, key, table.name)
        codec = Codec(columns, key, encode_text, decode_text)
        rows = connection.execute(sa.select(old)).all()
        given = (dict(zip(names, codec.read(row), strict=True)) for row in rows)
        statements = self._statements(table)
        values = [
            self._named(table, statements.codec.write(one)) for one in upgrade(table, given, found, self.name)
        ]
        aside = self._made(table, f"{table.name}_new")
        # The remains of a migration that was killed.
        aside.drop(connection, checkfirst=True)
        aside.create(connection)
        for begin in range(0, len(values), _CHUNK):
            connection.execute(sa.insert(aside), values[begin : begin + _CHUNK])
        for statement in self._engine.dialect.replace(table.name, aside.name):
            connection.execute(sa.text(statement))

    def _statements(self, table: Table[Any]) -> _Statements:
        found = self._known.get(table.name)
        if found is None:
            made = self._made(table, table.name)
            key = [made.c[name] for name in table.key]
            # A different name from the column's: SQLAlchemy uses that one itself.
            wanted = sa.and_(*(column == sa.bindparam(f"key_{column.name}") for column in key))
            found = self._known[table.name] = _Statements(
                Codec(table.columns, table.key, encode_text, decode_text),
                made,
                self._engine.dialect.upsert(made, table.key),
                sa.delete(made).where(wanted),
                sa.select(made).where(sa.tuple_(*key).in_(sa.bindparam("wanted", expanding=True))),
            )
        return found

    @staticmethod
    def _named(table: Table[Any], values: Sequence[Any]) -> dict[str, Any]:
        return dict(zip(table.names, values, strict=True))

    def read(self, question: Read) -> list[Values | None]:
        """Return the values of each key, or None."""
        if not question.keys:
            return []
        statements = self._statements(question.table)
        codec = statements.codec
        wanted = [tuple(codec.key(key)) for key in dict.fromkeys(question.keys)]
        rows = self._engine.do(
            lambda connection: connection.execute(statements.read, {"wanted": wanted}).all()
        )
        values = [codec.read(row) for row in rows]
        found = {question.table.key_of(one): one for one in values}
        return [found.get(key) for key in question.keys]

    def scan(self, question: Scan) -> list[Values]:
        """Return a page of rows in the order of the key."""
        statements = self._statements(question.table)
        codec, made = statements.codec, statements.table
        key = [made.c[name] for name in question.table.key]
        select = sa.select(made).order_by(*key).limit(question.limit)
        for column, value in zip(key, codec.key(question.prefix), strict=False):
            select = select.where(column == value)
        if question.after is not None:
            select = select.where(_behind(key, codec.key(question.after)))
        rows = self._engine.do(lambda connection: connection.execute(select).all())
        return [codec.read(row) for row in rows]

    def write(self, questions: Sequence[Write]) -> None:
        """Make all durable, or none."""

        tables = {change.table.name: change.table for one in questions for change in one.changes}
        expected = [each for one in questions for each in one.expected]

        def work(connection: sa.Connection) -> None:
            # A program that migrates waits for this transaction, or this one waits for that program.
            versions = self._versions
            current = sa.select(versions.c.name, versions.c.version).where(versions.c.name.in_(tables))
            # One that expects rows is alone with these tables: also where there is no row to lock.
            rows = connection.execute(current.with_for_update(read=not expected)).all()
            check_current(tables.values(), {row[0]: int(row[1]) for row in rows}, self.name)
            for one in expected:
                statements = self._statements(one.table)
                wanted = {"wanted": [tuple(statements.codec.key(one.key))]}
                row = connection.execute(statements.read.with_for_update(), wanted).first()
                if (None if row is None else statements.codec.read(row)) != one.values:
                    raise Unexpected
            for question in questions:
                for change in question.changes:
                    statements, table = self._statements(change.table), change.table
                    codec = statements.codec
                    if change.rows:
                        # The last change of each key: a statement may not change a row twice.
                        latest = {table.key_of(one): one for one in change.rows}
                        connection.execute(
                            statements.put,
                            [self._named(table, codec.write(latest[key])) for key in sorted(latest)],
                        )
                    if change.deleted:
                        names = [f"key_{name}" for name in table.key]
                        keys = sorted(change.deleted)
                        connection.execute(
                            statements.delete, [dict(zip(names, codec.key(key), strict=True)) for key in keys]
                        )

        self._engine.do(work)

    def tables(self) -> list[Table[Any]]:
        """Return the tables that there are, by name."""
        columns = self._versions.c

        def work(connection: sa.Connection) -> list[Table[Any]]:
            if not sa.inspect(connection).has_table(VERSIONS):
                return []
            select = sa.select(columns.name, columns.version, columns.columns).order_by(columns.name)
            return [
                stored_table(name, int(version), text) for name, version, text in connection.execute(select)
            ]

        return self._engine.do(work)

    def count(self, table: Table[Any]) -> int:
        """Return how many rows ``table`` has."""
        select = sa.select(sa.func.count()).select_from(self._statements(table).table)
        return self._engine.do(lambda connection: int(connection.execute(select).scalar_one()))

    def close(self) -> None:
        """Do nothing: the caller closes the engine."""


def _comment(table: Table[Any]) -> str:
    """Return the comment by which the database describes ``table`` to an operator."""
    return f"sansip, version {table.version}"


def _behind(key: Sequence[Any], after: Sequence[Any]) -> Any:
    """Return the test for keys behind ``after``, in a form for which every database uses its index."""
    test = key[-1] > after[-1]
    for column, value in zip(reversed(key[:-1]), reversed(after[:-1]), strict=True):
        test = sa.or_(column > value, sa.and_(column == value, test))
    return sa.and_(key[0] >= after[0], test)
