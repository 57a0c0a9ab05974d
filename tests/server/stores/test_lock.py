"""One server for one SQLite file: the error names the owner, and a dead process owns nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sansip_server.config.schema import Settings
from sansip_server.faults import OperatorError
from sansip_server.storage import open_storage
from sansip_server.stores import SqliteStore, StoreLock, holder, open_store

HOLD = """
import sys, time
from pathlib import Path
from sansip_server.stores import StoreLock
lock = StoreLock(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


class Held:
    """Another process that holds the lock of ``store``."""

    def __init__(self, store: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(store)], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "held\n"

    def __enter__(self) -> Held:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


def test_the_second_reads_who_has_it(tmp_path: Path) -> None:
    """Process, machine and time: enough to find it, in a container beside this one, too."""
    store = tmp_path / "sansip.db"
    with Held(store) as other:
        words = rf"process {other.process.pid} on {os.uname().nodename} since \d{{4}}-.* UTC"
        with pytest.raises(OperatorError, match=f"is in use by {words}; two servers"):
            StoreLock(store, patience=0.1)
        assert (holder(store) or "").startswith(f"process {other.process.pid} on ")


def test_a_killed_process_has_nothing(tmp_path: Path) -> None:
    """kill -9 leaves the file as it was; the kernel gave the lock back, and that is what counts."""
    store = tmp_path / "sansip.db"
    with Held(store) as other:
        other.process.send_signal(signal.SIGKILL)
        other.process.wait()
        assert json.loads((tmp_path / "sansip.db.lock").read_text())["pid"] == other.process.pid
        assert holder(store) is None
        lock = StoreLock(store, patience=0.0)
        assert f"process {os.getpid()} " in (holder(store) or "")
        lock.close()
    assert holder(store) is None
    assert (tmp_path / "sansip.db.lock").read_text() == ""


def test_a_dying_process_is_waited_for(tmp_path: Path) -> None:
    """A restart after kill -9 may be quicker than the kernel puts a large process away."""
    store = tmp_path / "sansip.db"
    with Held(store) as other:
        slept: list[float] = []

        def sleep(seconds: float) -> None:
            slept.append(seconds)
            other.process.kill()
            other.process.wait()

        StoreLock(store, sleep=sleep).close()
        assert len(slept) == 1


def test_two_names_of_one_file(tmp_path: Path) -> None:
    """A symbolic link is no second store."""
    store = tmp_path / "sansip.db"
    store.touch()
    (tmp_path / "other.db").symlink_to(store)
    with Held(store), pytest.raises(OperatorError, match="in use by process"):
        StoreLock(tmp_path / "other.db", patience=0.0)


def test_the_lock_was_deleted(tmp_path: Path) -> None:
    """A script that deletes the lock lets no second server in: the first takes it again, or stops writing."""
    store = tmp_path / "sansip.db"
    lock = StoreLock(store)
    path = tmp_path / "sansip.db.lock"
    path.unlink()
    lock.check()
    assert path.exists()
    with pytest.raises(OperatorError, match="in use"):
        StoreLock(store, patience=0.0)
    path.unlink()
    with Held(store) as other, pytest.raises(OSError, match=f"taken it: process {other.process.pid}"):
        lock.check()
    lock.check()
    lock.close()


def test_commands_need_no_lock(tmp_path: Path) -> None:
    """Users are added, and backups made, beside a server that runs."""
    store = tmp_path / "sansip.db"
    storage = open_storage(Settings(store=str(store)))
    assert storage is not None
    command = open_store(store)
    assert list(command.users()) == []
    command.close()
    with pytest.raises(OperatorError, match="in use by process"):
        open_storage(Settings(store=str(store)))
    storage.close()
    again = open_storage(Settings(store=str(store)))
    assert again is not None
    again.close()


def test_registrations_elsewhere(tmp_path: Path) -> None:
    """Nodes with one location in Redis write no bindings here, and may share a file of users."""
    settings = Settings(store=str(tmp_path / "users.db"), location="redis://h/0", secret_file="s")
    first, second = open_storage(settings), open_storage(settings)
    assert first is not None
    assert second is not None
    first.close()
    second.close()


def test_a_store_that_does_not_open(tmp_path: Path) -> None:
    """A file that is no store leaves no lock behind, and the error names a missing folder."""
    (tmp_path / "sansip.db").write_text("no database, but a text of some length " * 100)
    with pytest.raises(OperatorError, match="no sansip database"):
        open_storage(Settings(store=str(tmp_path / "sansip.db")))
    assert holder(tmp_path / "sansip.db") is None
    with pytest.raises(OperatorError, match=r"there is no folder .*missing"):
        open_storage(Settings(store=str(tmp_path / "missing" / "sansip.db")))


def test_what_two_servers_did(tmp_path: Path) -> None:
    """The fault itself (issue 9, 6): each server writes a whole record, so the other contact is lost."""
    from sansip.location import Binding, LocationUpdate

    def binding(contact: str) -> Binding:
        return Binding("sip:bob@biloxi.test", contact, 1e9, contact, 1)

    one, two = binding("sip:bob@192.0.2.1"), binding("sip:bob@192.0.2.2")
    first, second = SqliteStore(tmp_path / "s.db"), SqliteStore(tmp_path / "s.db")
    first.save([LocationUpdate(one.aor, (), (one,))], 0.0)
    second.save([LocationUpdate(two.aor, (), (two,))], 0.0)
    assert [found.contact for found in first.bindings(0.0, 0.0)] == [two.contact]
    first.close()
    second.close()
