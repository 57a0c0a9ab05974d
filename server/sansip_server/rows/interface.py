"""The complete interface of a store of rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from sansip.rows import Read, Scan, Table, Values, Write
from sansip_server.faults import OperatorError
from sansip_server.rows.codec import VERSIONS

__all__ = ["RESERVED", "Outdated", "RowStore", "Unexpected", "check_current", "check_table", "upgrade"]

# Tables that the server itself has in the same database.
RESERVED = frozenset(("bindings", "changes", "clocks", "lock", VERSIONS, "schema_version", "users"))


class Outdated(Exception):
    """Another program migrated or removed a table while this one ran: nothing was written."""


class Unexpected(Exception):
    """A row is another one than the write expects: nothing was written."""


class RowStore(Protocol):
    """A store of rows; one thread for each kind of question uses it.

    Raises ``OSError`` or the library's own exception when it cannot do what it is asked.
    """

    # Its name for the operator, without a password.
    name: str

    def prepare(self, tables: Iterable[Table[Any]]) -> None:
        """Make the tables, or bring older ones to today's version; each table whole or not at all.

        Raises ``OperatorError`` for a table that a newer version wrote, and for rows that do not migrate.
        """

    def read(self, question: Read) -> list[Values | None]:
        """Return the values of each key, or None."""

    def scan(self, question: Scan) -> list[Values]:
        """Return a page of rows in the order of the key."""

    def write(self, questions: Sequence[Write]) -> None:
        """Make all changes durable, or none.

        Raises ``DataRefused`` if a change cannot be stored however often it is tried, ``Outdated`` if a table
        by now has another version than ``prepare`` found or made, and ``Unexpected`` if a row is not the
        expected one. All expectations are judged before any change.
        """

    def tables(self) -> list[Table[Any]]:
        """Return the existing tables, as their newest program described them, by name.

        Their rows have classes made here, for tools that do not know the modules.
        """

    def count(self, table: Table[Any]) -> int:
        """Return how many rows ``table`` has."""

    def close(self) -> None: ...


def check_table(table: Table[Any], found: int | None, store: str) -> None:
    """Raise ``OperatorError`` if the store may not have ``table``; ``found`` is its version there."""
    if table.name in RESERVED:
        raise OperatorError(f"table {table.name}: the server has one of that name; the module needs another")
    if found is not None and found > table.version:
        raise OperatorError(
            f"{store}: table {table.name} has version {found}, and this program knows {table.version}: "
            "use the newer program that wrote it, or another store"
        )


def check_current(tables: Iterable[Table[Any]], found: Mapping[str, int], store: str) -> None:
    """Raise ``Outdated`` unless ``found``, the versions by name, are those of ``tables``."""
    for table in tables:
        version = found.get(table.name)
        if version != table.version:
            what = "is not there any more" if version is None else f"has version {version} by now"
            raise Outdated(
                f"{store}: table {table.name} {what}, and this program writes version {table.version}:"
                " restart it as the program that migrated the table"
            )


def upgrade(table: Table[Any], rows: Iterable[dict[str, Any]], found: int, store: str) -> list[Values]:
    """Return ``rows`` of version ``found`` as they are today.

    Raises ``OperatorError`` for a row that does not migrate.
    """
    migrated = []
    for row in rows:
        try:
            values = table.migrate(dict(row), found)
        except Exception as error:
            key = ", ".join(f"{name}={row.get(name)!r}" for name in table.key)
            raise OperatorError(
                f"{store}: table {table.name} stays at version {found}: the row {key} does not migrate"
                f" to {table.version} ({type(error).__name__}: {error}); mend the row or the module,"
                " then start again"
            ) from error
        if values is not None:
            migrated.append(values)
    return migrated
