"""Rows without a database: the contract, where one process is all that there is."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sansip.rows import Change, MemoryRows, Read, Scan, Write
from sansip_server.rows import RowStore, open_rows
from sansip_server.rows.memory import InMemory
from tests.rows.contract import SILO, RowContract, Stored, put


class TestMemory(RowContract):
    @pytest.fixture
    def open_rows(self) -> Callable[[], RowStore]:
        rows = InMemory()
        return lambda: rows


def test_it_answers_like_a_store() -> None:
    """A test on a virtual clock sees the same answers as a server."""
    rows = MemoryRows()
    assert rows.answer(Read(SILO, (("a", 1),))) == [None]
    assert rows.answer(put(SILO, Stored("b", 2, None), Stored("a", 1, b"x"))) is None
    assert [row[0] for row in rows.answer(Scan(SILO))] == ["a", "b"]
    assert rows.answer(Scan(SILO, after=("a", 1), limit=1))[0][0] == "b"
    rows.answer(Write((Change(SILO, deleted=(("a", 1), ("never", 0))),)))
    assert rows.answer(Scan(SILO, ("a",))) == []


def test_a_server_without_a_store_has_rows() -> None:
    """A module works before anybody chose a database."""
    rows = open_rows(None)
    rows.prepare([SILO])
    rows.write([put(SILO, Stored("a", 1, b"x"))])
    assert rows.read(Read(SILO, (("a", 1),))) == [("a", 1, b"x", None, 0.0, False, None)]
    assert rows.scan(Scan(SILO, ("b",))) == []
    rows.close()


@pytest.mark.parametrize("count", [1, 3_000])
def test_deleting_is_quick(count: int) -> None:
    """Each deletion finds its key by halves."""
    rows = MemoryRows()
    rows.write(put(SILO, *(Stored("a", number, None) for number in range(count))))
    rows.write(put(SILO, deleted=tuple(("a", number) for number in range(count))))
    assert rows.scan(Scan(SILO)) == []
