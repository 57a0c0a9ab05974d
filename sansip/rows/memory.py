"""Rows in memory: the behaviour of a store, without one.

Theory of operation: a dictionary for each table and the sorted list of its keys, for
scans. For servers that nothing was configured for, and for tests on a virtual clock.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from typing import Any, Literal

from sansip.rows.questions import Read, Scan, Write
from sansip.rows.table import Key, Table, Values

__all__ = ["MemoryRows"]


class MemoryRows:
    """Answers ``Read``, ``Scan`` and ``Write``."""

    __slots__ = ("_keys", "_rows")

    def __init__(self) -> None:
        self._rows: dict[str, dict[Key, Values]] = {}
        self._keys: dict[str, list[Key]] = {}

    def answer(self, question: Read | Scan | Write) -> Any:
        """Return the answer to ``question``."""
        match question:
            case Read():
                return self.read(question)
            case Scan():
                return self.scan(question)
            case Write():
                return self.write(question)

    def read(self, question: Read) -> list[Values | None]:
        """Return the values of each key, or None."""
        rows = self._rows.get(question.table.name, {})
        return [rows.get(key) for key in question.keys]

    def scan(self, question: Scan) -> list[Values]:
        """Return a page of rows."""
        name = question.table.name
        keys, rows = self._keys.get(name, []), self._rows.get(name, {})
        width = len(question.prefix)
        place = bisect_left(keys, question.prefix)
        if question.after is not None:
            place = max(place, bisect_right(keys, question.after))
        page: list[Values] = []
        while place < len(keys) and len(page) < question.limit and keys[place][:width] == question.prefix:
            page.append(rows[keys[place]])
            place += 1
        return page

    def count(self, table: Table[Any]) -> int:
        """Return how many rows ``table`` has."""
        return len(self._rows.get(table.name, ()))

    def write(self, question: Write) -> Literal[False] | None:
        """Do all changes; return False where a row is not the expected one."""
        for one in question.expected:
            if self._rows.get(one.table.name, {}).get(one.key) != one.values:
                return False
        for change in question.changes:
            table: Table[Any] = change.table
            rows = self._rows.setdefault(table.name, {})
            keys = self._keys.setdefault(table.name, [])
            for values in change.rows:
                key = table.key_of(values)
                if key not in rows:
                    insort(keys, key)
                rows[key] = values
            for key in change.deleted:
                if rows.pop(key, None) is not None:
                    del keys[bisect_left(keys, key)]
        return None
