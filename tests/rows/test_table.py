"""Classes that can be a table, and others: the error comes when the module is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from sansip.errors import LocalProtocolError
from sansip.rows import Column, Table


@dataclass
class Row:
    name: str
    size: int
    ratio: float = 0.0
    note: str | None = None


TABLE = Table("things", Row, ("name", "size"))


def test_columns_are_the_fields() -> None:
    """Every database makes the same of a row."""
    assert TABLE.columns == (
        Column("name", "text"),
        Column("size", "integer"),
        Column("ratio", "real"),
        Column("note", "text", optional=True),
    )
    assert TABLE.row_of(TABLE.values_of(Row("a", 1))) == Row("a", 1)
    assert TABLE.key_of(("a", 1, 0.5, None)) == ("a", 1)


@pytest.mark.parametrize(
    "row",
    [
        Row("a", 1 << 63),
        Row("a", True),
        Row("a", 1, float("nan")),
        Row("a", 1, float("inf")),
        Row("a", 1, "0.5"),
        Row(None, 1),
        Row("a", 1, 0.0, b"octets"),
    ],
)
def test_values_that_no_database_holds(row: Row) -> None:
    """A wrong value is refused before it is part of a batch, and its column is named."""
    with pytest.raises(LocalProtocolError, match="table things: "):
        TABLE.values_of(row)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"name": "Things"}, "lower-case"),
        ({"name": "x; DROP TABLE users"}, "lower-case"),
        ({"key": ()}, "needs columns"),
        ({"key": ("size", "size")}, "each once"),
        ({"key": ("colour",)}, "no column"),
        ({"key": ("note",)}, "cannot be in the key"),
        ({"key": ("ratio",)}, "cannot be in the key"),
        ({"version": 3, "migrations": {1: dict}}, r"from \[2\]"),
        ({"row": int}, "no dataclass"),
    ],
)
def test_what_is_no_table(given: dict[str, Any], said: str) -> None:
    """A slip in a module's table is found when it is made."""
    arguments = {"name": "things", "row": Row, "key": ("name",)} | given
    with pytest.raises(LocalProtocolError, match=said):
        Table(**arguments)


def test_columns_of_other_types() -> None:
    """A list is no column."""

    @dataclass
    class Listed:
        names: list

    with pytest.raises(LocalProtocolError, match="a column is str, int, float, bool or bytes"):
        Table("lists", Listed, ("names",))


def test_migration() -> None:
    """Each step is a function of a row; None drops it; a result that is no row is an error."""
    steps = {1: lambda row: {**row, "size": 1}, 2: lambda row: row if row["name"] else None}
    table = Table("things", Row, ("name",), version=3, migrations=steps)
    assert table.migrate({"name": "a"}, 1) == ("a", 1, 0.0, None)
    assert table.migrate({"name": ""}, 1) is None
    with pytest.raises(LocalProtocolError, match="version 2 does not migrate"):
        table.migrate({"name": "a", "colour": 3}, 2)
