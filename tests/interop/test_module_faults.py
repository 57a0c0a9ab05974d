"""Modules that misbehave, on a running server: named in the log, and everybody else is served."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.missing import needed
from tests.server.packages import installed
from tools.peers import PeerError, Program, free_port, sansip_serve

pytestmark = pytest.mark.interop

CODE = '''
import time
from dataclasses import dataclass
from sansip.module import Module, command
from sansip.rows import Table
from sansip_server.parts import Part


@dataclass
class Row:
    key: str
    value: str = ""


@dataclass
class Empty:
    does: str = ""
    peer: int = 1
    other: int = 1
    says: str = ""


@dataclass
class Question:
    text: str = ""


class Outer(Part):
    parallel = 2
    waiting = 3

    def handlers(self):
        return {Question: self.answer}

    def answer(self, question):
        if question.text == "hang":
            time.sleep(30)
        if question.text == "raise":
            raise ValueError("no price")
        return question.text.upper()

    def health(self):
        return self.settings.says

    def figures(self):
        return {"asked": 7}


class Probe(Module):
    """Misbehaves as its setting says."""

    name = "probe"
    Settings = Empty
    tables = (Table("probe", Row, key=("key",)),)

    def start(self, core, now):
        self._udp = core.datagrams(("127.0.0.1", self.settings.peer), key=lambda data: data[:1])
        self._tcp = core.connect(("127.0.0.1", self.settings.other), split=lambda data: data.find(10) + 1)

    async def request_received(self, request):
        if self.settings.does == "raises":
            raise ValueError("a slip of the probe")
        if self.settings.does == "slow":
            time.sleep(0.06)
        if self.settings.does == "asks" and request.method == "OPTIONS":
            await self.core.ask(Question())
        return False

    async def branch_leaving(self, request, branch, message):
        if self.settings.does == "hides":
            raise ValueError("cannot hide")

    @command("probe.put")
    async def put(self, key: str) -> None:
        await self.core.rows(self.tables[0]).put(Row(key))

    @command("probe.ask")
    async def ask(self, text: str) -> str:
        return await self.core.ask(Question(text), within=0.5)

    @command("probe.flood")
    async def flood(self, count: int) -> int:
        for _ in range(count):
            self.core.run(self._hang(), 0.0)
        return count

    async def _hang(self):
        await self.core.ask(Question("hang"), within=0.5)

    @command("probe.udp")
    async def udp(self, text: str) -> str:
        return (await self._udp.ask(text.encode(), 0.2, 2)).decode()

    @command("probe.tcp")
    async def tcp(self, text: str) -> str:
        return (await self._tcp.ask(text.encode() + b"\\\\n", 1.0)).decode().strip()


class Twin(Module):
    name = "probe"


class Lonely(Module):
    """Needs what nobody has switched on."""

    name = "lonely"
    requires = (Probe,)


class Left(Module):
    name = "left"


class Right(Module):
    name = "right"
    requires = (Left,)


Left.requires = (Right,)
'''.replace("\\\\n", "\\n")
MODULES = {"probe": "Probe", "lonely": "Lonely", "left": "Left", "right": "Right"}
OPTIONS = (
    "OPTIONS sip:{to} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK{number};rport\r\n"
    "Max-Forwards: 70\r\nFrom: <sip:a@example.com>;tag=1\r\nTo: <sip:{to}>\r\nCall-ID: {number}\r\n"
    "CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
)


class Serving:
    """A server with the probe, and a phone that asks for OPTIONS."""

    def __init__(self, program: Program, port: int, folder: Path, environment: dict[str, str]) -> None:
        self.program = program
        self.port = port
        self.folder = folder
        self.environment = environment
        self._number = 0

    def options(self, to: str = "example.com", wait: float = 5.0) -> str:
        """Ask, and return the first line of the final answer; "" where none came."""
        self._number += 1
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
            phone.settimeout(wait)
            phone.connect(("127.0.0.1", self.port))
            text = OPTIONS.format(to=to, port=phone.getsockname()[1], number=self._number)
            phone.send(text.encode())
            try:
                while (answer := phone.recv(65_535).decode()).startswith("SIP/2.0 1"):
                    pass
            except TimeoutError:
                return ""
        return answer.partition("\r\n")[0]

    def ctl(self, *words: str) -> str:
        """Give a command; return its output."""
        command = [
            sys.executable,
            "-m",
            "sansip_server",
            "ctl",
            "--control",
            str(self.folder / "ctl"),
            *words,
        ]
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=30, check=False
        )
        return done.stdout + done.stderr

    @property
    def log(self) -> str:
        return (self.folder / "sansip.log").read_text()


@contextmanager
def serving(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    config: str,
    *options: str,
    code: str = CODE,
    parts: dict[str, str] | None = None,
) -> Iterator[Serving]:
    environment = installed(folder, code, MODULES, parts)
    monkeypatch.setenv("PYTHONPATH", environment["PYTHONPATH"])
    (folder / "sansip.toml").write_text(config)
    port = free_port()
    given = ["--config", str(folder / "sansip.toml"), "--control", str(folder / "ctl"), *options]
    with sansip_serve(folder, [f"udp:127.0.0.1:{port}"], ["example.com"], given) as program:
        yield Serving(program, port, folder, environment)


def refused(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    config: str,
    *options: str,
    code: str = CODE,
    parts: dict[str, str] | None = None,
) -> str:
    """Return what a server says that does not start."""
    with pytest.raises(PeerError), serving(folder, monkeypatch, config, *options, code=code, parts=parts):
        pass
    return (folder / "sansip.log").read_text()


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("[lonely]\n", r"module lonely needs the module probe; add \[probe\] to the configuration"),
        ("[left]\n[right]\n", "modules need each other in a circle: left needs right needs left"),
        ("[probe]\nnothing = 1\n", r"sansip\.toml:2: probe\.nothing: unknown key"),
    ],
)
def test_what_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: str, said: str) -> None:
    """One line that says what to change, no traceback."""
    text = refused(tmp_path, monkeypatch, config)
    assert re.search(said, text), text
    assert "Traceback" not in text


def test_two_of_one_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two packages claim a table: both are named, and neither wins by chance."""
    environment = installed(tmp_path, CODE, MODULES)
    info = tmp_path / "site" / "other_package-2.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other-package\nVersion: 2.0\n")
    (info / "entry_points.txt").write_text("[sansip.modules]\nprobe = probe_modules:Twin\n")
    (tmp_path / "sansip.toml").write_text("[probe]\n")
    done = subprocess.run(
        [sys.executable, "-m", "sansip_server", "check", str(tmp_path / "sansip.toml")],
        env=environment, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stdout
    text = done.stdout + done.stderr
    assert (
        "two packages have a module probe: other-package 2.0 and probe-modules 1.0; uninstall one of them"
        in text
    ), text


@pytest.mark.parametrize(
    ("does", "answer", "said"),
    [
        ("raises", "SIP/2.0 200 OK", "the module probe failed in request_received"),
        (
            "slow",
            "SIP/2.0 200 OK",
            r"the module probe took \d+ ms in request_received; all calls wait meanwhile",
        ),
        ("asks", "SIP/2.0 200 OK", r"nobody answers Question"),
    ],
)
def test_a_hook_that_misbehaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, does: str, answer: str, said: str
) -> None:
    """It raises, takes 60 ms, or asks a question without an answer: the log names it, and calls go on."""
    with serving(tmp_path, monkeypatch, f"[probe]\ndoes = '{does}'\n") as server:
        for _ in range(30):
            assert server.options() == answer
        found = re.findall(said, server.log)
        assert found
        assert len(found) <= 45


