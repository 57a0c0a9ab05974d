"""``sansip store list|export|import|migrate``: rows of modules in an operator's hands."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from sansip.rows import Scan, Table
from sansip_server.cli import sansip
from sansip_server.commands import store_rows
from sansip_server.rows import open_rows
from sansip_server.stores.lock import StoreLock
from sansip_server.stores.sqlite import SqliteStore
from tests.rows.contract import NEWER, OLDER, SILO, Older, Stored, put

ROWS = [Stored("a\udcff", 1, b"\0\xff", "☎", 1.5, True, None), Stored("b", -2, None)]
OLD = [Older("a", 1, b"x", None, 1500), Older("b", 2, None, None, 1)]


def run(*words: str, input: str | None = None) -> tuple[int, str]:
    result = CliRunner().invoke(sansip, ["store", *words], input=input)
    assert not isinstance(result.exception, (AssertionError, TypeError)), result.exception
    return result.exit_code, result.output + (str(result.exception) if result.exception else "")


def fill(path: Path, table: Table[Any], *rows: Any) -> None:
    with closing(SqliteStore(path)) as store:
        there = open_rows(store)
        there.prepare([table])
        there.write([put(table, *rows)])


def rows_in(path: Path, table: Table[Any]) -> list[Any]:
    with closing(SqliteStore(path)) as store:
        return [table.row_of(values) for values in open_rows(store).scan(Scan(table))]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    fill(tmp_path / "one.db", SILO, *ROWS)
    return tmp_path / "one.db"


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Say which tables the modules that are installed have."""

    def have(*tables: Table[Any]) -> None:
        monkeypatch.setattr(store_rows, "known_tables", lambda: {table.name: table for table in tables})

    have()
    return have


def test_list(store: Path) -> None:
    """The tables that exist, without the module that made them."""
    status, output = run("list", "--store", str(store))
    assert (status, output.startswith("silo: version 1, 2 rows, by aor, number: aor text, ")) == (0, True)
    status, output = run("list", "--store", str(store), "--json")
    assert json.loads(output)["columns"][:3] == ["aor text", "number integer", "body octets?"]


def test_out_of_one_store_and_into_another(store: Path, tmp_path: Path, modules: Any) -> None:
    """Octets, text that is no UTF-8 and None arrive as they were; rows that are there stay."""
    file, other = tmp_path / "rows", tmp_path / "two.db"
    assert run("export", "silo", "--to", str(file), "--store", str(store))[0] == 0
    assert file.stat().st_mode & 0o777 == 0o600
    fill(other, SILO, Stored("b", -2, b"replaced"), Stored("c", 3, b"stays"))
    assert run("import", str(file), "--store", str(other)) == (0, "silo: 2 rows\n")
    found = rows_in(other, SILO)
    assert sorted(found, key=str) == sorted([*ROWS, Stored("c", 3, b"stays")], key=str)
    # And by a pipe, into a store that is new.
    status, text = run("export", "--store", str(store))
    assert status == 0
    assert run("import", "-", "--store", str(tmp_path / "three.db"), input=text)[0] == 0
    assert rows_in(tmp_path / "three.db", SILO) == rows_in(store, SILO)
    status, output = run("export", "--to", str(file), "--store", str(store))
    assert (status, "exists" in output) == (2, True) or "exists" in output


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda lines: lines[:-1], "was cut off"),
        (lambda lines: lines[:2] + lines[3:], "1 rows of silo are there"),
        (lambda lines: ["nonsense", *lines], "rows:1: "),
        (lambda lines: ["[1]", *lines], "rows:1: no table has begun"),
        (lambda lines: [lines[0], lines[0], *lines[1:]], "rows:2: the table silo has not ended"),
        (lambda lines: [lines[0], "[1, 2]", *lines[1:]], "rows:2: 2 values for 7 columns"),
        (lambda lines: [one.replace("1.5", '"x"') for one in lines], "rows:3: table silo: when"),
        (lambda lines: [lines[0], "7", *lines[1:]], "rows:2: a row is an array"),
        (
            lambda lines: [
                lines[0].replace('"silo"', '"users"'),
                *lines[1:-1],
                lines[-1].replace("silo", "users"),
            ],
            "users",
        ),
        (
            lambda lines: [lines[0].replace('"silo"', '"a; DROP"'), *lines[1:]],
            "rows:1: what row_tables says of table a; DROP",
        ),
    ],
)
def test_a_file_that_is_wrong(
    store: Path, tmp_path: Path, modules: Any, edit: Callable[[list[str]], list[str]], said: str
) -> None:
    """It is refused with its line before anything is written."""
    lines = run("export", "--store", str(store))[1].splitlines()
    file = tmp_path / "rows"
    file.write_text("\n".join(edit(lines)) + "\n")
    status, output = run("import", str(file), "--store", str(tmp_path / "two.db"))
    assert status
    assert said in output, output
    if (tmp_path / "two.db").exists():
        assert run("list", "--store", str(tmp_path / "two.db"))[1] == ""


