"""Rows in memory, for a server without a configured store: they end with the process.

Theory of operation: ``sansip.rows.MemoryRows`` with the other duties of a database: versions, migrations,
and a lock, because each kind of question has a thread of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import Any

from sansip.rows import Change, MemoryRows, Read, Scan, Table, Values, Write
from sansip_server.rows.interface import Unexpected, check_current, check_table, upgrade
from sansip_server.stores.interface import DataRefused

__all__ = ["InMemory"]


class InMemory:
    """A database in memory; ``close`` keeps the rows, and the owner of the object can use them again."""

    name = "memory"

    def __init__(self) -> None:
        self._rows = MemoryRows()
        self._tables: dict[str, Table[Any]] = {}
        self._lock = threading.Lock()

    def prepare(self, tables: Iterable[Table[Any]]) -> None:
        """Make the tables, or bring older ones to today's version."""
        for table in tables:
            with self._lock:
                before = self._tables.get(table.name)
                check_table(table, None if before is None else before.version, self.name)
                if before is not None and before.version < table.version:
                    old = self._rows.scan(Scan(before, limit=self.count(before)))
                    given = (dict(zip(before.names, values, strict=True)) for values in old)
                    values = upgrade(table, given, before.version, self.name)
                    gone = tuple(map(before.key_of, old))
                    self._rows.write(Write((Change(before, deleted=gone), Change(table, tuple(values)))))
                self._tables[table.name] = table

    def read(self, question: Read) -> list[Values | None]:
        """Return the values of each key, or None."""
        with self._lock:
            return self._rows.read(question)

    def scan(self, question: Scan) -> list[Values]:
        """Return a page of rows in the order of the key."""
        with self._lock:
            return self._rows.scan(question)

    def write(self, questions: Sequence[Write]) -> None:
        """Make all changes, or none."""
        changes = [change for one in questions for change in one.changes]
        for change in changes:
            if any(None in change.table.key_of(values) for values in change.rows):
                raise DataRefused(f"table {change.table.name}: a key without a value")
        with self._lock:
            found = {name: table.version for name, table in self._tables.items()}
            check_current([change.table for change in changes], found, self.name)
            expected = tuple(one for question in questions for one in question.expected)
            if self._rows.write(Write((), expected)) is False:
                raise Unexpected
            for question in questions:
                self._rows.write(Write(question.changes))

    def tables(self) -> list[Table[Any]]:
        """Return the tables that there are, by name."""
        with self._lock:
            return [self._tables[name] for name in sorted(self._tables)]

    def count(self, table: Table[Any]) -> int:
        """Return how many rows ``table`` has."""
        return self._rows.count(table)

    def close(self) -> None:
        """Do nothing: nothing is open."""
