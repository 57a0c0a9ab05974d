"""``sansip ctl`` against a running ``sansip serve``, on each runtime, and where none runs."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.interop.test_kill import register
from tests.missing import missing
from tools import peers

pytestmark = pytest.mark.interop


def ctl(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sansip_server", "ctl", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=30)


def register_some(port: int, first: int, count: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        phone.bind(("127.0.0.1", 0))
        phone.settimeout(5)
        for number in range(first, first + count):
            phone.sendto(register(number, phone.getsockname()[1]), ("127.0.0.1", port))
            assert phone.recv(65_535).startswith(b"SIP/2.0 200")


@pytest.mark.parametrize("runtime", ["asyncio", "trio", "gevent", "curio"])
def test_a_life(tmp_path: Path, runtime: str) -> None:
    """All commands of one server, whose socket nobody else may open and which leaves nothing behind."""
    if importlib.util.find_spec(runtime) is None:
        missing(f"{runtime} is not installed")
    port = peers.free_port()
    options = ["--store", "sansip.db", "--runtime", runtime]
    with peers.sansip_serve(tmp_path, [f"udp:127.0.0.1:{port}"], ["biloxi.test"], options) as server:
        path = tmp_path / "sansip.db.ctl"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        register_some(port, 1, 300)
        done = ctl(tmp_path, "health")
        assert (done.returncode, done.stdout.splitlines()[1]) == (0, "store sansip.db: works")
        assert json.loads(ctl(tmp_path, "stats", "--json").stdout)["bindings"] == 300
        shown = ctl(tmp_path, "bindings").stdout.splitlines()
        assert shown[0].split()[:2] == ["AOR", "CONTACT"]
        assert len(shown) == 301
        lines = ctl(tmp_path, "bindings", "user7@biloxi.test", "--json").stdout.splitlines()
        assert [json.loads(line)["q"] for line in lines] == [0.007]
        assert ctl(tmp_path, "remove", "user7@biloxi.test").stdout == "removed 1 of sip:user7@biloxi.test\n"
        assert ctl(tmp_path, "bindings", "user7@biloxi.test").returncode == 1
        assert ctl(tmp_path, "reload").stdout == "reloaded\n"
        assert ctl(tmp_path, "drain").returncode == 0
        assert server.wait(10) == 0
        assert not path.exists()
        done = ctl(tmp_path, "health")
        assert done.returncode == 2
        assert done.stderr.startswith("sansip: no server answers at sansip.db.ctl;")


def test_removed_stays_removed(tmp_path: Path) -> None:
    """The store knows: after kill -9 the removed binding is not back."""
    port = peers.free_port()
    for run in range(2):
        with peers.sansip_serve(
            tmp_path, [f"udp:127.0.0.1:{port}"], ["biloxi.test"], ["--store", "sansip.db"]
        ):
            if not run:
                register_some(port, 1, 2)
                assert ctl(tmp_path, "remove", "user1@biloxi.test").returncode == 0
            lines = ctl(tmp_path, "bindings", "--json").stdout.splitlines()
            assert [json.loads(line)["aor"] for line in lines] == ["sip:user2@biloxi.test"]


def test_leftover_and_second_server(tmp_path: Path) -> None:
    """A socket that a killed server left is replaced; one that is answered on is not, nor is a file."""
    (tmp_path / "sansip.toml").write_text('listen = ["udp:127.0.0.1:0"]\ncontrol = "here.ctl"\n')
    command = [sys.executable, "-m", "sansip_server", "serve", "--config", "sansip.toml"]
    with peers.Program(command, tmp_path / "first.log", cwd=tmp_path) as first:
        first.wait_for("^ready$")
        second = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=30)
        assert second.returncode == 2
        assert "another server answers there" in second.stderr
        first.process.kill()
        first.process.wait()
    with peers.Program(command, tmp_path / "second.log", cwd=tmp_path) as again:
        again.wait_for("^ready$")
        assert ctl(tmp_path, "--config", "sansip.toml", "health").returncode == 0
    os.unlink(tmp_path / "here.ctl")
    (tmp_path / "here.ctl").write_text("mine")
    refused = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert "no socket; remove it" in refused.stderr
    assert (tmp_path / "here.ctl").read_text() == "mine"
    astray = [*command, "--control", "nowhere/ctl"]
    refused = subprocess.run(astray, cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert (refused.returncode, "no folder nowhere; make it" in refused.stderr) == (2, True)
