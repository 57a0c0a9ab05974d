"""Questions of the core to a store of rows.

Theory of operation: answers are plain values (``Table.row_of`` makes rows of them). A write is whole or not
at all, also over several tables, and is answered once it is durable. So a row that was acknowledged to a peer
after the answer is not lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sansip.rows.table import Key, Table, Values

__all__ = ["Change", "Expected", "Read", "Scan", "Write"]


@dataclass(slots=True)
class Read:
    """The rows of ``keys``. Answer: a list as long, with the values or None for each."""

    table: Table[Any]
    keys: tuple[Key, ...]


@dataclass(slots=True)
class Scan:
    """Rows in the order of the key. Answer: a list of values, ``limit`` at most.

    Attributes:
        prefix: values of the first columns of the key that a row must have.
        after: a whole key; only rows behind it (the last of the page before).
    """

    table: Table[Any]
    prefix: Key = ()
    after: Key | None = None
    limit: int = 1_000


@dataclass(slots=True)
class Change:
    """Rows of one table to put (added, or replaced whole), and keys to delete, in this order."""

    table: Table[Any]
    rows: tuple[Values, ...] = ()
    deleted: tuple[Key, ...] = ()


@dataclass(slots=True)
class Expected:
    """The row of ``key`` has these ``values``, None: there is none."""

    table: Table[Any]
    key: Key
    values: Values | None


@dataclass(slots=True)
class Write:
    """Changes that happen together or not at all. Answer: None.

    False where a row is another one than ``expected``, and nothing was changed; nobody comes in between.
    """

    changes: tuple[Change, ...]
    expected: tuple[Expected, ...] = ()
