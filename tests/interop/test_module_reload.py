"""Modules added and removed while a server runs: taken at once, or refused with file, line and fix."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.interop.test_module_faults import CODE, Serving, refused, serving
from tests.missing import needed
from tests.server.packages import installed

pytestmark = pytest.mark.interop

PARTS = {"probe": "Outer"}
FAILS = CODE.replace(
    "    def start(self, core, now):\n",
    "    def start(self, core, now):\n"
    '        if self.settings.does == "fails":\n            raise ValueError("no such relay")\n',
)
SLOW = CODE.replace(
    "    parallel = 2\n",
    "    parallel = 2\n\n    def __init__(self, settings):\n        super().__init__(settings)\n"
    '        if settings.says == "slow":\n            time.sleep(9)\n',
)


FAILED = (
    r"sansip\.toml:1: probe: the module probe does not start: ValueError: no such relay \(.*probe_modules"
    r"\.py:\d+\); mend it, or take \[probe\] out of the configuration; all stays as it was"
)


def reload(server: Serving, config: str) -> str:
    (server.folder / "sansip.toml").write_text(config)
    return server.ctl("reload")


def test_it_comes_and_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its rows, its outer half and its figures; rows are there when it comes back."""
    store = str(tmp_path / "sansip.db")
    with serving(tmp_path, monkeypatch, "", "--store", store, parts=PARTS) as server:
        assert "there is no command probe.put" in server.ctl("probe.put", "key=a")
        assert "the module probe, which is new" in reload(server, "[probe]\nsays = 'ill'\n")
        server.ctl("probe.put", "key=a")
        assert server.ctl("probe.ask", "text=price").strip() == "PRICE"
        assert json.loads(server.ctl("stats", "--json"))["parts"] == {"probe": {"asked": 7}}
        assert "probe.part : fails: ill" in server.ctl("health")
        # Its outer half gets new settings, too.
        reload(server, "[probe]\n")
        assert "probe.part : works" in server.ctl("health")
        assert server.ctl("probe.ask", "text=price").strip() == "PRICE"
        assert "the module probe, which goes" in reload(server, "")
        assert "there is no command probe.put" in server.ctl("probe.put", "key=b")
        assert "parts" not in json.loads(server.ctl("stats", "--json"))
        assert server.options() == "SIP/2.0 200 OK"
        reload(server, "[probe]\n")
        server.ctl("probe.put", "key=c")
        assert server.ctl("probe.ask", "text=price").strip() == "PRICE"
        assert "Traceback" not in server.log
    connection = sqlite3.connect(store)
    assert sorted(row[0] for row in connection.execute("SELECT * FROM probe")) == ["a", "c"]
    connection.close()


@pytest.mark.parametrize(
    ("config", "code", "said"),
    [
        (
            "[probe]\ndoes = 'fails'\n",
            FAILS,
            FAILED,
        ),
        ("[lonely]\n", CODE, r"sansip\.toml:1: lonely: module lonely needs the module probe; add \[probe\]"),
        ("[left]\n[right]\n", CODE, "modules need each other in a circle: left needs right needs left"),
        (
            "[probe]\n",
            CODE.replace("    parallel = 2\n", "    parallel = 2\n    __init__ = None\n"),
            "the outer half of the module probe cannot be made: TypeError",
        ),
    ],
)
def test_it_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: str, code: str, said: str
) -> None:
    """Exit status 1, one line; what runs goes on, and a good one is taken after it."""
    with serving(tmp_path, monkeypatch, "", code=code, parts=PARTS) as server:
        text = reload(server, config)
        assert re.search(said, text), text
        assert server.options() == "SIP/2.0 200 OK"
        assert "there is no command probe.put" in server.ctl("probe.put", "key=b")
        assert "Traceback" not in server.log


