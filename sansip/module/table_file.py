"""Rows of a module in a file of comma-separated values: a line of column names, then a row a line.

Theory of operation: the columns are the fields of the row's dataclass, in any order. A column that is left
out, or an empty cell, has the field's default. ``#`` begins a line that is a comment; a cell in double
quotes may hold commas (RFC 4180). A fault names the line, the column and what was expected, and no row is
taken: a half-read table would send calls to half of the servers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from math import isfinite
from typing import Annotated, Any, Final, TypeVar, get_args, get_origin, get_type_hints

__all__ = ["RowsFile", "TableFault", "read_rows", "rows_files"]

Row = TypeVar("Row")
# Digits of a number: more than any column holds, and few enough that to read them costs nothing.
_DIGITS: Final = 18
_BOOLEANS: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_EXPECTED: Final = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


@dataclasses.dataclass(frozen=True, slots=True)
class RowsFile:
    """The mark of a setting, ``Annotated[str, RowsFile("destinations")]``: the name of a file with more rows.

    The server reads it with the configuration and adds its rows to the setting ``rows``, so a fault refuses
    the start, or the reload, as a whole. No two rows of the file have the same values in the columns ``key``.
    """

    rows: str
    key: tuple[str, ...] = ()


class TableFault(ValueError):
    """A file that cannot be a table. ``line`` and ``column`` count from 1, the column in characters."""

    def __init__(self, line: int, column: int, problem: str) -> None:
        super().__init__(f"{line}:{column}: {problem}")
        self.line = line
        self.column = column
        self.problem = problem


def rows_files(settings: type) -> dict[str, tuple[RowsFile, type]]:
    """Return the settings that name a file with rows, each with its mark and the dataclass of a row."""
    hints = get_type_hints(settings, include_extras=True)
    found: dict[str, tuple[RowsFile, type]] = {}
    for name, hint in hints.items():
        if get_origin(hint) is Annotated:
            for mark in get_args(hint)[1:]:
                if isinstance(mark, RowsFile):
                    (kind,) = get_args(_plain(hints[mark.rows]))
                    found[name] = (mark, kind)
    return found


def _plain(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def read_rows(kind: type[Row], text: str, key: Sequence[str] = ()) -> list[Row]:
    """Return the rows of ``text``. Raises ``TableFault``."""
    columns: list[tuple[str, Any]] | None = None
    rows: list[Row] = []
    seen: dict[tuple[Any, ...], int] = {}
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        cells = list(_cells(line, number))
        if columns is None:
            columns = _columns(kind, cells, number)
            continue
        row = _row(kind, columns, cells, number)
        rows.append(row)
        if key:
            name = tuple(getattr(row, one) for one in key)
            if name in seen:
                shown = " ".join(str(one) for one in name)
                raise TableFault(number, 1, f"{shown:.80} stands in line {seen[name]} already")
            seen[name] = number
    return rows


def _cells(line: str, number: int) -> Iterator[tuple[int, str]]:
    """Return each cell of ``line`` with the column at which it begins."""
    at, end = 0, len(line)
    while True:
        start = at
        if line[at : at + 1] == '"':
            parts: list[str] = []
            at += 1
            while True:
                close = line.find('"', at)
                if close < 0:
                    raise TableFault(number, start + 1, 'a cell that begins with " has no " at its end')
                parts.append(line[at:close])
                at = close + 1
                if line[at : at + 1] != '"':
                    break
                # RFC 4180 2.7: two quotes within a quoted cell are one.
                parts.append('"')
                at += 1
            if at < end and line[at] != ",":
                raise TableFault(number, at + 1, 'expected a comma behind the closing "')
            yield start + 1, "".join(parts)
        else:
            comma = line.find(",", at)
            at = end if comma < 0 else comma
            yield start + 1, line[start:at].strip()
        if at >= end:
            return
        at += 1


def _columns(kind: type, cells: Sequence[tuple[int, str]], number: int) -> list[tuple[str, Any]]:
    hints = get_type_hints(kind)
    fields = [one for one in dataclasses.fields(kind) if one.init]
    names = [one.name for one in fields]
    columns: list[tuple[str, Any]] = []
    for column, name in cells:
        if name not in names:
            raise TableFault(number, column, f"no column {name!r:.40}; expected names of {', '.join(names)}")
        if any(name == other for other, _ in columns):
            raise TableFault(number, column, f"the column {name} stands twice")
        columns.append((name, hints[name]))
    given = {name for name, _ in columns}
    for one in fields:
        if one.name not in given and _needed(one):
            raise TableFault(number, 1, f"the column {one.name} is missing")
    return columns


def _needed(one: dataclasses.Field[Any]) -> bool:
    return one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING


def _row(
    kind: type[Row], columns: Sequence[tuple[str, Any]], cells: Sequence[tuple[int, str]], number: int
) -> Row:
    if len(cells) != len(columns):
        column = cells[len(columns)][0] if len(cells) > len(columns) else cells[-1][0]
        raise TableFault(number, column, f"expected {len(columns)} cells, found {len(cells)}")
    values: dict[str, Any] = {}
    places: dict[str, int] = {}
    fields = dataclasses.fields(kind)  # type: ignore[arg-type]  # a dataclass
    needed = {one.name for one in fields if one.init and _needed(one)}
    for (column, text), (name, hint) in zip(cells, columns, strict=True):
        if not text:
            if name in needed:
                raise TableFault(number, column, f"{name} must not be empty")
            continue
        places[name] = column
        values[name] = _value(text, name, hint, number, column)
    try:
        return kind(**values)
    except ValueError as error:
        # Most texts of such errors begin with the name of the field.
        column = places.get(str(error).partition(" ")[0].rstrip(":"), cells[0][0])
        raise TableFault(number, column, str(error)) from None


def _value(text: str, name: str, hint: Any, number: int, column: int) -> Any:
    if hint is str:
        return text
    try:
        if hint is bool:
            return _BOOLEANS[text.lower()]
        if len(text) <= _DIGITS and text.isascii() and "_" not in text:
            value = hint(text)
            if isfinite(value):
                return value
    except (ValueError, KeyError):
        pass
    raise TableFault(number, column, f"{name} is {text!r:.40}; expected {_EXPECTED.get(hint, str(hint))}")
