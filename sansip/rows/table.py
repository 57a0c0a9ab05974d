"""A table: a dataclass whose fields are columns, a key, and the way from older versions.

Theory of operation: the fields' annotations say what a column holds, so that every
database makes the same of it. Between the core and a store a row is a tuple of plain
values in the order of the fields: a journal can hold it, and a store knows no class of
a module's. A migration is a function from a row of one version, as a dictionary by
column, to that of the next; it needs no database to be tested.
"""

from __future__ import annotations

import dataclasses
import re
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Generic, Literal, TypeAlias, TypeVar, Union, get_args, get_origin, get_type_hints

from sansip.errors import LocalProtocolError

__all__ = ["Column", "Key", "Kind", "Migration", "Row", "Table", "Values"]

Row = TypeVar("Row")
Kind: TypeAlias = Literal["text", "integer", "real", "boolean", "octets"]
# The values of a row's key, and those of all its columns, in the order of the table's.
Key: TypeAlias = tuple[Any, ...]
Values: TypeAlias = tuple[Any, ...]
# From a row of one version to that of the next; None drops the row.
Migration: TypeAlias = Callable[[dict[str, Any]], dict[str, Any] | None]

_KINDS: dict[Any, Kind] = {str: "text", int: "integer", float: "real", bool: "boolean", bytes: "octets"}
# Types of which each value fits a column of that kind, if it is a number; integers have to be looked at.
_PLAIN: dict[Kind, type] = {"text": str, "boolean": bool, "octets": bytes, "real": float}
# A name that every database takes unquoted, with room for a prefix.
_NAME = re.compile(r"[a-z][a-z0-9_]{0,47}")
# The range of 64 bits, signed.
_LEAST, _MOST = -(1 << 63), (1 << 63) - 1


@dataclasses.dataclass(frozen=True, slots=True)
class Column:
    """One column. ``integer`` has 64 bits with a sign, ``real`` is a double; ``optional``: may be None."""

    name: str
    kind: Kind
    optional: bool = False


class Table(Generic[Row]):
    """Rows of the dataclass ``row``, each named by the columns of ``key``.

    Args:
        name: lower-case letters, digits and underscores; begin it with the module's name.
        row: a dataclass of ``str``, ``int``, ``float``, ``bool``, ``bytes``, or one of them ``| None``.
        key: names of columns that are never None; rows are in its order, text by octets (text
            that is no UTF-8 where the store likes).
        version: counts up with each change of ``row``; a store refuses rows of a newer version.
        migrations: for each older version the way to the next.

    Raises ``LocalProtocolError`` where this cannot be a table.
    """

    __slots__ = ("_get", "_plain", "_read", "columns", "key", "migrations", "name", "names", "row", "version")

    def __init__(
        self,
        name: str,
        row: type[Row],
        key: Sequence[str],
        *,
        version: int = 1,
        migrations: Mapping[int, Migration] | None = None,
    ) -> None:
        if not _NAME.fullmatch(name):
            raise LocalProtocolError(f"table {name!r}: expected lower-case letters, digits and underscores")
        self.name = name
        self.row = row
        self.columns = _columns(name, row)
        # The columns' names, in order.
        self.names = [column.name for column in self.columns]
        # Reads all values of a row in one call; of one column it returns no tuple.
        self._read: Any = attrgetter(*self.names)
        self._plain = tuple([_PLAIN.get(column.kind) for column in self.columns])
        self.key = tuple(key)
        self.version = version
        self.migrations = dict(migrations or {})
        self._check()
        self._get = tuple(self.names.index(column) for column in self.key)

    def _check(self) -> None:
        by_name = {column.name: column for column in self.columns}
        if not self.key or len(set(self.key)) != len(self.key):
            raise LocalProtocolError(f"table {self.name}: a key needs columns, each once")
        for name in self.key:
            if name not in by_name:
                raise LocalProtocolError(f"table {self.name}: the key names {name}, which is no column")
            if by_name[name].optional or by_name[name].kind in ("real", "boolean"):
                raise LocalProtocolError(
                    f"table {self.name}: {name} cannot be in the key; it takes text, integers and octets"
                )
        lacking = [number for number in range(1, self.version) if number not in self.migrations]
        if self.version < 1 or lacking:
            raise LocalProtocolError(
                f"table {self.name}: version {self.version} lacks migrations from {lacking or 'version 1 on'}"
            )

    def __repr__(self) -> str:
        return f"Table({self.name!r}, version={self.version})"

    def values_of(self, row: Row) -> Values:
        """Return the values of ``row``. Raises ``LocalProtocolError`` for one that no database holds."""
        read = self._read(row)
        values: Values = read if len(self.columns) > 1 else (read,)
        for plain, value, column in zip(self._plain, values, self.columns, strict=True):
            kind = type(value)
            if kind is not plain or (kind is float and value - value != 0.0):
                self._check_value(column, value)
        return values

    def _check_value(self, column: Column, value: Any) -> None:
        if value is None:
            fits = column.optional
        elif column.kind == "integer":
            fits = type(value) is int and _LEAST <= value <= _MOST
        elif column.kind == "real":
            # Databases do not agree on values that are not a number.
            fits = type(value) in (int, float) and value - value == 0
        else:
            fits = _KINDS[type(value)] == column.kind if type(value) in _KINDS else False
        if not fits:
            shown = repr(value)
            raise LocalProtocolError(
                f"table {self.name}: {column.name} holds {column.kind}, and was given "
                f"{shown if len(shown) < 80 else shown[:80] + '…'}"
            )

    def row_of(self, values: Iterable[Any]) -> Row:
        """Return the row that has these values."""
        # By place: the columns are the fields of the dataclass.
        given = tuple(values)
        if len(given) != len(self.columns):
            raise ValueError(f"table {self.name}: {len(given)} values for {len(self.columns)} columns")
        return self.row(*given)

    def key_of(self, values: Values) -> Key:
        """Return the key within the values of a whole row."""
        return tuple([values[place] for place in self._get])

    def migrate(self, row: dict[str, Any], version: int) -> Values | None:
        """Return a row of ``version`` in the present version, None if it is dropped.

        Raises whatever a migration raises, and ``LocalProtocolError`` where it made no row of this table.
        """
        for number in range(version, self.version):
            migrated = self.migrations[number](row)
            if migrated is None:
                return None
            row = migrated
        try:
            return self.values_of(self.row(**row))
        except TypeError as error:
            raise LocalProtocolError(
                f"table {self.name}: version {version} does not migrate: {error}"
            ) from None


def _columns(name: str, row: type) -> tuple[Column, ...]:
    if not dataclasses.is_dataclass(row):
        raise LocalProtocolError(f"table {name}: {row!r} is no dataclass")
    hints = get_type_hints(row)
    columns = []
    for field in dataclasses.fields(row):
        kind, optional = hints[field.name], False
        if get_origin(kind) in (Union, types.UnionType):
            inner = [one for one in get_args(kind) if one is not type(None)]
            optional = len(inner) < len(get_args(kind))
            kind = inner[0] if len(inner) == 1 else kind
        if kind not in _KINDS:
            raise LocalProtocolError(
                f"table {name}: {field.name} is {kind!r}; a column is str, int, float, bool or bytes"
            )
        if not _NAME.fullmatch(field.name):
            raise LocalProtocolError(f"table {name}: {field.name!r} is no name for a column")
        columns.append(Column(field.name, _KINDS[kind], optional))
    return tuple(columns)