def test_a_migration_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of a newer program: the module is refused, and the server goes on without it."""
    store = tmp_path / "sansip.db"
    with serving(tmp_path, monkeypatch, "", "--store", str(store)) as server:
        reload(server, "[probe]\n")
        reload(server, "")
        connection = sqlite3.connect(store)
        with connection:
            connection.execute("UPDATE row_tables SET version = 7 WHERE name = 'probe'")
        connection.close()
        text = reload(server, "[probe]\n")
        assert "newer program" in text, text
        assert server.options() == "SIP/2.0 200 OK"


def test_calls_go_on_while_it_gets_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An outer half that takes 9 s to be made is given up in time, and holds up no call."""
    limits = "[limits]\nprepare_time = 1\n"
    with serving(tmp_path, monkeypatch, limits, code=SLOW, parts=PARTS) as server:
        begun = time.monotonic()
        text = reload(server, f"[probe]\nsays = 'slow'\n{limits}")
        assert "outer halves of probe were not ready in 1 s (limits.prepare_time)" in text, text
        assert time.monotonic() - begun < 8
        assert server.options() == "SIP/2.0 200 OK"
        assert "the module probe, which is new" in reload(server, f"[probe]\n{limits}")


def test_a_package_installed_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is found by the next reload; nothing has to be started again."""
    with serving(tmp_path, monkeypatch, "") as server:
        # The same folder, so that it is on the path of the running program: what pip does.
        installed(tmp_path, CODE.replace('name = "probe"', 'name = "later"', 1).replace(
            '"probe', '"later'), {"later": "Probe"})  # fmt: skip
        (tmp_path / "site" / "later.py").write_text((tmp_path / "site" / "probe_modules.py").read_text())
        points = tmp_path / "site" / "probe_modules-1.0.dist-info" / "entry_points.txt"
        points.write_text("[sansip.modules]\nlater = later:Probe\n")
        assert "the module later, which is new" in reload(server, "[later]\n")
        server.ctl("later.put", "key=a")


@pytest.mark.parametrize("runtime", ["asyncio", "gevent", "trio", "curio"])
def test_one_that_does_not_start_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtime: str
) -> None:
    """A server must not run without a module that its operator counts on: it ends, and says why."""
    needed(runtime)
    text = refused(tmp_path, monkeypatch, "[probe]\ndoes = 'fails'\n", "--runtime", runtime, code=FAILS)
    assert "the module probe does not start: ValueError: no such relay" in text, text
    assert "mend it, or take [probe] out of the configuration" in text
    assert "Traceback" not in text
    assert "\nready" not in text


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import time\ntime.sleep(99)\n", r"\[late\]: .*late\.py:2: it was not imported within 1 s"),
        ("import os\nos._exit(3)\n", r"\[late\]: its package ends the process .*exit status 3"),
        ("import nothing\n", r"the module late of .* cannot be loaded: ModuleNotFoundError"),
        ("def f(:\n", r"the module late of .* cannot be loaded: SyntaxError"),
    ],
)
def test_a_package_that_is_no_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, said: str
) -> None:
    """It is tried in another process: calls are answered meanwhile, and the server lives."""
    monkeypatch.setenv("SANSIP_IMPORT_TIME", "1")
    with serving(tmp_path, monkeypatch, "") as server:
        (tmp_path / "site" / "late.py").write_text(code)
        points = tmp_path / "site" / "probe_modules-1.0.dist-info" / "entry_points.txt"
        points.write_text("[sansip.modules]\nprobe = probe_modules:Probe\nlate = late:Late\n")
        environment = {**server.environment, "SANSIP_IMPORT_TIME": "1"}
        (tmp_path / "sansip.toml").write_text("[late]\n")
        command = [sys.executable, "-m", "sansip_server", "ctl", "--control", f"{tmp_path}/ctl", "reload"]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as running:
            while running.poll() is None:
                assert server.options(wait=1) == "SIP/2.0 200 OK"
            assert running.stdout is not None
            text = running.stdout.read()
        assert re.search(said, text), text
        assert running.returncode == 1
        assert "the module probe, which is new" in reload(server, "[probe]\n")
