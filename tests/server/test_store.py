"""The SQLite store: what was saved is there after the process died, and faults name their fix."""

from __future__ import annotations

import math
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from sansip.auth import Lookup
from sansip.location import Binding, LocationUpdate
from sansip_server.faults import OperatorError
from sansip_server.stores import SqliteStore, User, open_store

AOR = "sip:bob@biloxi.test"
FULL = Binding(
    AOR,
    "sip:bob@192.0.2.4;transport=tcp",
    100.0,
    "call-1",
    7,
    q=350,
    registered_at=10.0,
    refreshed_at=40.0,
    path=("<sip:edge.biloxi.test;lr>", "<sip:inner.biloxi.test;lr>"),
    instance="urn:uuid:f81d4fae",
    reg_id=1,
    params=';methods="INVITE"',
    received="sip:203.0.113.9:1024",
    user_agent="Phone \udcff",
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sansip.db"


def test_binding_survives(path: Path) -> None:
    """Every field comes back, in the clock of the new process; a flow does not, for it is gone."""
    store = open_store(path)
    permanent = Binding(AOR, "sip:bob@192.0.2.5", math.inf, "call-2", 1)
    store.save([LocationUpdate(AOR, (), (FULL, permanent))], 1_000.0)
    # No close: the process was killed.
    again = open_store(path)
    found = sorted(again.bindings(1_050.0, 900.0), key=lambda binding: binding.call_id)
    assert found[0] == replace(FULL, expires_at=200.0, registered_at=110.0, refreshed_at=140.0)
    assert found[1].expires_at == math.inf
    again.close()
    store.close()


def test_update_replaces_and_removes(path: Path) -> None:
    """An update is the whole of its address-of-record; the last of a batch counts."""
    store = open_store(path)
    store.save([LocationUpdate(AOR, (), (FULL,))], 0.0)
    other = replace(FULL, contact="sip:bob@192.0.2.9")
    store.save(
        [LocationUpdate(AOR, (FULL,), (other, FULL)), LocationUpdate(AOR, (other, FULL), (other,))], 0.0
    )
    assert [one.contact for one in store.bindings(0.0, 0.0)] == ["sip:bob@192.0.2.9"]
    store.save([LocationUpdate(AOR, (other,), ())], 0.0)
    assert list(store.bindings(0.0, 0.0)) == []
    store.close()


def test_expired_are_not_restored(path: Path) -> None:
    """What expired while nobody ran is forgotten."""
    store = open_store(path)
    store.save([LocationUpdate(AOR, (), (FULL,))], 0.0)
    assert list(store.bindings(100.0, 0.0)) == []
    store.close()


def test_batch_is_atomic(path: Path) -> None:
    """A batch that fails leaves everything as it was."""
    store = open_store(path)
    store.save([LocationUpdate(AOR, (), (FULL,))], 0.0)
    broken = replace(FULL, cseq=None)
    with pytest.raises(sqlite3.Error):
        store.save([LocationUpdate(AOR, (FULL,), ()), LocationUpdate("sip:a@b", (), (broken,))], 0.0)
    assert [one.contact for one in store.bindings(0.0, 0.0)] == [FULL.contact]
    store.close()


def test_users(path: Path) -> None:
    """Users are found by realm and name alone; hostile names are data."""
    store = open_store(path)
    assert store.put_user(User("alice", "biloxi.test", {"MD5": "a" * 32, "SHA-256": "b" * 64}))
    assert not store.put_user(User("alice", "biloxi.test", {"MD5": "c" * 32}))
    hostile = ["alice' OR '1'='1", "\x00", "\udcff", "x" * 10_000]
    assert store.lookup(
        [Lookup("alice", "biloxi.test"), *(Lookup(name, "biloxi.test") for name in hostile)]
    ) == [
        {"MD5": "c" * 32},
        *[None] * len(hostile),
    ]
    assert store.lookup([Lookup("alice", "other.test")]) == [None]
    assert [user.username for user in store.users()] == ["alice"]
    assert store.remove_user("alice", "biloxi.test")
    assert not store.remove_user("alice", "biloxi.test")
    store.close()


def test_newer_schema_is_refused(path: Path) -> None:
    """A file of a newer sansip is not touched, and both versions are named."""
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(OperatorError, match=r"schema version 99.*knows 1"):
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