def test_older_rows_are_migrated_on_their_way(tmp_path: Path, modules: Any) -> None:
    """A copy of last year's is good for this year's program, where the module is there."""
    one, two, file = tmp_path / "one.db", tmp_path / "two.db", tmp_path / "rows"
    fill(one, OLDER, *OLD)
    assert run("export", "--to", str(file), "--store", str(one))[0] == 0
    fill(two, NEWER, Stored("z", 1, b""))
    status, output = run("import", str(file), "--store", str(two))
    assert status
    assert "install the module that has it" in output
    modules(NEWER)
    assert run("import", str(file), "--store", str(two)) == (0, "inbox: 1 rows\n")
    assert rows_in(two, NEWER) == [Stored("a", 1, b"x", None, 1.5), Stored("z", 1, b"")]
    # The other way round nothing is lost, for nothing is taken.
    newer = tmp_path / "newer"
    assert run("export", "--to", str(newer), "--store", str(two))[0] == 0
    status, output = run("import", str(newer), "--store", str(one))
    assert status
    assert "version 2 in the file, and 1 in" in output


def test_migrate(tmp_path: Path, modules: Any) -> None:
    """Seen to succeed before the new program starts; a newer table is said, and left alone."""
    path = tmp_path / "one.db"
    fill(path, OLDER, *OLD)
    fill(path, SILO, *ROWS)
    modules(NEWER)
    status, output = run("migrate", "--store", str(path))
    assert status == 0
    assert "inbox: version 1 -> 2, 1 rows" in output
    assert "silo: version 1; no module that is installed has it" in output
    assert "inbox: version 2, as the module has it" in run("migrate", "--store", str(path))[1]
    modules(OLDER)
    status, output = run("migrate", "--store", str(path))
    assert status == 1
    assert "inbox: version 2 is newer than the module's, 1" in output


def test_not_below_a_server(store: Path, tmp_path: Path, modules: Any) -> None:
    """Its modules have rows in memory: rows put below them would be overwritten, or not seen."""
    file = tmp_path / "rows"
    assert run("export", "--to", str(file), "--store", str(store))[0] == 0
    lock = StoreLock(store)
    try:
        for words in (("import", str(file)), ("migrate",)):
            status, output = run(*words, "--store", str(store))
            assert status
            assert "stop it first" in output
        assert run("export", "--store", str(store))[0] == 0
    finally:
        lock.close()


def test_check(store: Path) -> None:
    """Rows that no program can read are damage."""
    assert "table silo: 2 rows" in run("check", "--store", str(store))[1]
    with closing(SqliteStore(store)) as opened, opened.guarded() as connection:
        connection.execute("UPDATE silo SET \"when\" = 'noon'")
    status, output = run("check", "--store", str(store))
    assert status == 1
    assert "table silo: a row cannot be read" in output
    with closing(SqliteStore(store)) as opened, opened.guarded() as connection:
        connection.execute("UPDATE row_tables SET columns = 'gone'")
    status, output = run("check", "--store", str(store))
    assert status
    assert "what row_tables says of table silo is damaged" in output
