"""PostgreSQL, MariaDB and MySQL: the statements in which they differ.

Theory of operation: SQLAlchemy knows the dialects; this file makes the choices that are left to us. Keys are
compared octet by octet everywhere: by the collation ``C`` in PostgreSQL, as ``VARBINARY`` in the others,
whose text collations call ``a`` and ``a `` equal. Text in these databases cannot hold NUL, or octets
that are not UTF-8. Both are written with a backslash before them, and so is a backslash.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql

__all__ = ["MYSQL", "POSTGRESQL", "Dialect", "decode_text", "encode_text"]

# Two nodes that start together make the tables once.
_SCHEMA_LOCK = 0x73616E736970
# Octets of all text in a key: InnoDB takes 3,072 in an index.
_KEY_OCTETS = 3_000


@dataclass(frozen=True, slots=True)
class Dialect:
    """One of the two kinds. ``transactional``: tables are made and changed within a transaction."""

    name: Literal["postgresql", "mysql"]
    transactional: bool

    def column(self, kind: str, *, keys: int = 0) -> Any:
        """Return the type of a column; ``keys``: how many text columns share its key, 0 outside of one."""
        match kind:
            case "integer":
                return sa.BigInteger()
            case "boolean":
                return sa.SmallInteger()
            case "real":
                return sa.Double()
        if self.name == "postgresql":
            return sa.LargeBinary() if kind == "octets" else sa.Text(collation="C" if keys else None)
        if keys:
            return _KeyText(_KEY_OCTETS // keys)
        return mysql.LONGBLOB() if kind == "octets" else mysql.LONGTEXT(collation="utf8mb4_bin")

    def upsert(self, table: sa.Table, key: Sequence[str], change: Mapping[str, Any] | None = None) -> Any:
        """Return the statement that adds a row, or replaces the one that has its key.

        ``change``: the change of that row instead, by column.
        """
        others = [column.name for column in table.columns if column.name not in key]
        if self.name == "postgresql":
            statement = postgresql.insert(table)
            values = change or {name: statement.excluded[name] for name in others}
            if not values:
                return statement.on_conflict_do_nothing(index_elements=list(key))
            return statement.on_conflict_do_update(index_elements=list(key), set_=values)
        insert = mysql.insert(table)
        return insert.on_duplicate_key_update(
            change or {name: insert.inserted[name] for name in others or key}
        )

    def replace(self, table: str, by: str) -> list[str]:
        """Return the statements that drop ``table`` and give its name to table ``by``."""
        if self.name == "postgresql":
            return [f'DROP TABLE "{table}"', f'ALTER TABLE "{by}" RENAME TO "{table}"']
        # One statement, which happens as a whole: MySQL has no transaction for tables.
        return [f"RENAME TABLE `{table}` TO `{table}_old`, `{by}` TO `{table}`", f"DROP TABLE `{table}_old`"]

    def unbound(self, connection: sa.Connection) -> None:
        """Lift the time limit of the next statements: reading everything may take longer than any other."""
        if self.name == "postgresql":
            connection.exec_driver_sql("SET LOCAL statement_timeout = 0")

    def lock(self, connection: sa.Connection) -> None:
        """Make other servers wait with their tables until the transaction, or the connection, ends."""
        if self.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_SCHEMA_LOCK)))
        elif connection.execute(sa.text("SELECT GET_LOCK('sansip schema', 30)")).scalar() != 1:
            raise OSError("another server has been changing the tables for 30 s")

    def unlock(self, connection: sa.Connection) -> None:
        """End the lock of ``lock``, if the end of a transaction does not."""
        if self.name == "mysql":
            connection.execute(sa.text("SELECT RELEASE_LOCK('sansip schema')"))


class _KeyText(sa.TypeDecorator[str]):
    """Text as octets, which MySQL compares octet by octet, without a collation."""

    impl = mysql.VARBINARY
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> bytes | None:
        return None if value is None else value.encode()

    def process_result_value(self, value: bytes | None, dialect: Any) -> str | None:
        return None if value is None else bytes(value).decode()


POSTGRESQL = Dialect("postgresql", transactional=True)
MYSQL = Dialect("mysql", transactional=False)

# A backslash, NUL, and the lone surrogates that stand for octets that are not UTF-8.
_SPECIAL = re.compile("[\\\\\0\ud800-\udfff]")
_ESCAPED = re.compile(r"\\(?:\\|([0-9a-f]{4}))")


def encode_text(value: str) -> str:
    """Return text that every database holds."""
    if _SPECIAL.search(value) is None:
        return value
    return _SPECIAL.sub(lambda m: "\\\\" if m[0] == "\\" else f"\\{ord(m[0]):04x}", value)


def decode_text(value: str) -> str:
    """Return the text that ``encode_text`` was given."""
    if "\\" not in value:
        return value
    return _ESCAPED.sub(lambda m: chr(int(m[1], 16)) if m[1] else "\\", value)
