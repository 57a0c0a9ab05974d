"""Acknowledged writes survive kill -9, and on a full disk the server acknowledges nothing.

Theory of operation: a 200 to a phone, exit status 0 of a command. For each such write the disk is full
(RLIMIT_FSIZE, which is that to SQLite) or the process is killed, and then the store is looked at. The table
"What happens to an acknowledged write" in docs/security.md names these tests.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from sansip_server.stores import open_store
from tests.interop.conftest import TARGET
from tests.interop.test_process import final_response, request
from tools.peers import free_port, sansip_serve

pytestmark = pytest.mark.skipif(TARGET != "sansip", reason="tests the command `sansip` itself")

SANSIP = [sys.executable, "-m", "sansip_server"]


def sansip(
    folder: Path, *words: str, text: str = "", limit: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*SANSIP, *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        input=text,
        preexec_fn=limit,
    )


def full(size: int) -> Callable[[], None]:
    """No file of the process may grow beyond ``size`` octets."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def users(folder: Path) -> list[str]:
    with closing(open_store(folder / "sansip.db")) as store:
        return [user.username for user in store.users()]


def registered(folder: Path) -> dict[str, str]:
    with closing(open_store(folder / "sansip.db")) as store:
        bound = store.bindings(time.time(), 0.0)
        return {one.aor.partition("@")[0].removeprefix("sip:"): one.contact for one in bound}


def test_users_on_a_full_disk(tmp_path: Path) -> None:
    """Status 0 means that the password counts; anything else, that nothing was changed."""
    assert sansip(tmp_path, "user", "add", "alice@biloxi.test", text="one\n").returncode == 0
    for words in (
        ("user", "add", "bob@biloxi.test"),
        ("user", "passwd", "alice@biloxi.test"),
        ("user", "disable", "alice@biloxi.test"),
        ("user", "remove", "alice@biloxi.test"),
    ):
        done = sansip(tmp_path, *words, text="two\n", limit=full(4_096))
        assert done.returncode == 2, done.stdout
        assert done.stderr.startswith("sansip: store sansip.db: ")
        assert "disk" in done.stderr
        assert "Traceback" not in done.stderr
    before = users(tmp_path)
    assert before == ["alice"]
    listed = json.loads(sansip(tmp_path, "user", "list", "--json").stdout.splitlines()[0])
    assert "disabled" not in listed or not listed["disabled"]
    assert sansip(tmp_path, "user", "add", "bob@biloxi.test", text="two\n").returncode == 0
    assert users(tmp_path) == ["alice", "bob"]


def test_backup_on_a_full_disk(tmp_path: Path) -> None:
    """A file with the name of a backup is a complete backup."""
    assert sansip(tmp_path, "user", "add", "alice@biloxi.test", text="one\n").returncode == 0
    done = sansip(tmp_path, "store", "backup", "copy.db", limit=full(8_192))
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("copy.db*"))
    assert sansip(tmp_path, "store", "backup", "copy.db").returncode == 0
    with closing(open_store(tmp_path / "copy.db")) as store:
        assert [user.username for user in store.users()] == ["alice"]


def test_import_on_a_full_disk(tmp_path: Path) -> None:
    """It may have written a part, says that it failed, and another run does the rest."""
    with closing(sqlite3.connect(tmp_path / "kamailio.db")) as database:
        database.execute("CREATE TABLE subscriber (username, domain, ha1)")
        rows = [(f"user{number}", "biloxi.test", f"{number:032x}") for number in range(500)]
        database.executemany("INSERT INTO subscriber VALUES (?, ?, ?)", rows)
        database.commit()
    words = ("import", "kamailio", "--db", "kamailio.db", "--store", "sansip.db", "--only", "subscriber")
    open_store(tmp_path / "sansip.db").close()
    done = sansip(tmp_path, *words, limit=full(100_000))
    assert done.returncode == 2, done.stdout
    assert "Traceback" not in done.stderr
    assert len(users(tmp_path)) < 500
    assert sansip(tmp_path, *words).returncode == 0
    assert len(users(tmp_path)) == 500


def test_a_key_on_a_full_disk(tmp_path: Path) -> None:
    """The server does not start, and leaves no key that anybody could guess; the next start makes one."""
    listen = f"udp:127.0.0.1:{free_port()}"
    words = ("serve", "--listen", listen, "--domain", "biloxi.test", "--store", "sansip.db")
    done = sansip(tmp_path, *words, limit=full(0))
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "sansip.db.key").exists()
    with sansip_serve(tmp_path, [listen], ["biloxi.test"], ["--store", "sansip.db"]):
        assert len((tmp_path / "sansip.db.key").read_bytes()) == 32


def test_killed_after_each(tmp_path: Path) -> None:
    """Registered, moved, unregistered, removed by hand, a user added beside: kill -9, and all of it holds."""
    port = free_port()
    options = ["--store", "sansip.db"]
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone,
        sansip_serve(tmp_path, [f"udp:127.0.0.1:{port}"], ["biloxi.test"], options) as server,
    ):
        phone.bind(("127.0.0.1", 0))
        phone.settimeout(10)
        own = phone.getsockname()[1]

        def send(user: str, number: int, more: str = "") -> None:
            phone.sendto(request("REGISTER", own, user, number=number, more=more), ("127.0.0.1", port))
            assert final_response(phone).startswith(b"SIP/2.0 200 ")

        for number, user in enumerate(("alice", "bob", "carol"), 1):
            send(user, number)
        send("bob", 4, "Expires: 0\r\n")
        assert sansip(tmp_path, "ctl", "remove", "carol@biloxi.test").returncode == 0
        assert sansip(tmp_path, "user", "add", "dave@biloxi.test", text="geheim\n").returncode == 0
        os.kill(server.pid, signal.SIGKILL)
        server.wait(10)
    assert registered(tmp_path) == {"alice": f"sip:alice@127.0.0.1:{own}"}
    assert users(tmp_path) == ["dave"]
