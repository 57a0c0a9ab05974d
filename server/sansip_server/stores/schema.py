"""The tables of a store, once for every database.

Theory of operation: a table is named columns of three kinds and a key; each store translates that
for its database, so that a new column is one line here. A binding is a row with a place
(``slot``) within its address-of-record: a refresh overwrites one row in place, and a restart
reads the neighbours of a row together with it. Times are Unix times. The version counts up with
each change; a store migrates an older database to it, step by step, and refuses a newer one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sansip_server.faults import OperatorError

__all__ = [
    "BINDINGS",
    "CHANGES",
    "CLOCKS",
    "HASHES",
    "MIGRATIONS",
    "TABLES",
    "USERS",
    "VERSION",
    "Column",
    "Table",
    "check_version",
]

VERSION = 3


@dataclass(frozen=True, slots=True)
class Column:
    """One column; ``integer`` has 64 bits, ``real`` is a double."""

    name: str
    kind: Literal["text", "integer", "real"] = "text"
    required: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table and the columns that name one row of it."""

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """The columns' names, in order."""
        return [column.name for column in self.columns]

    @property
    def values(self) -> list[str]:
        """The names of the columns outside the key."""
        return [name for name in self.names if name not in self.key]


USERS = Table(
    "users",
    (
        Column("realm", required=True),
        Column("username", required=True),
        # HA1 in hexadecimal, one for each hash; NULL if it is not known.
        Column("md5"),
        Column("sha256"),
        Column("sha512_256"),
    ),
    key=("realm", "username"),
)
# Hash names, in the order of their columns.
HASHES = ("MD5", "SHA-256", "SHA-512-256")

BINDINGS = Table(
    "bindings",
    (
        Column("aor", required=True),
        Column("slot", "integer", required=True),
        Column("contact", required=True),
        # NULL: an administrator made it permanent.
        Column("expires", "real"),
        Column("call_id", required=True),
        Column("cseq", "integer", required=True),
        Column("q", "integer"),
        Column("registered", "real", required=True),
        Column("refreshed", "real", required=True),
        # A JSON array of the Path values, topmost first.
        Column("path"),
        Column("instance"),
        Column("reg_id", "integer"),
        Column("params", required=True),
        Column("received"),
        Column("user_agent"),
        # The reading by which its times were written (CLOCKS); NULL: plain Unix times.
        Column("clock", "integer"),
    ),
    key=("aor", "slot"),
)

# Readings of Unix time against the stack's clock, see ``clocks``.
CLOCKS = Table(
    "clocks",
    (
        Column("id", "integer", required=True),
        Column("boot", required=True),
        Column("zero", "real", required=True),
    ),
    key=("id",),
)

# The number of changes of each kind, so that a cache knows when it is out of date.
CHANGES = Table(
    "changes",
    (Column("name", required=True), Column("number", "integer", required=True)),
    key=("name",),
)

TABLES = (USERS, BINDINGS, CHANGES, CLOCKS)

# Version that a database has -> the statements that make the next version. Version 1 was SQLite's alone:
# bindings without a place, found by two indexes. Version 2 had no readings of the clock. Tables that are
# missing are made in any case.
MIGRATIONS: dict[int, tuple[str, ...]] = {
    1: (
        """
        CREATE TABLE bindings_2 (
            aor TEXT NOT NULL, slot INTEGER NOT NULL, contact TEXT NOT NULL, expires REAL,
            call_id TEXT NOT NULL, cseq INTEGER NOT NULL, q INTEGER,
            registered REAL NOT NULL, refreshed REAL NOT NULL, path TEXT, instance TEXT,
            reg_id INTEGER, params TEXT NOT NULL, received TEXT, user_agent TEXT,
            PRIMARY KEY (aor, slot)
        ) WITHOUT ROWID
        """,
        """
        INSERT INTO bindings_2
        SELECT aor, row_number() OVER (PARTITION BY aor ORDER BY rowid) - 1, contact, expires, call_id,
               cseq, q, registered, refreshed, path, instance, reg_id, params, received, user_agent
        FROM bindings
        """,
        "DROP TABLE bindings",
        "ALTER TABLE bindings_2 RENAME TO bindings",
    ),
    2: ("ALTER TABLE bindings ADD COLUMN clock INTEGER",),
}


def check_version(found: int, name: str) -> None:
    """Raise OperatorError when store ``name`` was written by a newer sansip."""
    if found > VERSION:
        raise OperatorError(
            f"{name} has schema version {found}, and this sansip knows {VERSION}: use the newer sansip"
            " that wrote it, or another store"
        )