def test_a_copy_that_cannot_be_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``branch_leaving`` fails closed: nothing leaves."""
    with serving(tmp_path, monkeypatch, "[probe]\ndoes = 'hides'\n") as server:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
            phone.bind(("127.0.0.1", 0))
            phone.settimeout(5)
            port = phone.getsockname()[1]
            register = OPTIONS.format(to="bob@example.com", port=port, number="reg").replace(
                "OPTIONS", "REGISTER"
            )
            register = register.replace(
                "Content-Length", f"Contact: <sip:bob@127.0.0.1:{port}>\r\nContent-Length"
            )
            phone.sendto(register.encode(), ("127.0.0.1", server.port))
            assert phone.recv(65_535).startswith(b"SIP/2.0 200")
            assert server.options("bob@example.com") == "SIP/2.0 500 Server Internal Error"
            phone.settimeout(0.2)
            with pytest.raises(TimeoutError):
                phone.recv(65_535)
        assert "the module probe failed in branch_leaving" in server.log


MIGRATION = """def _migrate(row):
    if row["key"] == "b":
        raise ValueError("b is odd")
    return row


@dataclass
class Question:"""
VERSION_2 = CODE.replace('key=("key",))', 'key=("key",), version=2, migrations={1: _migrate})')
VERSION_2 = VERSION_2.replace("@dataclass\nclass Question:", MIGRATION)


def test_rows_of_another_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A migration that fails half-way changes nothing; an older program does not start on newer rows."""
    store = str(tmp_path / "sansip.db")
    with serving(tmp_path, monkeypatch, "[probe]\n", "--store", store) as server:
        for key in "abc":
            server.ctl("probe.put", f"key={key}")

    def rows() -> list[tuple[str, ...]]:
        connection = sqlite3.connect(store)
        try:
            return sorted(connection.execute("SELECT * FROM probe").fetchall())
        finally:
            connection.close()

    before = rows()
    assert [row[0] for row in before] == ["a", "b", "c"]
    text = refused(tmp_path, monkeypatch, "[probe]\n", "--store", store, code=VERSION_2)
    assert "table probe stays at version 1: the row" in text, text
    assert "does not migrate" in text
    assert "b is odd" in text
    assert "Traceback" not in text
    assert rows() == before
    # The old program goes on with them; then a migration that works, and the way back is refused.
    with serving(tmp_path, monkeypatch, "[probe]\n", "--store", store) as server:
        assert server.options() == "SIP/2.0 200 OK"
    with serving(
        tmp_path, monkeypatch, "[probe]\n", "--store", store, code=VERSION_2.replace('"b":', '"none":')
    ):
        pass
    text = refused(tmp_path, monkeypatch, "[probe]\n", "--store", store)
    assert "newer program" in text, text
    assert "Traceback" not in text


