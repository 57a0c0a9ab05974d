"""The machine's clock is set under a running server: no acknowledged registration is lost.

Theory of operation: libfaketime gives the server's process a clock that the test sets, as NTP sets it a
minute after the boot of a machine without a battery clock; the monotonic clock stays true. Phones
register before and after the step, the server is killed, and the next one must know them all.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.interop.conftest import TARGET
from tests.interop.test_process import final_response, request
from tests.missing import missing
from tools.databases import PostgresqlServer, postgresql_programs
from tools.peers import Program, free_port

pytestmark = pytest.mark.skipif(TARGET != "sansip", reason="tests the command `sansip` itself")

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))


class Server:
    """``sansip serve``, whose clock is what ``set`` says: seconds beside the truth."""

    def __init__(self, folder: Path, store: str, error: int) -> None:
        if not LIBRARIES:
            missing("libfaketime is not installed (apt install faketime)")
        self._file = folder / "clock"
        self.set(error)
        self.port = free_port()
        clock = [
            f"LD_PRELOAD={LIBRARIES[0]}",
            f"FAKETIME_TIMESTAMP_FILE={self._file}",
            "FAKETIME_NO_CACHE=1",
            "FAKETIME_DONT_FAKE_MONOTONIC=1",
        ]
        command = [sys.executable, "-m", "sansip_server", "serve", "--domain", "biloxi.test"]
        command += ["--listen", f"udp:127.0.0.1:{self.port}", "--store", store]
        self.program = Program(["env", *clock, *command], folder / f"sansip-{time.time_ns()}.log", cwd=folder)
        self.program.wait_for("^ready$")

    def set(self, error: int) -> None:
        # Renamed: the library must not read half of it.
        new = self._file.with_suffix(".new")
        new.write_text(f"{error:+d}s\n")
        new.rename(self._file)

    def register(self, user: str) -> str:
        """Register a phone for an hour, and return the Date of the answer."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
            phone.bind(("127.0.0.1", 0))
            phone.settimeout(10)
            data = request("REGISTER", phone.getsockname()[1], user, more="Expires: 3600\r\n")
            phone.sendto(data, ("127.0.0.1", self.port))
            answer = final_response(phone).decode()
        assert answer.startswith("SIP/2.0 200 "), answer
        found = re.search(r"\r\nDate: (.*?)\r\n", answer)
        assert found is not None
        return found[1]

    def kill(self) -> None:
        os.kill(self.program.pid, signal.SIGKILL)
        self.program.wait(10)


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "sqlite":
        yield "sansip.db"
        return
    if postgresql_programs() is None:
        missing("PostgreSQL is not installed (apt install postgresql)")
    with PostgresqlServer(["fsync=off"]) as server:
        yield server.url


@pytest.mark.parametrize("error", [-7_200, 7_200], ids=["behind", "ahead"])
def test_step(error: int, store: str, tmp_path: Path) -> None:
    """Issue 9, 5: start two hours off, step, register, restart. All are there, and for an hour."""
    first = Server(tmp_path, store, error)
    with first.program:
        before = first.register("alice")
        first.set(0)
        first.program.wait_for("the machine's clock was set (forward|back) by 7200 s")
        assert first.register("bob") != before
        # RFC 3261 20.17: right at once, for the step has woken the loop.
        assert "Traceback" not in first.program.output()
        first.kill()
    again = Server(tmp_path, store, 0)
    with again.program:
        assert "2 registrations from" in again.program.output()
        # And once more, set while the server was down.
        again.register("carol")
        again.kill()
    last = Server(tmp_path, store, -error)
    with last.program:
        assert "3 registrations from" in last.program.output()
        last.program.terminate()
        assert last.program.wait(20) == 0
    if store == "sansip.db":
        with closing(sqlite3.connect(tmp_path / store)) as database:
            readings = database.execute("SELECT zero FROM clocks ORDER BY id").fetchall()
        # Two hours off, set right; the last server wrote nothing.
        assert [round(zero - readings[1][0]) for (zero,) in readings] == [error, 0]


def test_step_while_nobody_registers(tmp_path: Path) -> None:
    """The watch alone notes it: after a reboot the reading is all that tells how late the rows are."""
    server = Server(tmp_path, "sansip.db", -7_200)
    with server.program:
        server.register("alice")
        server.set(0)
        server.program.wait_for("set forward by 7200 s")
        server.program.terminate()
        assert server.program.wait(20) == 0
    with closing(sqlite3.connect(tmp_path / "sansip.db")) as database:
        # The reboot: this boot has another name from here on.
        database.execute("UPDATE clocks SET boot = 'the one before'")
        database.commit()
    again = Server(tmp_path, "sansip.db", 0)
    with again.program:
        assert "1 registrations from" in again.program.output()


def test_boot_with_a_clock_that_is_ahead(tmp_path: Path) -> None:
    """A clock in local time: all seem to have expired, and are back once it is set; a caller finds them."""
    server = Server(tmp_path, "sansip.db", 0)
    with server.program:
        server.register("alice")
        server.kill()
    with closing(sqlite3.connect(tmp_path / "sansip.db")) as database:
        # The reboot: this boot has another name from here on.
        database.execute("UPDATE clocks SET boot = 'the one before'")
        database.commit()
    again = Server(tmp_path, "sansip.db", 7_200)
    with again.program:
        assert "0 registrations from" in again.program.output()
        again.set(0)
        again.program.wait_for("set back by 7200 s")
        again.program.wait_for("1 registrations that seemed to have expired are back")
        assert "Traceback" not in again.program.output()
