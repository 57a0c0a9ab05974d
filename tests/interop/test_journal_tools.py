"""Journals that ``sansip serve --journal`` wrote, in the hands of the tools that read them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.interop.conftest import TARGET
from tests.interop.line import Line
from tests.interop.phone import Phone
from tests.interop.siege import Siege, request
from tests.interop.test_sipp import LOCAL, play_pair
from tools.peers import free_port, sansip_serve

pytestmark = [
    pytest.mark.needs("sipp"),
    pytest.mark.skipif(TARGET != "sansip", reason="a journal of sansip's"),
]


def sansip(*arguments: str | Path) -> str:
    """The output of the command; it has to end with 0 and to print no complaint."""
    command = [sys.executable, "-m", "sansip_server", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    assert done.stderr == ""
    return done.stdout


@dataclass
class At:
    """Where the server is, as ``play_pair`` wants to know it."""

    v4: tuple[str, int]
    v6: tuple[str, int] = ("::1", 0)


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A day in small: calls of SIPp, a phone in a browser, a name, garbage, a stream that breaks off."""
    directory = tmp_path_factory.mktemp("journal")
    path = directory / "server.journal"
    port, ws = free_port(), free_port()
    listeners = [f"udp:{LOCAL}:{port}", f"tcp:{LOCAL}:{port}", f"ws:{LOCAL}:{ws}"]
    options = ["--journal", str(path), "--store", str(directory / "sansip.db"), "--auth", "none"]
    with sansip_serve(directory, listeners, ["biloxi.test"], options) as program:
        for caller, callee in (("u1", "u1"), ("t1", "u1"), ("u1", "t1")):
            for pair in ("s03_call", "s05_busy"):
                play_pair(pair, caller, callee, At((LOCAL, port)), directory)
        with (
            Phone("anna", "biloxi.test", "ws", (LOCAL, ws)) as anna,
            Phone("bert", "biloxi.test", "udp", (LOCAL, port)) as bert,
        ):
            anna.register()
            bert.register()
            bert.invite(anna.aor)
            anna.answer(anna.expect("INVITE"), "200 OK")
            bert.established(bert.expect("200"))
            anna.expect("ACK")
            bert.within("BYE")
            anna.answer(anna.expect("BYE"), "200 OK")
            bert.expect("200")
        with Line("udp", (LOCAL, port), name="stranger") as line:
            line.send(b"\xff\xfe garbage \x00\r\n\r\n")
            line.send(request("OPTIONS", "sip:nobody@localhost.invalid", line))
            line.received()
        with Line("tcp", (LOCAL, port), name="stranger") as line:
            line.send(b"OPTIONS sip:biloxi.test SIP/2.0\r\nVia: ")
            line.received()
        with Line("tcp", (LOCAL, port), name="stranger") as line:
            line.send(b"\r\n\r\n" + request("OPTIONS", "sip:biloxi.test", line) + b"\r\n\r\n")
            line.received()
        program.terminate()
        program.wait(40)
    return path


def test_replay(journal: Path) -> None:
    """The replay is equal to the octet."""
    assert "all as recorded" in sansip("replay", journal)


def test_ladder(journal: Path) -> None:
    """Each call by itself, in the terminal, as SVG and for Mermaid, however many phones there were."""
    text = sansip("ladder", journal)
    assert text.count("─ INVITE ─") == 14  # seven calls, each in and out
    assert "what is no message" in text
    lines = text.splitlines()
    (call,) = {line for line in lines if line.startswith("call-")}
    one = sansip("ladder", journal, "--trace", call)
    assert [one.count(f"─ {what} ─") for what in ("INVITE", "200 OK (INVITE)", "ACK", "BYE")] == [2, 2, 2, 2]
    assert all(len(line) <= 80 for line in one.splitlines())
    ElementTree.fromstring(sansip("ladder", journal, "--trace", call, "--svg"))
    assert "sequenceDiagram" in sansip("ladder", journal, "--mermaid")


def test_conformance_replay(journal: Path) -> None:
    """As a trace, which can be read and cut down: the core answers as the server did."""
    assert " passes" in sansip("conformance", "replay", journal)
    assert "INVITE sip:" in sansip("conformance", "replay", journal, "--print")


def test_a_journal_that_breaks_off(journal: Path, tmp_path: Path) -> None:
    """A kill cut the last line: the rest is played and drawn."""
    cut = tmp_path / "cut.journal"
    cut.write_bytes(journal.read_bytes()[:-2000])
    assert "all as recorded" in sansip("replay", cut)
    sansip("ladder", cut)
    assert " passes" in sansip("conformance", "replay", cut)


def test_a_server_that_asked_for_passwords(tmp_path: Path) -> None:
    """It is drawn and played to the octet; as a trace it would need nonces that no other seed makes."""
    path = tmp_path / "server.journal"
    with Siege(tmp_path, users={"anna@siege.test": "secret"}, options=["--journal", str(path)]) as siege:
        with siege.line("udp") as anna:
            anna.send(request("REGISTER", "sip:siege.test", anna, to="<sip:anna@siege.test>"))
            assert anna.receive().startswith(b"SIP/2.0 401 ")
        siege.program.terminate()
        siege.program.wait(5)
    assert "401 Unauthorized" in sansip("ladder", path)
    assert "all as recorded" in sansip("replay", path)
    assert "REGISTER sip:siege.test" in sansip("conformance", "replay", path, "--print")
    with pytest.raises(AssertionError, match=r"`sansip replay .*server\.journal` plays that"):
        sansip("conformance", "replay", path)
