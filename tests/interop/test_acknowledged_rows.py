"""Rows of modules that were acknowledged are there, whatever the database did in the middle.

Theory of operation: a module keeps each MESSAGE as a row, and answers 202 once the row is durable, 503 where
it cannot be (RFC 3261 21.5.4). Messages come in a steady stream while the process is killed, the file is
locked, the disk is full, or the database server is killed and comes back. Then each 202 has its row.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Self

import pytest

from sansip_server.rows import RowStore, open_rows
from sansip_server.rows.exchange import pages
from sansip_server.stores import open_store
from tests.interop.conftest import TARGET
from tests.missing import missing
from tests.server.packages import installed
from tools.databases import MariadbServer, PostgresqlServer, mariadb_installed, postgresql_programs
from tools.peers import Program, free_port
from tools.redises import redis_server

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(TARGET != "sansip", reason="tests the command `sansip` itself"),
]

HOST = "127.0.0.1"
CODE = """
from dataclasses import dataclass

from sansip.module import Module, function
from sansip.rows import Table


@dataclass
class Kept:
    number: int
    text: str


KEPT = Table("keeper", Kept, key=("number",))


class Keeper(Module):
    name = "keeper"
    tables = (KEPT,)

    def start(self, core, now):
        self.rows = core.rows(KEPT)

    @function
    async def keep(self, request):
        number = int(request.message.call_id)
        try:
            await self.rows.put(Kept(number, "x" * 300))
        except Exception:
            request.reply(503)
        else:
            request.reply(202)
"""
ROUTE = """
from probe_modules import Keeper


async def route(request, keeper: Keeper):
    await keeper.keep(request)
