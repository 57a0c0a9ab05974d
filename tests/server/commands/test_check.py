"""`sansip check`: the verdict on a configuration file, for people and for programs."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sansip_server.cli import sansip
from sansip_server.config.reference import configuration_page
from tests.certificates import Authority


def check(folder: Path, text: str, *options: str) -> Result:
    file = folder / "sansip.toml"
    file.write_text(text)
    return CliRunner().invoke(sansip, ["check", str(file), *options])


def test_good(tmp_path: Path) -> None:
    """A good file is called good, with the effect of its keys."""
    result = check(tmp_path, 'listen = ["udp:127.0.0.1:5070"]\n')
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"{tmp_path}/sansip.toml: good; listens on udp:127.0.0.1:5070\n"


def test_every_fault_on_its_line(tmp_path: Path) -> None:
    """All faults, in the form that editors and CI systems turn into links."""
    result = check(tmp_path, "lisen = 1\n[limits]\nbranches = 0\n")
    assert result.exit_code == 2
    assert result.stdout == ""
    file = tmp_path / "sansip.toml"
    assert result.stderr.splitlines() == [
        f"{file}:1: lisen: unknown key; did you mean listen?",
        f"{file}:3: limits.branches: expected a number above 0; found 0",
        f"{file}: 2 faults; `sansip check --keys` tells every key",
    ]


def test_json(tmp_path: Path) -> None:
    """One object, whether good or not."""
    assert json.loads(check(tmp_path, "", "--json").stdout) == {
        "file": str(tmp_path / "sansip.toml"),
        "ok": True,
        "doubts": [],
        "faults": [],
    }
    result = check(tmp_path, "lisen = 1\n", "--json")
    assert result.exit_code == 2
    assert json.loads(result.stdout)["faults"] == [
        {"path": "lisen", "line": 1, "problem": "unknown key", "suggestion": "listen"}
    ]


def test_routing_script_is_judged_too(tmp_path: Path) -> None:
    """A server that starts at night should not be the first to find the script's mistake."""
    (tmp_path / "route.py").write_text("def route(request)\n")
    result = check(tmp_path, "lisen = 1\nroute = 'route.py'\n")
    assert result.exit_code == 2
    first, second, _ = result.stderr.splitlines()
    assert first.endswith("did you mean listen?")
    assert "route.py:1: expected ':'" in second


def test_keys() -> None:
    """The reference is at hand where there is no checkout with its docs."""
    result = CliRunner().invoke(sansip, ["check", "--keys"])
    assert result.exit_code == 0
    assert result.stdout == configuration_page()


def test_doubts_about_a_certificate(tmp_path: Path) -> None:
    """Said, since the first client will stumble over it, but no fault: the server would start."""
    Authority(tmp_path).issue("server.pem", "*.example.org")
    file = tmp_path / "sansip.toml"
    file.write_text(
        "listen = ['tls:127.0.0.1:5061']\ndomains = ['sip.example.org', 'localhost', '192.0.2.1']\n"
        "[tls]\ncertificate = 'server.pem'\n"
    )
    result = CliRunner().invoke(sansip, ["check", str(file)])
    assert result.exit_code == 0
    assert "does not name sip.example.org, but *.example.org (a wildcard matches nothing" in result.stderr
    (doubt,) = json.loads(CliRunner().invoke(sansip, ["check", "--json", str(file)]).stdout)["doubts"]
    assert doubt.startswith("tls: certificate ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('listen = ["udp:0.0.0.0:5060"]\n', "refusing to listen on udp:0.0.0.0:5060 without authentication"),
        ('\nauth = "digest"\n', "sansip.toml:2: auth: digest authentication needs a store of users"),
        ('nonce_file = "nowhere"\n', "nonce_file"),
        ('route = "route.py"\n', "route.py: it ends the process that imports it"),
    ],
)
def test_what_a_reload_would_refuse(tmp_path: Path, text: str, said: str) -> None:
    """The same faults in the same words: a reload at night is no time to read new ones."""
    (tmp_path / "route.py").write_text("import os\nos._exit(0)\n")
    done = check(tmp_path, text)
    assert done.exit_code == 2
    assert said in done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[dispatcher]\n",
            "sansip.toml:1: dispatcher: module dispatcher needs the module calls; add [calls]",
        ),
        ("[calls]\nmin_se = 0\n", "sansip.toml:1: calls: calls.min_se: at least 1 second"),
    ],
)
def test_what_modules_say_of_themselves(tmp_path: Path, text: str, said: str) -> None:
    """A module that lacks another, or settings that its ``check`` refuses: found before a start is."""
    result = check(tmp_path, text)
    assert result.exit_code == 2
    assert said in result.stderr


ROOMS = '[rooms]\n[[rooms.rooms]]\naddress = "sip:team@example.com"\n'


@pytest.mark.parametrize(
    ("listen", "auth", "said"),
    [
        ("udp:192.0.2.1:5060", "none", True),
        ("udp:192.0.2.1:5060", "digest", False),
        ("tcp:192.0.2.1:5060", "none", False),
        ("udp:127.0.0.1:5060", "none", False),
    ],
)
def test_rooms_without_passwords(tmp_path: Path, listen: str, auth: str, said: bool) -> None:
    """A datagram with the forged address of a member's phone goes to all members: the operator is told."""
    text = f'listen = ["{listen}"]\nauth = "{auth}"\nstore = "{tmp_path}/x.db"\n{ROOMS}'
    result = check(tmp_path, text)
    assert result.exit_code == 0
    assert ("rooms: over UDP a stranger who forges the address of a member's phone" in result.stderr) is said


@pytest.mark.parametrize(
    ("text", "library", "said"),
    [
        (
            'location = "redis://127.0.0.1/0"\nsecret_file = "key"\n',
            "redis",
            "1: location: redis is not installed",
        ),
        ('rows = "redis://127.0.0.1/0"\n', "redis", "pip install 'sansip[redis]'"),
        (
            'store = "postgresql+psycopg://sip@db/sip"\n',
            "psycopg",
            "1: store: psycopg is not installed; pip install",
        ),
        ('store = "mysql+pymysql://sip@db/sip"\n', "pymysql", "pip install 'sansip[mysql]'"),
        (
            '[http]\nkeys = "keys.json"\n',
            "jwt",
            "2: http.keys: jwt is not installed; pip install 'sansip[http]'",
        ),
        ('[http]\nkeys = "keys.json"\n', "", "keys.json` makes one"),
    ],
)
def test_what_a_start_would_not_find(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, library: str, said: str
) -> None:
    """`sansip check` called such files good, and the server did not start by them."""
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == library else there(name))
    done = check(tmp_path, text)
    assert done.exit_code == 2
    assert said in done.stderr


def test_the_module_that_speaks_has_the_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`lists` lacks its library, and the name of the extra of pip is that of another module."""
    monkeypatch.setattr("sansip.modules.lists.module.has_lxml", lambda: False)
    done = check(tmp_path, "[documents]\n[events]\n[publications]\n[presence]\n[lists]\n")
    assert "sansip.toml:5: lists: it reads XML with lxml" in done.stderr
