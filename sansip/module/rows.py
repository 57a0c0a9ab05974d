"""The durable rows of a module's table, for its coroutines.

Theory of operation: each read and each write is a question to the store (``sansip.rows``), which a coroutine
awaits.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Generic, TypeVar

from sansip.routing.awaitables import ask
from sansip.rows import Change, Expected, Key, Read, Scan, Table, Write

__all__ = ["Rows"]

Row = TypeVar("Row")


class Rows(Generic[Row]):
    """The rows of one table, for coroutines."""

    __slots__ = ("table",)

    def __init__(self, table: Table[Row]) -> None:
        self.table = table

    async def get(self, *key: Any) -> Row | None:
        """Return the row of ``key``, or None."""
        (values,) = await ask(Read(self.table, (key,)))
        return None if values is None else self.table.row_of(values)

    async def page(self, *prefix: Any, after: Key | None = None, limit: int = 1_000) -> list[Row]:
        """Return rows whose key begins with ``prefix``, in its order; ``after``: the last key before."""
        return [self.table.row_of(one) for one in await ask(Scan(self.table, prefix, after, limit))]

    async def all(self, *prefix: Any, page: int = 1_000) -> list[Row]:
        """Return every row whose key begins with ``prefix``, read a page at a time."""
        rows: list[Row] = []
        after: Key | None = None
        while values := await ask(Scan(self.table, prefix, after, page)):
            rows += map(self.table.row_of, values)
            if len(values) < page:
                break
            after = self.table.key_of(values[-1])
        return rows

    async def put(self, *rows: Row, delete: Iterable[Key] = ()) -> None:
        """Put rows and delete keys, together or not at all; they are durable on return."""
        await ask(Write((self.change(*rows, delete=delete),)))

    async def swap(self, key: Key, before: Row | None, after: Row | None) -> bool:
        """Put ``after`` in the place of ``before``, None for no row; return whether ``before`` was there.

        Other nodes that share the rows do not come in between.
        """
        change = self.change(delete=[key]) if after is None else self.change(after)
        values = None if before is None else self.table.values_of(before)
        return await ask(Write((change,), (Expected(self.table, key, values),))) is not False

    async def delete(self, *keys: Key) -> None:
        """Delete rows."""
        await self.put(delete=keys)

    def change(self, *rows: Row, delete: Iterable[Key] = ()) -> Change:
        """Return the change for a ``Write`` of several tables."""
        return Change(self.table, tuple(map(self.table.values_of, rows)), tuple(delete))
