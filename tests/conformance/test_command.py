"""The commands: ``sansip conformance …`` and ``sansip ladder``, as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from sansip_server.cli import sansip

TRACE = """title: a failing and a passing trace
domain biloxi.test
endpoint alice udp
trace good: OPTIONS is answered
rfc: RFC 3261 11.2
alice > proxy OPTIONS sip:biloxi.test
proxy > alice expect 200
trace bad: a wrong expectation
rfc: RFC 3261 11.2
alice > proxy OPTIONS sip:biloxi.test
proxy > alice expect 404
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "two.trace"
    path.write_text(TRACE)
    return str(path)


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(sansip, list(words), standalone_mode=True)
    return result.exit_code, result.output


def test_list() -> None:
    """Ids, sections and titles; as JSON for programs."""
    status, text = run("conformance", "list", "rfc3261-11-options", "--json")
    assert status == 0
    listed = json.loads(text)
    assert {one["id"] for one in listed} >= {"rfc3261-11-options/to-server"}
    assert all(one["rfc"] for one in listed)
    status, text = run("conformance", "list", "rfc3261-11-options")
    assert status == 0
    assert "traces in 1 suites" in text


def test_tables_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that reads the ids gets them whole, a trace a line, however wide the terminal was."""
    monkeypatch.setenv("COLUMNS", "20")
    _, text = run("conformance", "list")
    ids = {one["id"] for one in json.loads(run("conformance", "list", "--json")[1])}
    assert {line.split()[0] for line in text.splitlines()[1:-1]} == ids
    _, text = run("conformance", "run", "rfc3261-11-options")
    assert "RFC 3261 11" in text


def test_run_shows_a_scoreboard() -> None:
    """Section against verdict, and status 0 when all pass."""
    status, text = run("conformance", "run", "RFC 3261 11.2")
    assert status == 0
    assert "RFC 3261 11.2" in text
    assert "all" in text


def test_run_json_and_failures(file: str) -> None:
    """A failure is status 1, with file, line and section."""
    status, text = run("conformance", "run", file, "--json")
    assert status == 1
    found = json.loads(text)
    assert found["totals"] == {"pass": 1, "fail": 1, "skip": 0}
    (bad,) = [one for one in found["traces"] if one["outcome"] == "fail"]
    assert bad["where"].endswith("two.trace:11")
    assert bad["broken"] == ["RFC 3261 11.2"]


def test_replay(file: str) -> None:
    """One file, each trace with its verdict; the ladder on request."""
    status, text = run("conformance", "replay", file, "--ladder")
    assert status == 1
    assert "good passes" in text
    assert "bad fails: alice expected 404; got 200 OK" in text
    assert "OPTIONS ─" in text


def test_ladder_formats(file: str) -> None:
    """SVG and Mermaid of one trace; a file with several needs a choice for SVG."""
    status, text = run("ladder", file, "--trace", "good", "--mermaid")
    assert status == 0
    assert "sequenceDiagram" in text
    status, text = run("ladder", file, "--trace", "good", "--svg")
    assert text.startswith("<svg ")
    assert run("ladder", file, "--svg")[0] == 2


@pytest.mark.parametrize(
    "words",
    [
        ("conformance", "run", "no-such-suite"),
        ("conformance", "run", "--target", "nowhere"),
        ("conformance", "run", "--target", "udp:127.0.0.1:5060", "--runtime", "asyncio"),
        ("conformance", "run", "rfc3261-11-options", "--runtime", "no-such-runtime"),
    ],
)
def test_mistakes_are_one_line(words: tuple[str, ...]) -> None:
    """Status 2 and one line that names the fix."""
    status, text = run(*words)
    assert status == 2
    assert len(text.strip().splitlines()) == 1
