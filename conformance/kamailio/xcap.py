"""The XCAP traces, played against Kamailio's xcap_server: ``python conformance/kamailio/xcap.py``.

Theory of operation: Kamailio (Debian) runs with ``xcap.cfg`` and an SQLite database of its own, and the
traces that speak nothing but HTTP are played one after the other over real connections. The table is emptied
between two traces, so each finds what it expects. Most traces begin with a new document, and Kamailio answers
200 where RFC 4825 8.2.7 has 201: so they are played a second time with that 200 taken for a 201, which shows
the rest. What HTTP does not say is who asks: the clients say it as 3GPP's proxies do (TS 24.623,
X-3GPP-Asserted-Identity), and ``xcap.cfg`` lets users read and write their own documents alone. A Kamailio
that died is started anew, and its trace has failed. What it does is shown, not judged.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from sansip.testing import Agent, Received
from sansip_conformance import load_suites, select
from sansip_conformance.msrp import Heard
from sansip_conformance.player import Player
from sansip_conformance.run import Verdict, judge, play_on_core
from sansip_conformance.trace import HTTP, Trace
from sansip_conformance.web import WebAnswer, WebClient
from sansip_conformance.world import Party

HERE = Path(__file__).parent
SCHEMAS = Path("/usr/share/kamailio/db_sqlite")
PATIENCE = 5.0


class Client(WebClient):
    """One endpoint of a trace: each request on a connection of its own."""

    def __init__(self, name: str, aor: str, server: tuple[str, int], new: set[str] | None) -> None:
        self.name, self.server = name, server
        # Documents that were put, where the 200 to a new one is taken for a 201.
        self._put = new
        self.host, self.port = "127.0.0.1", 5060
        self.agent = Agent(name, aor, f"{self.host}:{self.port}", str, aor.rpartition("@")[2], user=name)
        self.inbox: list[Received] = []
        self.history: list[Received] = []

    def ask(self, method: str, uri: str, fields: list[tuple[str, str]], body: bytes) -> bytes:
        lines = [f"{method} {uri} HTTP/1.1", f"Host: {self.server[0]}:{self.server[1]}"]
        lines.append(f"X-3GPP-Asserted-Identity: {self.agent.aor}")
        lines += [f"{name}: {value}" for name, value in fields]
        if body or method in ("PUT", "POST"):
            lines.append(f"Content-Length: {len(body)}")
        data = "\r\n".join([*lines, "", ""]).encode() + body
        answer = self._answer(data, method)
        if answer is not None:
            self._as_new(answer, method, uri)
            message: Any = answer
            one = Heard(time.monotonic(), "http", b"answer %d" % len(self.history), message)
            self.inbox.append(one)
            self.history.append(one)
        return data

    def _as_new(self, answer: WebAnswer, method: str, uri: str) -> None:
        """Take the 200 to a document that was not there for a 201."""
        document = uri.partition("/~~")[0]
        if self._put is None or document != uri:
            return
        if method == "DELETE":
            self._put.discard(document)
        elif method == "PUT" and answer.status == 200:
            answer.status = 200 if document in self._put else 201
            self._put.add(document)

    def _answer(self, data: bytes, method: str) -> WebAnswer | None:
        """Return the answer, None where none comes."""
        held = b""
        try:
            with socket.create_connection(self.server, timeout=PATIENCE) as sock:
                sock.sendall(data)
                while b"\r\n\r\n" not in held:
                    held += (got := sock.recv(65_536))
                    if not got:
                        return None
                head, _, body = held.partition(b"\r\n\r\n")
                first, *lines = head.decode("latin-1").split("\r\n")
                fields = [
                    (name.strip(), value.strip()) for name, _, value in (one.partition(":") for one in lines)
                ]
                status = int(first.split()[1])
                length = int(next((value for name, value in fields if name.lower() == "content-length"), "0"))
                while method != "HEAD" and status not in (204, 304) and len(body) < length:
                    body += (got := sock.recv(65_536))
                    if not got:
                        break
        except (OSError, IndexError, ValueError):
            return None
        return WebAnswer(status, fields, body)

    def send(self, data: bytes, *, transport: str | None = None, pipe: Any = None) -> None:
        raise NotImplementedError

    def connect(self, transport: str) -> Any:
        raise NotImplementedError

    def disconnect(self) -> None:
        raise NotImplementedError


class HttpWorld:
    """A running XCAP server, and clients."""

    tolerance = 0.25
    drift = 0.02
    patience = 0.0

    def __init__(self, trace: Trace, server: tuple[str, int], lenient: bool) -> None:
        domain = trace.setup.domains[0]
        new: set[str] | None = set() if lenient else None
        self.parties: dict[str, Party] = {}
        self._server = server
        for one in trace.setup.endpoints.values():
            client = Client(one.name, one.aor or f"sip:{one.name}@{domain}", server, new)
            self.parties[one.name] = cast(Party, client)

    @property
    def now(self) -> float:
        return time.monotonic()

    def rewrite(self, text: str) -> str:
        return text

    def rewrite_octets(self, data: bytes) -> bytes:
        return data

    def server_address(self, transport: str) -> tuple[str, int]:
        return self._server

    def run(self, seconds: float, until: Callable[[], bool] | None = None) -> bool:
        # An answer is there when ``ask`` returns, or never comes.
        return until is not None and until()

    def fault(self, verb: str, source: str, destination: str, count: int) -> None:
        raise ValueError(f"{verb} is for datagrams")

    def finish(self) -> str | None:
        return None

    def close(self) -> None:
        """There is nothing to close."""


class Kamailio:
    """Kamailio with an empty table of documents."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.server = folder, ("127.0.0.1", port)
        self._database = folder / "xcap.db"
        with sqlite3.connect(self._database) as database:
            for name in ("standard", "presence"):
                database.executescript((SCHEMAS / f"{name}-create.sql").read_text())
        first, rest = (HERE / "xcap.cfg").read_text().split("\n", 1)
        listen = f'listen=tcp:127.0.0.1:{port}\n#!define DATABASE "sqlite:///{self._database}"\n'
        (folder / "kamailio.cfg").write_text(f"{first}\n{listen}{rest}")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, unless it runs, and forget all documents."""
        if self._process is None or self._process.poll() is not None:
            self.stop()
            run = self.folder / "run"
            shutil.rmtree(run, ignore_errors=True)
            run.mkdir()
            command = ["kamailio", "-f", str(self.folder / "kamailio.cfg"), "-DD", "-E", "-w", str(run)]
            command += ["-Y", str(run), "-P", str(run / "pid"), "-m", "64", "-M", "8"]
            with (self.folder / "kamailio.log").open("ab") as log:
                self._process = subprocess.Popen(command, stdout=log, stderr=log)
            self._wait()
        with sqlite3.connect(self._database, timeout=10) as database:
            database.execute("DELETE FROM xcap")

    def _wait(self) -> None:
        deadline = time.monotonic() + 15
        while True:
            try:
                socket.create_connection(self.server, timeout=1).close()
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise SystemExit((self.folder / "kamailio.log").read_text()[-2000:]) from None
                time.sleep(0.1)

    def has_died(self, within: float) -> bool:
        """Whether it has ended by itself, or does so now: a child that crashed takes the others with it."""
        assert self._process is not None
        try:
            self._process.wait(within)
        except subprocess.TimeoutExpired:
            return False
        return True

    def stop(self) -> None:
        """Stop it."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def chosen(wanted: list[str]) -> list[Trace]:
    """Return the XCAP traces that need nothing but clients: no passwords, no configuration, no SIP."""
    found = []
    for trace in select(load_suites(), wanted or ["rfc4825", "rfc4826", "rfc5025"]):
        setup = trace.setup
        spoken = {kind for one in setup.endpoints.values() for kind in one.transports}
        if spoken == {HTTP} and not (setup.users or setup.config or setup.route):
            found.append(trace)
    return found


