"""Values of rows as a database writes them, and back.

Theory of operation: text may hold characters that a database's text cannot, so each database says how it
writes text. A boolean is an integer; all other values go unchanged. The columns of each table are written
down beside its version, so that an older table can be read before it is migrated.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import make_dataclass
from typing import Any

from sansip.errors import LocalProtocolError
from sansip.rows import Column, Key, Table, Values
from sansip_server.faults import OperatorError

__all__ = ["VERSIONS", "Codec", "described", "layout", "stored_table"]

# The table with the versions of all tables, and their columns.
VERSIONS = "row_tables"

_Convert = Callable[[Any], Any]


class Codec:
    """Writes and reads values of ``columns``; ``encode`` and ``decode`` are for text."""

    __slots__ = ("_key", "_read", "_write")

    def __init__(
        self,
        columns: Sequence[Column],
        key: Sequence[str],
        encode: Callable[[str], Any],
        decode: Callable[[Any], str],
    ) -> None:
        write: dict[str, _Convert] = {"text": encode, "boolean": int}
        read: dict[str, _Convert] = {"text": decode, "boolean": bool, "real": float, "octets": bytes}
        by_name = {column.name: column for column in columns}
        self._write = [_optional(write.get(column.kind), column) for column in columns]
        self._read = [_optional(read.get(column.kind), column) for column in columns]
        self._key = [write.get(by_name[name].kind) for name in key]

    def write(self, values: Values) -> list[Any]:
        """Return ``values`` as the database takes them."""
        return [
            value if convert is None else convert(value)
            for convert, value in zip(self._write, values, strict=True)
        ]

    def read(self, row: Sequence[Any]) -> Values:
        """Return the values of a row of the database."""
        return tuple(
            [
                value if convert is None else convert(value)
                for convert, value in zip(self._read, row, strict=True)
            ]
        )

    def key(self, key: Key) -> list[Any]:
        """Return a key, or the beginning of one, as the database takes it."""
        return [
            value if convert is None else convert(value)
            for convert, value in zip(self._key, key, strict=False)
        ]


def _optional(convert: _Convert | None, column: Column) -> _Convert | None:
    if convert is None or not column.optional:
        return convert
    return lambda value: None if value is None else convert(value)


def described(columns: Sequence[Column], key: Sequence[str]) -> str:
    """Return the columns and the key of a table as text, for ``layout``."""
    return json.dumps([[[column.name, column.kind, column.optional] for column in columns], list(key)])


def layout(text: str) -> tuple[list[Column], tuple[str, ...]]:
    """Return the columns and the key that ``described`` wrote down."""
    columns, key = json.loads(text)
    return [Column(name, kind, optional) for name, kind, optional in columns], tuple(key)


_TYPES: dict[str, type] = {"text": str, "integer": int, "real": float, "boolean": bool, "octets": bytes}


def stored_table(name: str, version: int, text: str) -> Table[Any]:
    """Return the table that ``described`` wrote down, with a class of rows made for it.

    Raises ``OperatorError`` if that is damaged.
    """
    try:
        columns, key = layout(text)
        return _made(name, version, columns, key)
    except (ValueError, TypeError, KeyError, LocalProtocolError) as error:
        raise OperatorError(f"what {VERSIONS} says of table {name} is damaged: {error}") from None


def _made(name: str, version: int, columns: Sequence[Column], key: Sequence[str]) -> Table[Any]:
    fields = [(one.name, _TYPES[one.kind] | None if one.optional else _TYPES[one.kind]) for one in columns]
    row = make_dataclass("Row", fields)
    # Only the module that has the table knows its older versions.
    unknown = dict.fromkeys(range(1, version), _unknown)
    return Table(name, row, key, version=version, migrations=unknown)


def _unknown(row: dict[str, Any]) -> dict[str, Any] | None:
    raise LookupError("only the module that has the table can migrate it")
