"""Writes wait for the time of their batch, and no longer: under load one transaction holds many."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sansip.rows import Change, Expected, Read, Table, Write
from sansip_server.rows.interface import RowStore
from sansip_server.rows.memory import InMemory
from sansip_server.rows.service import RowService
from sansip_server.rows.sqlite import SqliteRows
from sansip_server.stores.sqlite import SqliteStore


@dataclass
class Row:
    name: str
    value: int


TABLE = Table("paced", Row, key=("name",))


def put(name: str) -> Write:
    return Write((Change(TABLE, ((name, 1),)),))


class Bench:
    """A service on a clock of the test's own."""

    def __init__(self, store: RowStore, interval: float = 0.025) -> None:
        self.now = 100.0
        self.slept: list[float] = []
        self.service = RowService(store, interval, lambda: self.now, self.sleep)
        self.service.prepare([TABLE])

    def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 6))
        self.now += seconds

    def write(self, *names: str) -> Sequence[Any]:
        results: Sequence[Any] = self.service.handlers[Write]([put(one) for one in names])
        return results


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteRows]:
    opened = SqliteStore(tmp_path / "rows.db")
    yield SqliteRows(opened)
    opened.close()


def test_a_batch_waits_for_its_time(store: SqliteRows) -> None:
    """A lone write is written at once; the next batch begins an interval after that one, not later."""
    bench = Bench(store)
    assert bench.write("a") == [None]
    assert bench.slept == []
    bench.now += 0.005
    assert bench.write("b", "c") == [None, None]
    assert bench.slept == [0.02]
    assert bench.service.figures() == {"batches": 2, "writes": 3}
    bench.now += 1
    assert bench.write("d") == [None]
    assert bench.slept == [0.02]
    assert store.read(Read(TABLE, (("a",), ("c",), ("d",)))) == [("a", 1), ("c", 1), ("d", 1)]


def test_a_failure_has_its_time_too(store: SqliteRows, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that fails is not asked without end by those who try again."""
    bench = Bench(store)

    def fails(questions: Sequence[Write]) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(store, "write", fails)
    assert [type(one) for one in bench.write("a")] == [sqlite3.OperationalError]
    assert [type(one) for one in bench.write("a")] == [sqlite3.OperationalError]
    assert bench.slept == [0.025]


@pytest.mark.parametrize("interval", [0.0, 0.025])
def test_no_pause(interval: float) -> None:
    """Rows in memory are written in the loop, which must never sleep, and 0 is no pause."""
    bench = Bench(InMemory(), interval)
    bench.write("a")
    bench.write("b")
    assert bench.slept == []


def test_no_pause_of_a_database(store: SqliteRows) -> None:
    """``store_interval = 0``: each transaction is written as soon as the one before is."""
    bench = Bench(store, 0.0)
    bench.write("a")
    bench.write("b")
    assert bench.slept == []


def test_one_that_expects_a_row(store: SqliteRows, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is judged where it stands among the others, which share transactions all the same."""
    bench = Bench(store)
    written: list[int] = []
    plain = store.write

    def noted(questions: Sequence[Write]) -> None:
        written.append(len(questions))
        plain(questions)

    monkeypatch.setattr(store, "write", noted)

    def swap(name: str, before: int | None, after: int) -> Write:
        values = None if before is None else (name, before)
        return Write((Change(TABLE, ((name, after),)),), (Expected(TABLE, (name,), values),))

    questions = [put("a"), put("b"), put("c"), swap("c", 1, 2), swap("c", 1, 3), put("d"), put("e")]
    assert bench.service.handlers[Write](questions) == [None, None, None, None, False, None, None]
    assert written == [3, 1, 1, 2]
    found = store.read(Read(TABLE, tuple((one,) for one in "abcde")))
    assert found == [("a", 1), ("b", 1), ("c", 2), ("d", 1), ("e", 1)]


def test_text_that_is_no_utf8(store: SqliteRows) -> None:
    """One such value among many: all rows of its batch are there, each once."""
    bench = Bench(store)
    assert bench.write("a", "\udcff", "b") == [None, None, None]
    change = Change(TABLE, (("c", 1), ("\udcfe", 1), ("d", 1)))
    assert bench.service.handlers[Write]([Write((change,))]) == [None]
    found = store.read(Read(TABLE, tuple((one,) for one in ("a", "\udcff", "b", "c", "\udcfe", "d"))))
    assert found == [(one, 1) for one in ("a", "\udcff", "b", "c", "\udcfe", "d")]
    assert store.count(TABLE) == 6
