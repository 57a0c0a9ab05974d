"""Rows in SQLite: the contract, in a file that has users and registrations beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sansip_server.rows import RowStore, open_rows
from sansip_server.stores import User
from sansip_server.stores.sqlite import SqliteStore
from tests.rows.contract import MARKS, SILO, Mark, RowContract, Stored, put


@pytest.fixture
def stores() -> Iterator[list[SqliteStore]]:
    opened: list[SqliteStore] = []
    yield opened
    for store in opened:
        store.close()


class TestSqlite(RowContract):
    @pytest.fixture
    def open_rows(self, tmp_path: Path, stores: list[SqliteStore]) -> Callable[[], RowStore]:
        def opens() -> RowStore:
            stores.append(SqliteStore(tmp_path / "sansip.db"))
            return open_rows(stores[-1])

        return opens


def test_users_are_neighbours(tmp_path: Path, stores: list[SqliteStore]) -> None:
    """Rows, users and registrations share the file, and its version is the server's own still."""
    stores.append(SqliteStore(tmp_path / "sansip.db"))
    rows = open_rows(stores[0])
    rows.prepare([SILO, MARKS])
    stores[0].put_user(User("alice", "example.com", {"MD5": "0" * 32}))
    rows.write([put(SILO, Stored("a", 1, None)), put(MARKS, Mark("x"))])
    stores.append(SqliteStore(tmp_path / "sansip.db"))
    assert [user.username for user in stores[1].users()] == ["alice"]
