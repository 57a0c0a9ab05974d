"""``sansip user`` and ``sansip ha1``: users in, keys out, passwords nowhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from sansip_server.cli import sansip


def run(*words: str, input: str = "") -> tuple[int, str]:
    """Run a command with ``input`` on standard input."""
    result = CliRunner().invoke(sansip, list(words), input=input)
    return result.exit_code, result.output


def test_ha1_and_ha1b() -> None:
    """RFC 2617 3.5's HA1; HA1B has user@realm as its user name."""
    status, output = run("ha1", "Mufasa", "testrealm@host.com", "--with-domain", input="Circle Of Life\n")
    assert status == 0
    assert "HA1: 939e7578ed9e3c518a452acee763bce9" in output
    assert "HA1B: " in output


def test_ha1_of_another_algorithm() -> None:
    """RFC 7616 3.9.1's HA1 with SHA-256."""
    status, output = run(
        "ha1", "Mufasa", "http-auth@example.org", "--algorithm", "sha-256", "--json", input="Circle of Life\n"
    )
    assert status == 0
    assert json.loads(output)["HA1"] == "7987c64c30e25f1b74be53f966b49b90f2808aa92faf9a00262392d7b4794232"


def test_unknown_algorithm() -> None:
    """One line that names what there is."""
    status, output = run("ha1", "a", "b", "--algorithm", "SHA-3", input="x\n")
    assert status == 2
    assert "SHA-256" in output


def test_life_of_a_user(tmp_path: Path) -> None:
    """Add, list, change, remove; each repeated step says what to do instead."""
    store = str(tmp_path / "users.db")
    assert run("user", "add", "alice@Biloxi.test", "--store", store, input="secret\n")[0] == 0
    status, output = run("user", "add", "alice@biloxi.test", "--store", store, input="secret\n")
    assert status == 2
    assert "passwd" in output
    assert run("user", "passwd", "alice@biloxi.test", "--store", store, input="other\n")[0] == 0
    status, output = run("user", "list", "--json", "--store", store)
    assert json.loads(output) == [
        {"user": "alice", "domain": "biloxi.test", "algorithms": ["MD5", "SHA-256", "SHA-512-256"]}
    ]
    assert run("user", "remove", "alice@biloxi.test", "--store", store)[0] == 0
    assert run("user", "remove", "alice@biloxi.test", "--store", store)[0] == 2
    assert b"secret" not in Path(store).read_bytes()


def test_import(tmp_path: Path) -> None:
    """Many at once, from CSV; a bad line adds nobody."""
    store = str(tmp_path / "users.db")
    status, output = run("user", "import", "--store", store, input="a@b.test,one\n# comment\nc@b.test,two\n")
    assert status == 0
    assert "added 2" in output
    status, output = run("user", "import", "--store", store, input="d@b.test,three\noops\n")
    assert status == 2
    assert "line 2" in output
    assert json.loads(run("user", "list", "--json", "--store", store)[1]) != []
    assert "d" not in [one["user"] for one in json.loads(run("user", "list", "--json", "--store", store)[1])]


@pytest.mark.parametrize("address", ["alice", "@b", "alice@"])
def test_not_an_address(tmp_path: Path, address: str) -> None:
    """user@domain is what is wanted, and said."""
    status, output = run("user", "add", address, "--store", str(tmp_path / "u.db"), input="x\n")
    assert status == 2
    assert "user@domain" in output


def test_empty_password(tmp_path: Path) -> None:
    """An empty password is refused."""
    assert run("user", "add", "a@b.test", "--store", str(tmp_path / "u.db"), input="\n")[0] == 2
