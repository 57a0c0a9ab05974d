"""A store that is slow, full, read-only, corrupt, locked or gone, under a running server.

Theory of operation: each test breaks the store of a server that runs, and sees the same
four things. A REGISTER gets 503 with Retry-After, never a false 200; who was
registered before is called; ``sansip ctl health`` and the log say which store, the log once;
and when the store is mended the server goes on without a restart. In the end it is
killed, and what it acknowledged is in the store.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Self

import pytest

from sansip import Request, Response, parse_message
from sansip_server.stores import open_store
from tests.missing import missing
from tools import peers
from tools.databases import PostgresqlServer, postgresql_programs

pytestmark = pytest.mark.interop

REGISTER = """\
REGISTER sip:biloxi.test SIP/2.0\r
Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bKr{number}\r
Max-Forwards: 70\r
From: <sip:user{number}@biloxi.test>;tag=1\r
To: <sip:user{number}@biloxi.test>\r
Call-ID: r{number}\r
CSeq: {number} REGISTER\r
Contact: <sip:user{number}@127.0.0.1:{port}>\r
Content-Length: 0\r
\r
"""
MESSAGE = """\
MESSAGE sip:user1@biloxi.test SIP/2.0\r
Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK{branch}\r
Max-Forwards: 70\r
From: <sip:user9@biloxi.test>;tag=1\r
To: <sip:user1@biloxi.test>\r
Call-ID: {branch}\r
CSeq: 1 MESSAGE\r
Content-Length: 0\r
\r
"""


class Served:
    """A running server with a store, and one phone that is user 1 and others."""

    def __init__(self, folder: Path, store: str, timeout: float = 0.5) -> None:
        self.port = peers.free_port()
        (folder / "sansip.toml").write_text(
            f'listen = ["udp:127.0.0.1:{self.port}"]\ndomains = ["biloxi.test"]\n'
            f'store = "{store}"\nstore_timeout = {timeout}\ncontrol = "ctl"\n'
        )
        self._folder = folder
        self._store = store
        command = [sys.executable, "-m", "sansip_server", "serve", "--config", "sansip.toml"]
        self.program = peers.Program(command, folder / "sansip.log", cwd=folder)
        self.program.wait_for("^ready$")
        self._phone = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._phone.bind(("127.0.0.1", 0))
        self._phone.settimeout(15)
        self._number = 0
        self.acknowledged: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._phone.close()
        self.program.stop()

    def register(self, wanted: int) -> None:
        """Register the next user, and check the answer's status."""
        self._number += 1
        request = REGISTER.format(number=self._number, port=self._phone.getsockname()[1])
        self._phone.sendto(request.encode(), ("127.0.0.1", self.port))
        answer = self._answer()
        assert answer.status == wanted, self.program.output()[-2000:]
        if wanted == 503:
            # RFC 3261 21.5.4
            assert int(answer.get("retry-after") or 0) > 0
        else:
            self.acknowledged.append(self._number)

    def is_called(self) -> None:
        """See that user 1 is reached through the server."""
        port = self._phone.getsockname()[1]
        branch = f"m{time.monotonic_ns()}"
        self._phone.sendto(MESSAGE.format(port=port, branch=branch).encode(), ("127.0.0.1", self.port))
        arrived = parse_message(self._phone.recv(65_535))
        assert isinstance(arrived, Request)
        assert (arrived.method, arrived.call_id) == ("MESSAGE", branch)
        vias = "".join(f"Via: {via}\r\n" for via in arrived.get_all("via"))
        self._phone.sendto(
            f"SIP/2.0 200 OK\r\n{vias}From: {arrived.get('from')}\r\nTo: {arrived.get('to')};tag=2\r\n"
            f"Call-ID: {branch}\r\nCSeq: 1 MESSAGE\r\nContent-Length: 0\r\n\r\n".encode(),
            ("127.0.0.1", self.port),
        )
        assert self._answer().status == 200

    def _answer(self) -> Response:
        """Return the final response that comes next."""
        while True:
            answer = parse_message(self._phone.recv(65_535))
            assert isinstance(answer, Response)
            if answer.status >= 200:
                return answer

    def health(self) -> tuple[int, dict[str, object]]:
        """Return exit status and the text about the store."""
        command = [sys.executable, "-m", "sansip_server", "ctl", "--control", "ctl", "health", "--json"]
        done = subprocess.run(command, cwd=self._folder, capture_output=True, text=True, timeout=30)
        return done.returncode, json.loads(done.stdout)["parts"]["store"]

    @contextmanager
    def failing(self, words: str) -> Iterator[None]:
        """See the four things, the block mending the store."""
        before = time.time()
        self.register(503)
        self.register(503)
        self.is_called()
        status, store = self.health()
        assert (status, store["ok"]) == (1, False)
        assert words in str(store["error"])
        since = store["failing_since"]
        assert isinstance(since, float)
        assert before <= since <= time.time()
        log = self.program.output()
        assert log.count("fails:") == 1, log
        assert words in log
        yield
        self.register(200)
        assert self.health()[0] == 0
        assert self.program.output().count(f"{self._store} works again") == 1
        self.is_called()

    def kill(self) -> None:
        self.program.process.kill()
        self.program.process.wait()


