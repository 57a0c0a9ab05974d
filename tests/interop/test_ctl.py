"""``sansip ctl`` against a running ``sansip serve``, on each runtime, and where none runs."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.interop.test_kill import register
from tests.missing import missing
from tools import peers

pytestmark = pytest.mark.interop

Done = subprocess.CompletedProcess[str]

# `sansip ctl`, which looks into each default folder but /run/sansip: no setting moves that one, and servers
# that are no part of the test may have their sockets there.
ALONE = """
from pathlib import Path
from sansip_server import control
from sansip_server.cli import main

folders = control.default_folders
control.default_folders = lambda *given: [one for one in folders(*given) if one != Path("/run/sansip")]
main(prog_name="sansip")
"""


def ctl(folder: Path, *words: str, program: tuple[str, str] = ("-m", "sansip_server")) -> Done:
    command = [sys.executable, *program, "ctl", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=30)


def register_some(port: int, first: int, count: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        phone.bind(("127.0.0.1", 0))
        phone.settimeout(5)
        for number in range(first, first + count):
            phone.sendto(register(number, phone.getsockname()[1]), ("127.0.0.1", port))
            assert phone.recv(65_535).startswith(b"SIP/2.0 200")


@pytest.mark.parametrize("runtime", ["asyncio", "blocking", "trio", "gevent", "curio"])
def test_a_life(tmp_path: Path, runtime: str) -> None:
    """All commands of one server. Only its user may open the socket, and the server leaves nothing behind."""
    if runtime != "blocking" and importlib.util.find_spec(runtime) is None:
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
        # User 8 of another domain is not ours, though the server's addresses mean its first domain.
        other = ctl(tmp_path, "remove", "user8@gone.test")
        assert (other.returncode, other.stdout) == (2, "")
        assert "gone.test is no domain of this server, which serves biloxi.test" in other.stderr
        assert ctl(tmp_path, "bindings", "user8@biloxi.test").returncode == 0
        assert ctl(tmp_path, "remove", "user8@127.0.0.1").stdout == "removed 1 of sip:user8@biloxi.test\n"
        assert ctl(tmp_path, "reload").stdout.startswith("read again: trusted peers, ")
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
    """The server replaces the socket of a killed server.

    It does not replace a socket that answers, or a file.
    """
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


def test_reload_says_what_it_refuses(tmp_path: Path) -> None:
    """The server takes a change that it can make.

    It names any other with line and reason, and takes nothing of it.
    """
    route, config = tmp_path / "route.py", tmp_path / "sansip.toml"
    route.write_text("def route(request):\n    request.reply(404)\n")
    text = f'route = "{route}"\ncontrol = "{tmp_path}/ctl"\n'
    config.write_text(text)
    listen = [f"udp:127.0.0.1:{peers.free_port()}"]
    with peers.sansip_serve(tmp_path, listen, options=["--config", str(config)]) as server:

        def reload() -> Done:
            return ctl(tmp_path, "--config", str(config), "reload")

        done = reload()
        assert (done.returncode, done.stdout.count("\n")) == (0, 1)
        config.write_text(text + '[limits]\nsource_rate = 7\n[log]\nlevel = "debug"\n')
        done = reload()
        assert (done.returncode, done.stdout.count("limits")) == (0, 1)
        config.write_text(text + 'store = "other.db"\ndrain_time = 5.0\n[limits]\nsource_rate = 8\n')
        done = reload()
        assert done.returncode == 1
        first, second = done.stdout.splitlines()
        assert first.startswith(
            f"failed: {config}:3: store: this cannot change while the server runs: the data"
        )
        assert second.startswith(f"failed: {config}:4: drain_time: this cannot change")
        assert second.endswith("restart it, or set it back; all stays as it was")
        config.write_text("nonsense")
        done = ctl(tmp_path, "--control", str(tmp_path / "ctl"), "reload")
        assert done.returncode == 1
        assert f"failed: {config}:1" in done.stdout
        assert f"ERROR sansip.server: {config}:3: store" in server.output()


def test_without_a_word_of_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`sansip serve` and `sansip ctl` as they are find each other; of two servers each is named."""
    with tempfile.TemporaryDirectory(prefix="sansip-") as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        monkeypatch.setenv("TMPDIR", folder)
        monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
        sockets = Path(folder, "sansip")
        with peers.sansip_serve(tmp_path, [f"udp:127.0.0.1:{peers.free_port()}"], ["biloxi.test"]) as one:
            path = sockets / f"{one.pid}.ctl"
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
            stats = ctl(tmp_path, "stats", "--json", program=("-c", ALONE))
            assert json.loads(stats.stdout)["pid"] == one.pid
            # A second one, of the same user, is no obstacle and no mistake.
            listen = [f"udp:127.0.0.1:{peers.free_port()}"]
            with peers.sansip_serve(tmp_path, listen, ["biloxi.test"]) as two:
                asked = ctl(tmp_path, "health", program=("-c", ALONE))
                assert asked.returncode == 2
                for server in (one, two):
                    own = f"{sockets}/{server.pid}.ctl"
                    assert own in asked.stderr
                    assert ctl(tmp_path, "--control", own, "drain").returncode == 0
                    assert server.wait(10) == 0
        assert list(sockets.iterdir()) == []
        gone = ctl(tmp_path, "--control", str(path), "health")
        assert (gone.returncode, f"no server answers at {path}" in gone.stderr) == (2, True)
