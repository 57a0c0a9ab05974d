"""Rows of modules in Redis, named by the configuration: shared between nodes, and no older program's."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.server.packages import installed
from tools.peers import Program, free_port
from tools.redises import redis_server

EXAMPLE = Path("examples/module/sansip_quiet_hours/__init__.py").resolve()
TABLE = 'HOURS = Table("quiet_hours", Quiet, key=("user",))'


class Node:
    """A server with the example module, and its rows in Redis."""

    def __init__(self, folder: Path, redis: int, code: str) -> None:
        folder.mkdir()
        self.folder = folder
        self.environment = installed(folder, code, {"quiet_hours": "QuietHours"})
        # The modules that the module's package imports.
        self.environment["PYTHONPATH"] += f":{EXAMPLE.parents[1]}"
        self.config = folder / "sansip.toml"
        self.config.write_text(
            f'listen = ["udp:127.0.0.1:{free_port()}"]\nrows = "redis://127.0.0.1:{redis}/0"\n'
            f'control = "{folder}/ctl"\n[quiet_hours]\nrefresh = 0.1\n'
        )
        self.command = [sys.executable, "-m", "sansip_server", "serve", "--config", str(self.config)]

    def serve(self) -> Program:
        given = [f"{name}={value}" for name, value in self.environment.items()]
        program = Program(["env", *given, *self.command], self.folder / "log")
        program.wait_for("^ready$")
        return program

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=30, check=False
        )

    def ctl(self, *words: str) -> str:
        control = ["ctl", "--control", str(self.folder / "ctl")]
        done = self.run(sys.executable, "-m", "sansip_server", *control, *words)
        return done.stdout + done.stderr


@pytest.mark.needs("redis-server", "redis-cli")
def test_rows_in_redis(tmp_path: Path) -> None:
    """One node reads the rows of the other.

    The server refuses an older program by name; without Redis it does not start.
    """
    port = free_port()
    code = EXAMPLE.read_text()
    assert TABLE in code
    one, two = Node(tmp_path / "one", port, code), Node(tmp_path / "two", port, code)
    refused = one.run(*one.command)
    assert refused.returncode == 2
    assert f"127.0.0.1:{port}" in refused.stderr
    assert "modules need their rows: start Redis" in refused.stderr
    newer = TABLE.replace(",))", ",), version=2, migrations={1: lambda row: row})")
    three = Node(tmp_path / "three", port, code.replace(TABLE, newer))
    with redis_server(tmp_path / "redis", port):
        with one.serve(), two.serve():
            assert "carol" in one.ctl("quiet_hours.set", "user=carol", "begin=0", "end=23")
            end = time.monotonic() + 10
            while "carol" not in two.ctl("quiet_hours.list"):
                assert time.monotonic() < end, "the other node does not see the row"
        with three.serve():
            end = time.monotonic() + 10
            while "carol" not in three.ctl("quiet_hours.list"):
                assert time.monotonic() < end, "the row is lost by its migration"
        refused = one.run(*one.command)
        assert refused.returncode == 2
        assert "table quiet_hours has version 2, and this program knows 1" in refused.stderr
