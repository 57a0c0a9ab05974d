"""Rows as lines of JSON: out of one store, into another.

Theory of operation: a table is a line that describes it, a line for each row (its values in the order of the
columns, octets as base64), and a line that counts them, so that a reader notices a file that was cut off.
The whole file is judged before anything is written, and each table is written as a whole or not at all. Rows
of an older version are migrated on the way, if the module that has the table is installed.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sansip.errors import LocalProtocolError
from sansip.rows import Change, Scan, Table, Values, Write
from sansip_server.faults import OperatorError
from sansip_server.rows.codec import described, stored_table
from sansip_server.rows.interface import RowStore, check_table, upgrade

__all__ = ["Given", "pages", "put", "read_lines", "written"]

# Rows read at once.
_PAGE = 1_000


@dataclass(slots=True)
class Given:
    """A table of a file, and its rows."""

    table: Table[Any]
    rows: list[Values] = field(default_factory=list)


def pages(store: RowStore, table: Table[Any]) -> Iterator[Values]:
    """Yield all rows of ``table``, a page at a time."""
    after = None
    while page := store.scan(Scan(table, (), after, _PAGE)):
        yield from page
        after = table.key_of(page[-1])


def written(store: RowStore, tables: Iterable[Table[Any]]) -> Iterator[str]:
    """Yield the lines of ``tables``."""
    for table in tables:
        columns, key = json.loads(described(table.columns, table.key))
        yield json.dumps({"table": table.name, "version": table.version, "columns": columns, "key": key})
        count = 0
        for values in pages(store, table):
            count += 1
            yield json.dumps([_plain(value) for value in values])
        yield json.dumps({"end": table.name, "rows": count})


def read_lines(lines: Iterable[str], name: str) -> list[Given]:
    """Return the tables in ``lines`` of the file ``name``.

    Raises ``OperatorError`` with the line that is wrong.
    """
    tables: list[Given] = []
    current: Given | None = None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            current = _take(json.loads(line), current, tables)
        except (ValueError, TypeError, KeyError, RecursionError, LocalProtocolError, OperatorError) as error:
            reason = str(error) or type(error).__name__
            raise OperatorError(
                f"{name}:{number}: {reason}; expected what `sansip store export` writes"
            ) from None
    if current is not None:
        raise OperatorError(f"{name}: the end of the table {current.table.name} is missing: it was cut off")
    return tables


def _take(value: Any, current: Given | None, tables: list[Given]) -> Given | None:
    """Take one line; return the table that is open after it."""
    if isinstance(value, dict) and "table" in value:
        if current is not None:
            raise ValueError(f"the table {current.table.name} has not ended")
        text = json.dumps([value["columns"], value["key"]])
        return Given(stored_table(str(value["table"]), int(value["version"]), text))
    if current is None:
        raise ValueError("no table has begun")
    if isinstance(value, dict):
        if value["end"] != current.table.name or value["rows"] != len(current.rows):
            raise ValueError(
                f"{len(current.rows)} rows of {current.table.name} are there, {value} were written"
            )
        tables.append(current)
        return None
    if not isinstance(value, list):
        raise TypeError("a row is an array")
    values = tuple(map(_value, value))
    if len(values) != len(current.table.columns):
        raise ValueError(f"{len(values)} values for {len(current.table.columns)} columns")
    # This refuses values that no database holds, before anything is written.
    current.rows.append(current.table.values_of(current.table.row_of(values)))
    return current


def put(store: RowStore, given: Given, known: Mapping[str, Table[Any]]) -> int:
    """Put the rows of ``given`` into ``store``; return how many.

    Those of the same key are replaced, others stay. ``known``: the tables of the modules that are installed,
    by name. Raises ``OperatorError`` if versions do not fit; then nothing was written.
    """
    table, rows = given.table, given.rows
    there = {one.name: one for one in store.tables()}.get(table.name)
    wanted = there or known.get(table.name) or table
    check_table(table, None, store.name)
    if table.version > wanted.version:
        raise OperatorError(
            f"table {table.name} has version {table.version} in the file, and {wanted.version} in"
            f" {store.name}: bring the store up to date first (`sansip store migrate`)"
        )
    if table.version < wanted.version:
        module = known.get(table.name)
        if module is None or module.version != wanted.version:
            raise OperatorError(
                f"table {table.name} has version {table.version} in the file, and {wanted.version} in"
                f" {store.name}: install the module that has it, in the version that wrote the store"
            )
        dictionaries = (dict(zip(table.names, values, strict=True)) for values in rows)
        rows = upgrade(module, dictionaries, table.version, "the file")
        wanted = module
    elif (table.columns, table.key) != (wanted.columns, wanted.key):
        raise OperatorError(f"table {table.name} has other columns in the file than in {store.name}")
    store.prepare([wanted])
    store.write([Write((Change(wanted, tuple(rows)),))])
    return len(rows)


def _plain(value: Any) -> Any:
    return {"octets": base64.b64encode(value).decode()} if isinstance(value, bytes) else value


def _value(value: Any) -> Any:
    if isinstance(value, dict):
        return base64.b64decode(value["octets"], validate=True)
    return value