"""


class Sender:
    """Sends MESSAGEs to ``port`` without a pause, ``WINDOW`` at once; notes what each was answered."""

    WINDOW = 20

    def __init__(self, port: int) -> None:
        self._port = port
        self.kept: set[int] = set()
        self.refused: set[int] = set()
        self._last = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def wait(self, more: int, noted: Callable[[Sender], set[int]] = lambda one: one.kept) -> None:
        """Return once ``more`` others were kept, or ``noted`` otherwise."""
        wanted = len(noted(self)) + more
        end = time.monotonic() + 60
        while len(noted(self)) < wanted:
            assert time.monotonic() < end, f"{len(self.kept)} kept, {len(self.refused)} refused"
            time.sleep(0.01)

    def _run(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind((HOST, 0))
            sock.settimeout(0.5)
            own = sock.getsockname()[1]
            waiting: set[int] = set()
            while not self._ended.is_set():
                while len(waiting) < self.WINDOW:
                    self._last += 1
                    waiting.add(self._last)
                    sock.sendto(message(self._last, own), (HOST, self._port))
                try:
                    data = sock.recv(65_535)
                except OSError:
                    # The server is away: what was sent is gone, answered or not.
                    waiting.clear()
                    continue
                number = int(data.partition(b"Call-ID: ")[2].partition(b"\r\n")[0])
                waiting.discard(number)
                if data.startswith(b"SIP/2.0 202 "):
                    self.kept.add(number)
                elif data.startswith(b"SIP/2.0 503 "):
                    self.refused.add(number)
                    # A failing store is no reason for a busy loop.
                    self._ended.wait(0.01)


def message(number: int, own: int) -> bytes:
    lines = [
        "MESSAGE sip:bob@biloxi.test SIP/2.0",
        f"Via: SIP/2.0/UDP {HOST}:{own};branch=z9hG4bK{number}",
        "Max-Forwards: 70",
        "From: <sip:alice@atlanta.test>;tag=1",
        "To: <sip:bob@biloxi.test>",
        f"Call-ID: {number}",
        f"CSeq: {number} MESSAGE",
        "Content-Length: 0",
    ]
    return "\r\n".join([*lines, "", ""]).encode()


class Keeping:
    """A server with the module; ``places`` are lines of its configuration that say where rows are."""

    def __init__(self, folder: Path, places: str) -> None:
        self.folder = folder
        self.port = free_port()
        self._environment = installed(folder, CODE, {"keeper": "Keeper"})
        (folder / "route.py").write_text(ROUTE)
        self.config = folder / "sansip.toml"
        self.config.write_text(
            f'listen = ["udp:{HOST}:{self.port}"]\ndomains = ["biloxi.test"]\nroute = "route.py"\n'
            f'control = "{folder}/ctl"\n{places}\n[limits]\nsource_rate = 0\n[keeper]\n'
        )

    @contextmanager
    def serve(self) -> Iterator[Program]:
        given = [f"{name}={value}" for name, value in self._environment.items()]
        command = [sys.executable, "-m", "sansip_server", "serve", "--config", str(self.config)]
        with Program(["env", *given, *command], self.folder / "log", cwd=self.folder) as program:
            program.wait_for("^ready$")
            yield program
            assert "Traceback" not in program.output()


def lost(sender: Sender, rows: RowStore) -> set[int]:
    """Return the acknowledged values that are not in ``rows``."""
    (table,) = [one for one in rows.tables() if one.name == "keeper"]
    found = {values[0] for values in pages(rows, table)}
    # Not more than was sent, either.
    assert found <= set(range(1, max(found) + 1))
    return sender.kept - found


def lost_in(sender: Sender, target: str | Path) -> set[int]:
    with closing(open_store(str(target))) as store:
        return lost(sender, open_rows(store))


def test_killed(tmp_path: Path) -> None:
    """kill -9 in the middle, three times: each 202 has its row, and the next process goes on."""
    server = Keeping(tmp_path, 'store = "sansip.db"')
    with Sender(server.port) as sender:
        for _ in range(3):
            with server.serve() as program:
                sender.wait(200)
                os.kill(program.pid, signal.SIGKILL)
                program.wait(10)
    assert lost_in(sender, tmp_path / "sansip.db") == set()


def test_locked(tmp_path: Path) -> None:
    """Another program holds the file: 503 until it lets go, and nothing has to be restarted."""
    server = Keeping(tmp_path, 'store = "sansip.db"\nstore_timeout = 0.2')
    with server.serve() as program, Sender(server.port) as sender:
        sender.wait(100)
        with closing(sqlite3.connect(tmp_path / "sansip.db", isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            sender.wait(20, lambda one: one.refused)
            other.execute("ROLLBACK")
        sender.wait(100)
        assert "database is locked" in program.output()
        program.wait_for("works again")
    assert lost_in(sender, tmp_path / "sansip.db") == set()


def test_a_full_disk(tmp_path: Path) -> None:
    """No file may grow (which is that to SQLite): 503, and once there is room, 202 again."""
    server = Keeping(tmp_path, 'store = "sansip.db"')
    with server.serve() as program, Sender(server.port) as sender:
        sender.wait(100)
        _, most = resource.prlimit(program.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(program.pid, resource.RLIMIT_FSIZE, (4_096, most))
        sender.wait(20, lambda one: one.refused)
        resource.prlimit(program.pid, resource.RLIMIT_FSIZE, (most, most))
        sender.wait(100)
        assert "fails: " in program.output()
        program.wait_for("works again")
    assert lost_in(sender, tmp_path / "sansip.db") == set()


def _outage(folder: Path, database: Any) -> None:
    with database:
        server = Keeping(folder, f'store = "{database.url}"\nstore_timeout = 1')
        with server.serve() as program, Sender(server.port) as sender:
            for _ in range(2):
                sender.wait(100)
                database.kill()
                sender.wait(20, lambda one: one.refused)
                database.start()
                sender.wait(100)
            program.wait_for("works again")
        assert lost_in(sender, database.url) == set()


def test_postgresql_is_killed(tmp_path: Path) -> None:
    """Twice, in the middle of a batch; the server connects again by itself."""
    if postgresql_programs() is None:
        missing("PostgreSQL is not installed (apt install postgresql)")
    _outage(tmp_path, PostgresqlServer())


def test_mariadb_is_killed(tmp_path: Path) -> None:
    """The same of MariaDB."""
    if not mariadb_installed():
        missing("MariaDB is not installed (apt install mariadb-server)")
    _outage(tmp_path, MariadbServer())


@pytest.mark.needs("redis-server", "redis-cli")
def test_redis_is_killed(tmp_path: Path) -> None:
    """It reads its append-only file, and has each row that was acknowledged."""
    from sansip_server.config.redis import parse_redis

    port = free_port()
    url = f"redis://{HOST}:{port}/0"
    options = ["--appendfsync", "always"]
    server = Keeping(tmp_path, f'rows = "{url}"')
    redis = redis_server(tmp_path / "redis", port, options)
    try:
        with server.serve() as program, Sender(server.port) as sender:
            for _ in range(2):
                sender.wait(100)
                os.kill(redis.pid, signal.SIGKILL)
                redis.wait(10)
                sender.wait(20, lambda one: one.refused)
                redis = redis_server(tmp_path / "redis", port, options)
                sender.wait(100)
            program.wait_for("works again")
        rows = open_rows(None, parse_redis(url))
        try:
            assert lost(sender, rows) == set()
        finally:
            rows.close()
    finally:
        redis.stop()
