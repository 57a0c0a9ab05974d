"""The SQLite store: the contract, older and newer files, and files that change under it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from sansip.auth import Lookup
from sansip.location import LocationUpdate
from sansip_server.faults import OperatorError
from sansip_server.stores import Replaced, SqliteStore, User, open_store
from tests.server.store_contract import AOR, FULL, StoreContract

# The schema of version 1 as session one shipped it, with a user and two bindings.
VERSION_1 = """
CREATE TABLE users (
    realm TEXT NOT NULL, username TEXT NOT NULL,
    md5 TEXT, sha256 TEXT, sha512_256 TEXT,
    PRIMARY KEY (realm, username)
) WITHOUT ROWID;
CREATE TABLE bindings (
    aor TEXT NOT NULL, contact TEXT NOT NULL, expires REAL,
    call_id TEXT NOT NULL, cseq INTEGER NOT NULL,
    q INTEGER, registered REAL NOT NULL, refreshed REAL NOT NULL,
    path TEXT, instance TEXT, reg_id INTEGER,
    params TEXT NOT NULL, received TEXT, user_agent TEXT
);
CREATE INDEX bindings_aor ON bindings (aor);
CREATE INDEX bindings_expires ON bindings (expires);
INSERT INTO users VALUES ('biloxi.test', 'bob', 'aa', NULL, NULL);
INSERT INTO bindings VALUES ('sip:bob@biloxi.test', 'sip:bob@192.0.2.4', 2000.0, 'c1', 1, 500, 1.0, 2.0,
    '["<sip:edge.test;lr>"]', 'urn:x', 1, ';a', 'sip:203.0.113.9', 'Phone');
INSERT INTO bindings VALUES ('sip:bob@biloxi.test', 'sip:bob@192.0.2.5', NULL, 'c2', 2, NULL, 1.0, 2.0,
    NULL, NULL, NULL, '', NULL, NULL);
PRAGMA user_version = 1;
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sansip.db"


class TestSqlite(StoreContract):
    @pytest.fixture
    def open_one(self, path: Path) -> Callable[[], SqliteStore]:
        return lambda: SqliteStore(path)


def test_version_1_is_migrated(path: Path) -> None:
    """Nothing of an older file is lost, and it is as a new one afterwards."""
    with closing(sqlite3.connect(path)) as database:
        database.executescript(VERSION_1)
    store = SqliteStore(path)
    assert store.lookup([Lookup("bob", "biloxi.test")]) == [{"MD5": "aa"}]
    first, second = sorted(store.bindings(0.0, 0.0), key=lambda binding: binding.call_id)
    assert first.contact == "sip:bob@192.0.2.4"
    assert (first.path, first.instance, first.q) == (("<sip:edge.test;lr>",), "urn:x", 500)
    assert second.expires_at == float("inf")
    store.save([LocationUpdate(AOR, (first, second), (second,))], 0.0)
    assert list(store.bindings(0.0, 0.0)) == [second]
    store.close()
    new = SqliteStore(path.with_name("new.db"))
    new.close()
    assert columns(path) == columns(new.path)


def columns(path: Path) -> list[object]:
    with closing(sqlite3.connect(path)) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found: list[object] = [
            (name, row[1:])
            for name in sorted(tables)
            for row in database.execute(f"PRAGMA table_info({name})")
        ]
        found += database.execute("PRAGMA user_version").fetchall()
        return found


def test_a_new_file_is_its_owners_alone(path: Path) -> None:
    """HA1 is as good as a password (RFC 7616 5.4); a mode that somebody chose stays."""
    with closing(SqliteStore(path)) as store:
        store.put_user(User("bob", "biloxi.test", {"MD5": "aa"}))
        assert {one.stat().st_mode & 0o777 for one in path.parent.glob(f"{path.name}*")} == {0o600}
    path.chmod(0o640)
    with closing(SqliteStore(path)):
        assert path.stat().st_mode & 0o777 == 0o640


def test_newer_schema_is_refused(path: Path) -> None:
    """A file of a newer sansip is not touched, and both versions are named."""
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(OperatorError, match=r"schema version 99.*knows 3"):
        SqliteStore(path)


def test_not_a_database(path: Path) -> None:
    """A file that is something else is named as such."""
    path.write_bytes(b"this is no database, but it is long enough to be looked at" * 20)
    with pytest.raises(OperatorError, match="no sansip database"):
        open_store(path)


def test_no_folder(tmp_path: Path) -> None:
    """A folder that is not there is named."""
    with pytest.raises(OperatorError, match="no folder"):
        open_store(tmp_path / "nowhere" / "sansip.db")


def test_deleted_file_is_noticed(path: Path) -> None:
    """SQLite would write on into a file that has no name any more: a false 200."""
    store = SqliteStore(path)
    store.save([LocationUpdate(AOR, (), (FULL,))], 0.0)
    aside = path.with_name("aside")
    path.rename(aside)
    for _ in range(2):
        with pytest.raises(OSError, match="No such file"):
            store.save([LocationUpdate(AOR, (), (FULL,))], 0.0)
    aside.rename(path)
    store.save([LocationUpdate(AOR, (), (replace(FULL, cseq=8),))], 0.0)
    assert [one.cseq for one in store.bindings(0.0, 0.0)] == [8]
    store.close()


def test_replaced_file_is_taken_and_told(path: Path) -> None:
    """A backup put in place is opened; the log tells the writer once that later changes are missing."""
    store = SqliteStore(path)
    backup = SqliteStore(path.with_name("backup"))
    backup.put_user(User("bob", "biloxi.test", {"MD5": "aa"}))
    backup.close()
    path.with_name("backup").rename(path)
    assert store.lookup([Lookup("bob", "biloxi.test")]) == [{"MD5": "aa"}]
    with pytest.raises(Replaced):
        store.save([LocationUpdate(AOR, (), (FULL,))], 0.0)
    store.save([LocationUpdate(AOR, (), (FULL,))], 0.0)
    assert list(store.bindings(0.0, 0.0)) == [FULL]
    store.close()


def test_empty_file_in_its_place_is_not_taken(path: Path) -> None:
    """Somebody is copying a backup: a schema of ours in the middle of it would spoil it."""
    store = SqliteStore(path)
    path.unlink()
    path.touch()
    with pytest.raises(OSError, match="no store"):
        store.save([LocationUpdate(AOR, (), (FULL,))], 0.0)
    assert path.stat().st_size == 0
    store.close()


def test_locked_file_fails_in_time(path: Path) -> None:
    """Another process that writes for ever is waited for as long as the setting says."""
    store = SqliteStore(path, timeout=0.01)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            store.save([LocationUpdate(AOR, (), (FULL,))], 0.0)
        assert list(store.bindings(0.0, 0.0)) == []
    store.save([LocationUpdate(AOR, (), (FULL,))], 0.0)
    store.close()


def test_full_disk(path: Path) -> None:
    """A file that cannot grow fails the batch and keeps its content."""
    store = SqliteStore(path)
    store.save([LocationUpdate(AOR, (), (FULL,))], 0.0)
    connection = store._connection(store._writer)
    connection.execute("PRAGMA max_page_count = 8")
    many = [LocationUpdate(f"sip:{n}@b", (), (replace(FULL, aor=f"sip:{n}@b"),)) for n in range(1_000)]
    with pytest.raises(sqlite3.OperationalError, match="full"):
        store.save(many, 0.0)
    assert list(store.bindings(0.0, 0.0)) == [FULL]
    # The next batch opens the file anew.
    store.save(many, 0.0)
    store.close()