@pytest.mark.parametrize("runtime", ["asyncio", "blocking", "trio", "gevent", "curio"])
def test_sockets_of_a_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtime: str) -> None:
    """UDP and TCP servers, real ones: asked, answered, dead, back again; a dead one holds up no request."""
    needed(f"sansip_{runtime}")
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        socket.create_server(("127.0.0.1", 0)) as tcp,
    ):
        udp.bind(("127.0.0.1", 0))
        peer, other = udp.getsockname()[1], tcp.getsockname()[1]
        threading.Thread(target=echo_datagrams, args=(udp,), daemon=True).start()
        threading.Thread(target=echo_stream, args=(tcp,), daemon=True).start()
        journal = tmp_path / "journal"
        config = f"[probe]\npeer = {peer}\nother = {other}\n"
        options = ("--runtime", runtime, "--journal", str(journal))
        with serving(tmp_path, monkeypatch, config, *options) as server:
            assert server.ctl("probe.udp", "text=ping").strip() == "ping"
            assert server.ctl("probe.tcp", "text=PING").strip() == "PING"
            assert server.ctl("probe.tcp", "text=PING").strip() == "PING"
            assert "does not answer" in server.ctl("probe.udp", "text=silence")
            assert "does not answer" in server.ctl("probe.tcp", "text=silence")
            assert server.options() == "SIP/2.0 200 OK"
        lines = journal.read_text().splitlines()
    inputs = [json.loads(line)["in"] for line in lines[1:]]
    assert {"datagram_received", "data_received", "connection_opened", "command"} <= set(inputs)
    done = subprocess.run(
        [sys.executable, "-m", "sansip_server", "replay", str(journal)],
        env=server.environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def echo_datagrams(sock: socket.socket) -> None:
    # The test closes the socket when it ends.
    with contextlib.suppress(OSError):
        while True:
            data, source = sock.recvfrom(65_535)
            if data != b"silence":
                sock.sendto(data, source)


def echo_stream(server: socket.socket) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection:
            while (data := connection.recv(65_535)) not in (b"", b"bye\n"):
                if data != b"silence\n":
                    connection.sendall(data)


@pytest.mark.parametrize("runtime", ["asyncio", "blocking", "trio", "gevent", "curio"])
def test_an_outer_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtime: str) -> None:
    """Functions that block, in threads: answered, failed, hanging; health and figures; and calls go on."""
    needed(f"sansip_{runtime}")
    config = "[probe]\nsays = 'the rates are old'\n"
    with serving(tmp_path, monkeypatch, config, "--runtime", runtime, parts={"probe": "Outer"}) as server:
        assert server.ctl("probe.ask", "text=hello").strip() == "HELLO"
        assert "no price" in server.ctl("probe.ask", "text=raise")
        health = server.ctl("health")
        assert "the rates are old" in health
        # Both threads hang and the queue is full: the next is told at once, the phones notice nothing.
        server.ctl("probe.flood", "count=5")
        assert "3 questions wait for it already" in server.ctl("probe.ask", "text=hello")
        assert server.options() == "SIP/2.0 200 OK"


def test_an_outer_half_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that names it, and no server."""
    text = refused(tmp_path, monkeypatch, "[probe]\n", parts={"probe": "Twin"})
    assert "the outer half of the module probe cannot be made: TypeError" in text, text
    assert "Traceback" not in text
