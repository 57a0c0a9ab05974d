"""Values of rows as a database writes them, and back.

Theory of operation: text may hold what a database's text cannot, so each database says
how it writes text; a boolean is an integer; everything else goes as it is. The columns
of each table are written down beside its version, so that an older table can be read
before it is migrated.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from sansip.rows import Column, Key, Values

__all__ = ["Codec", "described", "layout"]

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
