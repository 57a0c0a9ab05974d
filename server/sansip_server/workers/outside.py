"""Questions of a worker's modules that the parent has answered: rows, and outer halves of modules.

Theory of operation: one process writes the store and the files of modules, the parent. A question goes there
as octets of ``pickle``, for it may be a dataclass of any module; both ends are our own processes, and no
other program can reach their socket. A table is not copied: it goes by its name, which both ends know.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterable
from typing import Any

from sansip.module import Module
from sansip.rows import Table

__all__ = ["Carrier", "held_tables", "tables_of"]


def tables_of(kinds: Iterable[type[Module]]) -> list[Table[Any]]:
    """Return the tables of modules."""
    return [table for kind in kinds for table in kind.tables]


def held_tables(kinds: Iterable[type[Module]]) -> set[str]:
    """Return the names of the tables whose modules want to hear what other workers write."""
    hearing = [kind for kind in kinds if kind.rows_changed is not Module.rows_changed]
    return {table.name for table in tables_of(hearing)}


class _Pickler(pickle.Pickler):
    def persistent_id(self, value: Any) -> Any:
        return value.name if isinstance(value, Table) else None


class _Unpickler(pickle.Unpickler):
    def __init__(self, data: bytes, tables: dict[str, Table[Any]]) -> None:
        super().__init__(io.BytesIO(data))
        self._tables = tables

    def persistent_load(self, name: Any) -> Any:
        return self._tables[name]


class Carrier:
    """Makes octets of questions and answers. ``tables``: those that questions may name."""

    def __init__(self, tables: Iterable[Table[Any]] = ()) -> None:
        self._tables = {table.name: table for table in tables}

    def learn(self, tables: Iterable[Table[Any]]) -> None:
        """Know further tables."""
        self._tables |= {table.name: table for table in tables}

    def packed(self, value: Any) -> bytes:
        """Return ``value`` as octets; for one that cannot be carried, an exception that says so."""
        try:
            data = self._dumped(value)
            if isinstance(value, BaseException):
                # Some can be written and not read.
                self.unpacked(data)
            return data
        except Exception as error:
            text = f"{type(value).__name__}: {value}" if isinstance(value, BaseException) else repr(error)
            return self._dumped(OSError(text[:500]))

    def _dumped(self, value: Any) -> bytes:
        stream = io.BytesIO()
        _Pickler(stream, pickle.HIGHEST_PROTOCOL).dump(value)
        return stream.getvalue()

    def unpacked(self, data: bytes) -> Any:
        """Return what ``packed`` made octets of."""
        return _Unpickler(data, self._tables).load()