def play(trace: Trace, kamailio: Kamailio, lenient: bool) -> Verdict:
    """Play one trace on Kamailio."""
    kamailio.start()
    world = HttpWorld(trace, kamailio.server, lenient)
    verdict = judge(trace, lambda: Player(trace, cast(Any, world)).play())
    if kamailio.has_died(20.0 if "nothing came" in verdict.reason else 0.0):
        verdict.outcome, verdict.reason = "fail", f"Kamailio died ({verdict.reason or 'after the answer'})"
    return verdict


def main() -> None:
    """Play, and print both numbers and the deviations as a Markdown table."""
    parser = argparse.ArgumentParser(
        description="XCAP traces on Kamailio's xcap_server, beside sansip's core"
    )
    parser.add_argument("wanted", nargs="*", help="suites, traces or sections; all of XCAP by default")
    parser.add_argument("--port", type=int, default=8190)
    given = parser.parse_args()
    if shutil.which("kamailio") is None or not SCHEMAS.is_dir():
        print("not installed: apt install kamailio kamailio-sqlite-modules kamailio-presence-modules")
        raise SystemExit(1 if os.environ.get("CI") == "true" else 0)
    traces = chosen(given.wanted)
    with tempfile.TemporaryDirectory() as folder:
        kamailio = Kamailio(Path(folder), given.port)
        try:
            strict = [play(trace, kamailio, False) for trace in traces]
            theirs = [play(trace, kamailio, True) for trace in traces]
        finally:
            kamailio.stop()
    ours = [play_on_core(trace) for trace in traces]
    named = (
        ("Kamailio", strict),
        ("Kamailio, its 200 to a new document taken for a 201", theirs),
        ("sansip", ours),
    )
    for name, verdicts in named:
        print(f"{name}: {sum(one.outcome == 'pass' for one in verdicts)} of {len(verdicts)} pass")
    print("\n| trace | level | section | what happened | sansip |\n|---|---|---|---|---|")
    for one, mine in zip(theirs, ours, strict=True):
        if one.outcome != "pass":
            reason = " ".join(one.reason.split()).replace("|", "\\|")[:160]
            sections = "; ".join(one.rfc or tuple(one.trace.rfc))
            print(f"| {one.trace.id} | {one.trace.level} | {sections} | {reason} | {mine.outcome} |")


if __name__ == "__main__":
    sys.exit(main())