def stored(store: str | Path) -> list[int]:
    opened = open_store(store)
    try:
        return sorted(binding.cseq for binding in opened.bindings(time.time(), 0.0))
    finally:
        opened.close()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with Served(tmp_path, "sansip.db") as running:
        running.register(200)
        yield running
        # Registrations that got 503 may be there or not; none that got 200 is missing.
        running.kill()
        assert set(running.acknowledged) <= set(stored(tmp_path / "sansip.db"))


def test_locked(served: Served, tmp_path: Path) -> None:
    """Another process writes and does not come to an end."""
    with closing(sqlite3.connect(tmp_path / "sansip.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with served.failing("database is locked"):
            other.execute("ROLLBACK")


def test_slow(served: Served, tmp_path: Path) -> None:
    """Less than the timeout is waited for, and is no fault."""
    with closing(
        sqlite3.connect(tmp_path / "sansip.db", isolation_level=None, check_same_thread=False)
    ) as other:
        other.execute("BEGIN IMMEDIATE")
        time.sleep(0.2)
        other.execute("ROLLBACK")
        served.register(200)
    assert served.health()[0] == 0


@pytest.mark.needs("prlimit")
def test_full(served: Served, tmp_path: Path) -> None:
    """No file of the process may grow any more (RLIMIT_FSIZE): to SQLite a full disk."""
    size = (tmp_path / "sansip.db-wal").stat().st_size
    limit = ["prlimit", "--pid", str(served.program.pid)]
    subprocess.run([*limit, f"--fsize={size}:"], check=True)
    with served.failing("disk"):
        subprocess.run([*limit, "--fsize=unlimited:"], check=True)


def test_gone(served: Served, tmp_path: Path) -> None:
    """Somebody moved the file away, and back."""
    (tmp_path / "sansip.db").rename(tmp_path / "elsewhere")
    with served.failing("No such file"):
        (tmp_path / "elsewhere").rename(tmp_path / "sansip.db")


def test_corrupt_and_replaced_by_a_backup(served: Served, tmp_path: Path) -> None:
    """The server writes again from memory the registrations since the backup."""
    path = tmp_path / "sansip.db"
    command = [sys.executable, "-m", "sansip_server", "store", "backup", "backup.db"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    served.register(200)
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:
        file.seek(100)
        file.write(os.urandom(path.stat().st_size - 100))
    with served.failing(""):
        (tmp_path / "backup.db").rename(path)
    assert "was replaced" in served.program.output()


@pytest.mark.needs("chattr")
def test_read_only(served: Served, tmp_path: Path) -> None:
    """A backup was put in place, and the server may not write to it."""
    path = tmp_path / "sansip.db"
    shutil.copyfile(path, tmp_path / "backup.db")
    (tmp_path / "backup.db").rename(path)
    # Root may write whatever its mode says; immutable is what it says to root.
    if subprocess.run(["chattr", "+i", path], capture_output=True).returncode:
        pytest.skip("files cannot be made immutable here")
    try:
        with served.failing("readonly"):
            subprocess.run(["chattr", "-i", path], check=True)
    finally:
        subprocess.run(["chattr", "-i", path], check=True)


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgresqlServer]:
    if postgresql_programs() is None:
        missing("PostgreSQL is not installed (apt install postgresql)")
    with PostgresqlServer() as running:
        yield running


@pytest.mark.parametrize(("fault", "words"), [("gone", "refused"), ("hangs", ""), ("locked", "timeout")])
def test_postgresql(postgresql: PostgresqlServer, tmp_path: Path, fault: str, words: str) -> None:
    """The same four things, where the store is a server that dies, hangs, or has a table locked."""
    postgresql.execute("DROP TABLE IF EXISTS users, bindings, changes, clocks, schema_version")
    with Served(tmp_path, postgresql.url) as served:
        served.register(200)
        if fault == "gone":
            postgresql.kill()
            with served.failing(words):
                postgresql.start()
        elif fault == "hangs":
            postgresql.pause()
            try:
                with served.failing(words):
                    postgresql.resume()
            finally:
                postgresql.resume()
        else:
            with postgresql.connect() as other:
                other.execute("LOCK TABLE bindings")
                with served.failing(words):
                    other.rollback()
        served.kill()
        assert set(served.acknowledged) <= set(stored(postgresql.url))
