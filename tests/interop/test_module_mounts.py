"""Paths of HTTP that modules answer, on a running server, by curl: roles, and modules that misbehave."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.interop.test_module_faults import Serving, serving
from tests.missing import needed
from tools.peers import free_port, sansip_serve

pytestmark = [pytest.mark.interop, pytest.mark.needs("curl")]

ROOT = Path(__file__).parents[2]
HOST = "127.0.0.1"
CODE = """
from dataclasses import dataclass

from sansip.module import Module, WebResponse, mount
from sansip.routing import sleep


@dataclass
class Given:
    pass


class Probe(Module):
    name = "probe"
    Settings = Given

    @mount("/probe", access="open")
    async def serve(self, request):
        what = request.path.rpartition("/")[2]
        if what == "never":
            await sleep(1e6)
        if what == "late":
            await sleep(0.3)
        if what == "raise":
            raise ValueError("a slip")
        if what == "gigabyte":
            return WebResponse(200, b"x" * (1 << 30))
        if what == "split":
            return WebResponse(200, b"", headers=[("X-A", "1\\\\r\\\\nX-B: 2")])
        if what == "large":
            return WebResponse(200, b"x" * 1_000_000)
        said = f"{request.method} {request.path} {request.query} {len(request.body)}"
        return WebResponse(200, said.encode())
""".replace("\\\\", "\\")


def curl(*words: str, wait: int = 20) -> tuple[str, str]:
    """Ask; return the status and the body."""
    command = ["curl", "-s", "-m", str(wait), "-w", "\n%{http_code}", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=wait + 10, check=False)
    body, _, status = done.stdout.rpartition("\n")
    return status, body


@pytest.mark.parametrize("runtime", ["asyncio", "gevent", "trio", "curio"])
def test_mounts_that_misbehave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtime: str) -> None:
    """Each request has its answer, in time and bounded; SIP goes on; work ends with its client."""
    needed(runtime)
    port = free_port()
    config = (
        f'[http]\nlisten = ["http:{HOST}:{port}"]\n[limits]\nmount_time = 1\nmount_requests = 5\n[probe]\n'
    )
    root = f"http://{HOST}:{port}/probe"
    journal = tmp_path / "journal"
    options = ("--runtime", runtime, "--journal", str(journal))
    with serving(tmp_path, monkeypatch, config, *options, code=CODE) as server:
        assert curl(f"{root}/a%20b?q=1") == ("200", "GET /probe/a%20b q=1 0")
        assert curl("-X", "PUT", "-d", "12345", f"{root}/x") == ("200", "PUT /probe/x  5")
        assert curl(f"{root}x")[0] == "404"
        assert curl("--path-as-is", f"{root}/../rpc")[1].startswith("GET /probe/../rpc")
        assert curl(f"{root}/late")[0] == "200"
        assert (curl(f"{root}/large")[0], len(curl(f"{root}/large")[1])) == ("200", 1_000_000)
        begun = time.monotonic()
        assert curl(f"{root}/never")[0] == "504"
        assert 0.9 < time.monotonic() - begun < 5
        for what in ("raise", "gigabyte", "split"):
            status, body = curl("-i", f"{root}/{what}")
            assert status == "500", body
            assert "X-B" not in body
            assert "a slip" not in body
        # More at once than may wait: refused at once; then there is room again.
        waiting = [
            subprocess.Popen(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", f"{root}/never"],
                             stdout=subprocess.PIPE, text=True)
            for _ in range(8)
        ]  # fmt: skip
        answers = sorted(one.communicate(timeout=20)[0] for one in waiting)
        assert answers == ["503"] * 3 + ["504"] * 5
        # A client that goes takes its place with it.
        assert curl(f"{root}/never", wait=1)[0] in ("000", "504")
        assert json.loads(server.ctl("stats", "--json"))["web_requests"] == 0
        assert server.options() == "SIP/2.0 200 OK"
        said = server.log
        assert said.count("the module probe failed in mount /probe") >= 3
        # The reload takes it away, and what is asked then is not found.
        (tmp_path / "sansip.toml").write_text(config.replace("[probe]\n", ""))
        assert "which goes" in server.ctl("reload")
        assert curl(f"{root}/x")[0] == "404"
    done = subprocess.run(
        [sys.executable, "-m", "sansip_server", "replay", str(journal)],
        env=server.environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_user_has_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example package by pip: users of the store prove themselves by digest, and set their own values."""
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--target"]
    subprocess.run([*pip, str(site), str(ROOT / "examples" / "module")], check=True, timeout=60)
    monkeypatch.setenv("PYTHONPATH", f"{site}:{':'.join(sys.path)}")
    store, port, web = tmp_path / "sansip.db", free_port(), free_port()
    command = [sys.executable, "-m", "sansip_server", "user", "add"]
    for user in ("bob", "alice"):
        subprocess.run(
            [*command, f"{user}@example.com", "--store", str(store)],
            input=f"{user}-secret\n", text=True, check=True, capture_output=True, timeout=30,
        )  # fmt: skip
    config = tmp_path / "sansip.toml"
    config.write_text(f'auth = "digest"\n[http]\nlisten = ["http:{HOST}:{web}"]\n[quiet_hours]\n')
    options = ["--config", str(config), "--store", str(store), "--control", f"{tmp_path}/ctl"]
    page = f"http://{HOST}:{web}/quiet-hours"

    def asked(user: str, *words: str, password: str = "") -> tuple[str, str]:
        return curl("--digest", "-u", f"{user}:{password or f'{user}-secret'}", *words, page)

    with sansip_serve(tmp_path, [f"udp:{HOST}:{port}"], ["example.com"], options) as program:
        server = Serving(program, port, tmp_path, dict(os.environ))
        assert curl(page)[0] == "401"
        assert asked("bob", password="guessed")[0] == "401"
        assert asked("bob") == ("404", "no quiet hours\n")
        hours = '{"begin": 22, "end": 7}'
        assert asked("bob", "-X", "PUT", "-d", hours)[0] == "200"
        assert json.loads(asked("bob")[1]) == {"user": "bob", "begin": 22, "end": 7}
        # Alice does not get bob's values.
        assert asked("alice")[0] == "404"
        assert "bob" in server.ctl("quiet_hours.list")
        assert asked("bob", "-X", "DELETE")[0] == "204"
        assert "bob" not in server.ctl("quiet_hours.list")
