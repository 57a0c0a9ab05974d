"""Modules as an operator meets them: installed by pip, a table in the file, `sansip modules` and `check`."""

from __future__ import annotations

import json
import re
import socket
import sqlite3
import subprocess
import sys
import time
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from click.testing import CliRunner

from sansip.module import Module
from sansip_server import modules
from sansip_server.cli import sansip
from sansip_server.config.load import load_text
from sansip_server.faults import OperatorError
from tools.peers import free_port, sansip_serve

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "module"


def test_ours_are_found_like_anyones() -> None:
    """By the entry-point group: the server has no list of its own."""
    assert {"keepalive", "upstream"} <= set(modules.names())
    assert all(kind.name in modules.names() for kind in modules.loaded())


class Mismatched(Module):
    name = "other"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("no_such_package:X", "cannot be loaded: ModuleNotFoundError"),
        ("json:JSONDecoder", "is no sansip.module.Module"),
        ("tests.server.test_modules:Mismatched", "calls itself other"),
    ],
)
def test_a_broken_package_is_named(monkeypatch: pytest.MonkeyPatch, value: str, said: str) -> None:
    """And only where it is used."""
    modules._found.cache_clear()
    modules.load.cache_clear()
    point = EntryPoint("probe", value, modules.GROUP)
    monkeypatch.setattr(modules, "entry_points", lambda group: [point])
    try:
        assert modules.names() == ["probe"]
        with pytest.raises(OperatorError, match=said):
            modules.load("probe")
        (fault,) = load_text("[probe]\n").faults
        assert (fault.path, fault.line) == ("probe", 1)
        assert said in fault.problem
    finally:
        modules._found.cache_clear()
        modules.load.cache_clear()


def test_list_and_show() -> None:
    """All modules, and all about one module; `--json` for programs."""
    runner = CliRunner()
    listed = runner.invoke(sansip, ["modules"]).output
    assert re.search(r"^keepalive +Keeps phones", listed, re.MULTILINE)
    shown = runner.invoke(sansip, ["modules", "keepalive"]).output
    assert "interval = 30" in shown
    assert "seconds between two keepalives" in shown.lower()
    facts = json.loads(runner.invoke(sansip, ["modules", "--json"]).output)["modules"]
    (upstream,) = [one for one in facts if one["name"] == "upstream"]
    assert upstream["commands"] == ["upstream.list"]
    acting = runner.invoke(sansip, ["modules", "--order"]).output
    assert re.search(r"^stray_received +keepalive$", acting, re.MULTILINE)


