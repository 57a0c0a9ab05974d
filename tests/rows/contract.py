"""The contract of every store of rows, on any database: inherited by a test class for each."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from sansip.rows import Change, Expected, MemoryRows, Read, Scan, Table, Write
from sansip_server.faults import OperatorError
from sansip_server.rows import Outdated, RowStore
from sansip_server.rows.interface import Unexpected
from sansip_server.stores import DataRefused

HOSTILE = [
    "",
    "a",
    "a ",
    "A",
    "ä",
    "\0",
    "a\0b",
    "\udcff",
    "\\",
    "\\0000",
    "%",
    "_",
    "'; DROP TABLE silo; --",
    "z" * 300,
]


@dataclass
class Stored:
    """A row with every kind of column."""

    aor: str
    number: int
    body: bytes | None
    text: str | None = None
    when: float = 0.0
    urgent: bool = False
    count: int | None = None


@dataclass
class Older:
    """The same, a version before: seconds were milliseconds, and there was no count."""

    aor: str
    number: int
    body: bytes | None
    text: str | None
    milliseconds: int


SILO = Table("silo", Stored, ("aor", "number"))
OLDER = Table("inbox", Older, ("aor", "number"))


def forward(row: dict[str, Any]) -> dict[str, Any] | None:
    """From ``OLDER`` on; rows without a body are not kept."""
    if row["body"] is None:
        return None
    return {**{k: v for k, v in row.items() if k != "milliseconds"}, "when": row["milliseconds"] / 1000}


NEWER = Table("inbox", Stored, ("aor", "number"), version=2, migrations={1: forward})


@dataclass
class Mark:
    """A row that is all key."""

    device: str


MARKS = Table("marks", Mark, ("device",))

Open = Callable[[], RowStore]


def put(table: Table[Any], *rows: Any, deleted: tuple[Any, ...] = ()) -> Write:
    return Write((Change(table, tuple(table.values_of(row) for row in rows), deleted),))


class RowContract:
    """Subclasses have a fixture ``open_rows`` that opens the same empty database each time it is called."""

    @pytest.fixture
    def store(self, open_rows: Open) -> Iterator[RowStore]:
        opened = open_rows()
        opened.prepare([SILO, MARKS])
        yield opened
        opened.close()

    def test_rows_survive(self, open_rows: Open, store: RowStore) -> None:
        """The next process reads the rows that this one wrote, value by value."""
        row = Stored(
            "sip:bob@biloxi.test", 7, b"\0\xff octets", "☎ \udcff \0", 1764300000.25, True, -(1 << 63)
        )
        store.write([put(SILO, row), put(MARKS, Mark("phone"))])
        again = open_rows()
        try:
            again.prepare([SILO, MARKS])
            values = again.read(Read(SILO, ((row.aor, 7), (row.aor, 8), (row.aor, 7))))
            assert values[1] is None
            assert [SILO.row_of(one) for one in (values[0], values[2]) if one] == [row, row]
            assert again.read(Read(MARKS, (("phone",),))) == [("phone",)]
        finally:
            again.close()

    def test_a_write_is_whole_or_not_at_all(self, store: RowStore) -> None:
        """A batch that the database cannot hold leaves nothing of itself, in any table."""
        store.write([put(SILO, Stored("a", 1, b"before"))])
        broken = Write(
            (
                Change(MARKS, (("phone",),)),
                Change(SILO, (SILO.values_of(Stored("a", 1, b"after")),)),
                Change(SILO, (("a", None, None, None, 0.0, False, None),)),
            )
        )
        try:
            store.write([broken])
        except (DataRefused, TypeError):
            assert store.read(Read(SILO, (("a", 1),)))[0] == ("a", 1, b"before", None, 0.0, False, None)
            assert store.read(Read(MARKS, (("phone",),))) == [None]
        else:
            pytest.fail("a key without a value was stored")

    def test_put_replaces_and_delete_removes(self, store: RowStore) -> None:
        """A row is named by its key alone; of two for one key the last stands."""
        store.write([put(SILO, Stored("a", 1, None, "first"), Stored("a", 1, None, "second", count=4))])
        store.write([put(SILO, Stored("a", 2, None), deleted=(("a", 3),))])
        assert [row[3] for row in store.scan(Scan(SILO))] == ["second", None]
        store.write([put(SILO, Stored("a", 1, None), deleted=(("a", 2), ("b", 2)))])
        assert [row[:2] for row in store.scan(Scan(SILO))] == [("a", 1)]
        store.write([put(MARKS, Mark("x")), put(MARKS, Mark("x")), put(MARKS, deleted=(("x",),))])
        assert store.scan(Scan(MARKS)) == []

    def test_a_write_that_expects_a_row(self, store: RowStore) -> None:
        """It is done where the row is that one, or where there is none as expected; else nothing is."""
        first, second = Stored("a\0", 1, b"\0first", "\udcff", 0.5), Stored("a\0", 1, None, "second")
        key = ("a\0", 1)

        def write(before: Stored | None, after: Stored) -> bool:
            values = None if before is None else SILO.values_of(before)
            changes = (*put(MARKS, Mark("phone")).changes, *put(SILO, after).changes)
            try:
                store.write([Write(changes, (Expected(SILO, key, values),))])
            except Unexpected:
                return False
            return True

        assert not write(first, second)
        assert store.read(Read(MARKS, (("phone",),))) == [None]
        assert write(None, first)
        assert not write(None, second)
        assert not write(second, second)
        assert store.read(Read(SILO, (key,))) == [SILO.values_of(first)]
        assert write(first, second)
        assert store.read(Read(SILO, (key,))) == [SILO.values_of(second)]

    def test_of_several_that_expect_one_row_one_writes(self, open_rows: Open, store: RowStore) -> None:
        """Four nodes at once, where there is no row yet, and where there is one."""
        stores = [open_rows() for _ in range(4)]
        for one in stores:
            one.prepare([SILO, MARKS])
        before: Stored | None = None
        for _ in range(5):
            done: list[Stored] = []

            def write(number: int, before: Stored | None = before, done: list[Stored] = done) -> None:
                row = Stored("a", 1, None, f"{before and before.text}{number}")
                values = None if before is None else SILO.values_of(before)
                question = Write(put(SILO, row).changes, (Expected(SILO, ("a", 1), values),))
                for _ in range(20):
                    try:
                        stores[number].write([question])
                    except Unexpected:
                        return
                    except Exception:
                        continue
                    done.append(row)
                    return

            threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
            for each in threads:
                each.start()
            for each in threads:
                each.join()
            (before,) = done
            assert store.read(Read(SILO, (("a", 1),))) == [SILO.values_of(before)]
        for one in stores:
            one.close()

    def test_names_are_compared_octet_by_octet(self, store: RowStore) -> None:
        """No database takes one hostile name for another, and each comes back as it was."""
        store.write([put(SILO, *(Stored(name, index, None, name) for index, name in enumerate(HOSTILE)))])
        for index, name in enumerate(HOSTILE):
            (found,) = store.read(Read(SILO, ((name, index),)))
            assert found is not None
            assert found[0] == found[3] == name
            assert [row[0] for row in store.scan(Scan(SILO, (name,)))] == [name]
        assert len(store.scan(Scan(SILO))) == len(HOSTILE)

    def test_pages_are_those_of_memory(self, store: RowStore) -> None:
        """Prefix, order and page are those of the dictionary that tests use; integers go by size."""
        chance = random.Random(4975)
        memory = MemoryRows()
        keys = [(chance.choice("abc") * chance.randint(0, 3), chance.randint(-300, 300)) for _ in range(200)]
        write = put(SILO, *(Stored(name, number, b"x") for name, number in keys))
        store.write([write])
        memory.write(write)
        for _ in range(60):
            prefix = chance.choice([(), (chance.choice(keys)[0],), chance.choice(keys), ("none",)])
            after = chance.choice([None, chance.choice(keys), ("b", 0)])
            scan = Scan(SILO, prefix, after, chance.choice([1, 7, 1_000]))
            assert store.scan(scan) == memory.scan(scan), scan
        seen, after = [], None
        while page := store.scan(Scan(SILO, (), after, 9)):
            seen += page
            after = SILO.key_of(page[-1])
        assert seen == memory.scan(Scan(SILO))

    def test_large_values(self, store: RowStore) -> None:
        """A message of 64 KB, and a batch of a thousand rows."""
        body = random.Random(1).randbytes(65_536)
        store.write(
            [put(SILO, *(Stored("many", number, body if number == 500 else b"") for number in range(1_000)))]
        )
        assert store.read(Read(SILO, (("many", 500),)))[0][2] == body  # type: ignore[index]  # known to be there
        assert len(store.scan(Scan(SILO, ("many",), None, 5_000))) == 1_000
        # More rows and keys at once than one command of Redis's takes.
        keys = tuple(("many", number) for number in range(9_000))
        store.write([put(SILO, *(Stored(name, number, None) for name, number in keys))])
        assert len(store.scan(Scan(SILO, ("many",), None, 10_000))) == 9_000
        store.write([put(SILO, deleted=keys)])
        assert store.scan(Scan(SILO, ("many",))) == []

    def test_older_rows_are_migrated(self, open_rows: Open) -> None:
        """The rows of an older program are what its successor makes of them, once."""
        self._older(open_rows)
        for _ in range(2):
            newer = open_rows()
            newer.prepare([NEWER])
            # Where text is no UTF-8 each database has an order of its own.
            rows = [NEWER.row_of(values) for values in sorted(newer.scan(Scan(NEWER)))]
            assert rows == [Stored("a\udcff", 1, b"x", "☎", 1.5), Stored("b", 3, b"\0", None, 0.0)]
            newer.close()

    def test_a_migration_that_fails_changes_nothing(self, open_rows: Open) -> None:
        """The server does not start, names table, version and row, and the older program goes on."""
        self._older(open_rows)

        def fails(row: dict[str, Any]) -> dict[str, Any] | None:
            if row["aor"] == "b":
                raise ValueError("a slip")
            return forward(row)

        broken = open_rows()
        with pytest.raises(OperatorError, match=r"inbox stays at version 1.*a slip"):
            broken.prepare([Table("inbox", Stored, ("aor", "number"), version=2, migrations={1: fails})])
        broken.close()
        older = open_rows()
        older.prepare([OLDER])
        assert len(older.scan(Scan(OLDER))) == 3
        older.write([put(OLDER, Older("c", 1, b"", None, 7))])
        older.close()

    def test_an_older_program_is_refused(self, open_rows: Open) -> None:
        """An older program would lose the columns that it does not know."""
        newer = open_rows()
        newer.prepare([NEWER])
        newer.close()
        older = open_rows()
        with pytest.raises(OperatorError, match=r"inbox has version 2, and this program knows 1"):
            older.prepare([OLDER])
        older.close()

    def test_an_older_program_that_runs_is_refused(self, open_rows: Open) -> None:
        """It was started before its successor migrated the table: it writes nothing in the old layout."""
        older = open_rows()
        older.prepare([OLDER, SILO])
        self.test_older_rows_are_migrated(open_rows)
        with pytest.raises(Outdated, match=r"table inbox .*restart it"):
            older.write([put(SILO, Stored("x", 1, b"")), put(OLDER, Older("c", 1, b"", None, 7))])
        # The other changes that came with it were not written, either; its other tables stay its own.
        assert older.read(Read(SILO, (("x", 1),))) == [None]
        older.write([put(SILO, Stored("x", 1, b""))])
        assert older.count(SILO) == 1
        older.close()

    def test_a_table_that_was_taken_away(self, open_rows: Open) -> None:
        """Somebody emptied the database under a running server: nothing is written that has no version."""
        older = open_rows()
        older.prepare([SILO])
        with pytest.raises(Outdated, match="table inbox "):
            older.write([put(OLDER, Older("c", 1, b"", None, 7))])
        older.close()

    def test_tables_describe_themselves(self, open_rows: Open, store: RowStore) -> None:
        """A tool that knows no module sees what there is, reads it and writes it."""
        row = Stored("a\udcff", -5, b"\0\xff", None, 1.5, True, None)
        store.write([put(SILO, row), put(MARKS, Mark("x"), Mark("y"))])
        again = open_rows()
        try:
            found = {table.name: table for table in again.tables()}
            assert {name: again.count(table) for name, table in found.items()} == {"marks": 2, "silo": 1}
            silo = found["silo"]
            assert (silo.version, silo.columns, silo.key) == (SILO.version, SILO.columns, SILO.key)
            (values,) = again.scan(Scan(silo))
            assert values == SILO.values_of(row)
            again.write([Write((Change(silo, (("b", *values[1:]),), (silo.key_of(values),)),))])
            assert [one[0] for one in again.scan(Scan(SILO))] == ["b"]
        finally:
            again.close()

    def test_an_empty_database_has_no_tables(self, open_rows: Open) -> None:
        """A tool may look before any module was there."""
        store = open_rows()
        assert store.tables() == []
        store.close()

    def test_names_of_the_server_are_refused(self, store: RowStore) -> None:
        """A module may not take the table of users."""
        with pytest.raises(OperatorError, match="users"):
            store.prepare([Table("users", Mark, ("device",))])

    @staticmethod
    def _older(open_rows: Open) -> None:
        """Have the database of an older program."""
        store = open_rows()
        store.prepare([OLDER])
        rows = [
            Older("a\udcff", 1, b"x", "☎", 1500),
            Older("a\udcff", 2, None, None, 1),
            Older("b", 3, b"\0", None, 0),
        ]
        store.write([put(OLDER, *rows)])
        store.close()
