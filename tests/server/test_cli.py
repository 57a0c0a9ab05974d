"""The command line as people and programs meet it: quick help, one line for each mistake."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from sansip_server.cli import sansip
from sansip_server.faults import suggestion

ROOT = Path(__file__).parents[2]


def test_help_names_every_command() -> None:
    """The first thing that a newcomer types."""
    result = CliRunner().invoke(sansip, ["--help"])
    assert result.exit_code == 0
    for name in ("serve", "check", "parse", "ping", "version"):
        assert f"\n  {name} " in result.output


@pytest.mark.parametrize("name", ["serve", "check", "parse", "ping", "version"])
def test_help_of_each_command(name: str) -> None:
    """Every option says its effect."""
    result = CliRunner().invoke(sansip, [name, "-h"])
    assert result.exit_code == 0
    assert result.output.startswith(f"Usage: sansip {name} ")


def test_help_is_quick() -> None:
    """Asking for help loads neither the engine nor a runtime nor what paints tables."""
    code = (
        "import sys\nfrom sansip_server.cli import sansip\n"
        "try:\n    sansip.main(['--help'], 'sansip')\nexcept SystemExit: pass\n"
        "heavy = {'asyncio', 'msgspec', 'rich', 'sansip.wire', 'sansip.stack', 'socket', 'uvloop'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["serv"], "sansip: No such command 'serv'"),
        (["serve", "--lisen", "x"], "sansip serve: No such option '--lisen'"),
        (["serve", "--listen"], "Option '--listen' requires an argument."),
        (["serve", "--auth", "basic"], "'basic' is not one of 'none', 'digest'"),
        (["serve", "--listen", "udp:here"], "sansip: --listen udp:here: here is no IP address"),
        (["serve", "--domain", "sip:x"], "sansip: --domain sip:x: expected a domain name"),
        (["serve", "--runtime", "asynco"], "did you mean asyncio?"),
        (["serve", "--listen", "udp:0.0.0.0:5060"], "refusing to listen on udp:0.0.0.0:5060 without"),
        (["serve", "--listen", "udp:[::]:5060"], "say so with --auth none"),
        (["serve", "--config", "missing.toml"], "cannot read missing.toml: no such file or directory"),
        (["serve", "--route", "missing.py"], "cannot read the routing script missing.py"),
        (["check"], "sansip check: Missing argument 'FILE'."),
        (["check", "missing.toml"], "cannot read missing.toml"),
        (["parse", "missing.dat"], "cannot read missing.dat"),
        (["parse", "/dev/null"], "/dev/null is empty; expected a SIP message"),
        (["ping"], "sansip ping: Missing argument 'URI'."),
        (["ping", "tel:+1555"], "no SIP URI"),
        (["ping", "sip:192.0.2.1;transport=sctp"], "transport sctp cannot be pinged; use --transport"),
        (["ping", "sip:192.0.2.1;transport=none"], "transport none is not known; use --transport"),
        (["ping", "192.0.2.1", "-T", "tls", "--ca", "missing.pem"], "there is no file missing.pem"),
        (["ping", "192.0.2.1", "-T", "ws", "--path", "ws"], "expected a path that begins with /"),
        (["ping", "192.0.2.1", "--dns", "x"], "is no IP address"),
        (["ping", "127.0.0.1", "--timeout", "0"], "'--timeout'"),
        (["ping", "127.0.0.1", "--from", "nobody"], "--from 'nobody' is no URI"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], says: str) -> None:
    """One line that names the mistake and the way out, exit status 2, nothing on standard output."""
    result = CliRunner().invoke(sansip, arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert says in result.stderr


@pytest.mark.parametrize("arguments", [[], ["ctl"], ["user"], ["store"]])
def test_without_a_command_the_help_is_shown(arguments: list[str]) -> None:
    """A newcomer types the bare name first: the commands stand one below the other, not in one line."""
    result = CliRunner().invoke(sansip, arguments)
    assert result.exit_code in (0, 2)  # click before 8.2 takes it for a wish for help
    assert "\nCommands:\n  " in result.output


def test_python_dash_m() -> None:
    """The program works where its script is not on the PATH."""
    done = subprocess.run(
        [sys.executable, "-m", "sansip_server", "version", "--json"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    facts = json.loads(done.stdout)
    assert facts["python"].startswith("3.")
    assert "asyncio" in facts["runtimes"]


def test_version_as_an_option() -> None:
    """The option that every program answers to, in the first word of `sansip version`."""
    result = CliRunner().invoke(sansip, ["--version"])
    assert result.exit_code == 0
    assert result.output.splitlines() == CliRunner().invoke(sansip, ["version"]).output.splitlines()[:1]


def test_version_for_people() -> None:
    """The facts that a bug report needs."""
    output = CliRunner().invoke(sansip, ["version"]).output
    assert output.startswith("sansip ")
    assert "asyncio" in output


def test_output_into_a_pipe_that_closes() -> None:
    """`sansip … | head` ends without a traceback."""
    done = subprocess.run(
        f"{sys.executable} -m sansip_server serve --help | true",
        shell=True,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [("Lisen", "listen"), ("drain-time", "drain_time"), ("LISTEN", "listen"), ("zebra", None)],
)
def test_suggestion(wrong: str, meant: str | None) -> None:
    """Case and the way words are joined are the commonest slips; nonsense suggests nothing."""
    assert suggestion(wrong, ["listen", "drain_time", "domains"]) == meant