def test_a_module_that_is_not_there() -> None:
    """One line, with the name that was probably meant."""
    result = CliRunner().invoke(sansip, ["modules", "keepaliv"])
    assert result.exit_code == 2
    assert result.output == "sansip: no module keepaliv is installed; did you mean keepalive?\n"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the example package, put there by pip."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--target"]
    done = subprocess.run(
        [*command, str(folder), str(EXAMPLE)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder


def run(installed: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command with the example installed."""
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        env={
            "PYTHONPATH": f"{installed}:{':'.join(sys.path)}",
            "PATH": "/usr/bin:/bin",
            "PYTHONIOENCODING": "utf-8",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=ROOT,
    )


def test_the_tests_of_the_example(installed: Path) -> None:
    """A third party tests its module without a socket and without a store."""
    done = run(installed, "pytest", "-q", "-p", "no:cacheprovider", str(EXAMPLE / "tests"))
    assert done.returncode == 0, done.stdout
    assert "8 passed" in done.stdout


def test_check_knows_its_keys(installed: Path, tmp_path: Path) -> None:
    """A slip in its table is a line like any other; so is a route that wants it where it is not on."""
    config = tmp_path / "sansip.toml"
    config.write_text("[quiet_hours]\nstatus = 480\nrefesh = 5\nutc_offset = 'east'\n")
    done = run(installed, "sansip_server", "check", str(config))
    assert "sansip.toml:3: quiet_hours.refesh: unknown key; did you mean quiet_hours.refresh?" in done.stderr
    assert "sansip.toml:4: quiet_hours.utc_offset: expected a whole number" in done.stderr
    route = tmp_path / "route.py"
    route.write_text(
        "from sansip_quiet_hours import QuietHours\n\n\n"
        "def route(request, quiet: QuietHours):\n    request.reply(200)\n"
    )
    config.write_text('route = "route.py"\n')
    done = run(installed, "sansip_server", "check", str(config))
    assert "route.py:4: the route wants the module quiet_hours; add [quiet_hours]" in done.stderr
    # The module decides on its numbers.
    config.write_text('route = "route.py"\n[quiet_hours]\nutc_offset = -8\n')
    assert run(installed, "sansip_server", "check", str(config)).returncode == 0


def test_a_server_with_it(installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One table in the file, its rows in the server's store, and callers are turned away."""
    monkeypatch.setenv("PYTHONPATH", f"{installed}:{':'.join(sys.path)}")
    store = tmp_path / "sansip.db"
    (tmp_path / "sansip.toml").write_text("[quiet_hours]\nrefresh = 0.1\n")
    port = free_port()
    options = ["--config", str(tmp_path / "sansip.toml"), "--store", str(store)]
    with sansip_serve(tmp_path, [f"udp:127.0.0.1:{port}"], ["example.com"], options):
        ctl = ("sansip_server", "ctl", "--control", f"{store}.ctl")
        done = run(installed, *ctl, "quiet_hours.set", "user=carol", "begin=0", "end=24")
        assert "begin and end are hours, 0 to 23" in done.stderr
        assert (
            "expected a whole number"
            in run(installed, *ctl, "quiet_hours.set", "user=carol", "begin=x", "end=1").stderr
        )
        hour = int(time.time() // 3600) % 24
        begin, end = f"begin={hour}", f"end={(hour + 2) % 24}"
        assert json.loads(run(installed, *ctl, "quiet_hours.set", "user=carol", begin, end).stdout) == {
            "user": "carol",
            "begin": hour,
            "end": (hour + 2) % 24,
        }
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as caller:
            caller.settimeout(5.0)
            caller.connect(("127.0.0.1", port))
            assert invited(caller, "carol") == "480 Quiet Hours"
            assert invited(caller, "bob") == "404 Not Found"
        listed = run(installed, *ctl, "quiet_hours.list").stdout.splitlines()
        assert [line.split() for line in listed] == [
            ["USER", "BEGIN", "END"],
            ["carol", str(hour), str((hour + 2) % 24)],
        ]
        assert "modules.quiet_hours.refused{carol}  1" in run(installed, *ctl, "stats").stdout
        assert "quiet_hours.set user=… begin=… end=…" in run(installed, *ctl, "commands").stdout
        assert "there is no command quiet_hours.drop" in run(installed, *ctl, "quiet_hours.drop").stderr
    with sqlite3.connect(store) as connection:
        assert connection.execute("SELECT * FROM quiet_hours").fetchall() == [
            ("carol", hour, (hour + 2) % 24)
        ]
    connection.close()


def invited(caller: socket.socket, user: str) -> str:
    """Call ``user``; return the final answer."""
    host, port = caller.getsockname()
    invited.calls += 1  # type: ignore[attr-defined]  # state kept with a function
    mark = f"call{invited.calls}"  # type: ignore[attr-defined]  # state kept with a function
    lines = [
        f"INVITE sip:{user}@example.com SIP/2.0",
        f"Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bK{mark};rport",
        "Max-Forwards: 70",
        f"From: <sip:x@elsewhere.example>;tag={mark}",
        f"To: <sip:{user}@example.com>",
        f"Call-ID: {mark}",
        "CSeq: 1 INVITE",
        f"Contact: <sip:x@{host}:{port}>",
        "Content-Length: 0",
        "",
        "",
    ]
    caller.send("\r\n".join(lines).encode())
    while True:
        answer = caller.recv(65_535).decode()
        if f"Call-ID: {mark}\r\n" in answer and not answer.startswith("SIP/2.0 100"):
            return answer.partition("\r\n")[0].removeprefix("SIP/2.0 ")


invited.calls = 0  # type: ignore[attr-defined]  # state kept with a function
