"""A route with look-ups in SQL, over HTTP and in Redis, all real, while one of them hangs."""

from __future__ import annotations

import http.server
import json
import os
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.interop.conftest import OPTIONS
from tests.interop.line import Line
from tests.interop.siege import request
from tools.peers import Program, free_port, sansip_serve
from tools.redises import HOST, cli, redis_server

pytestmark = pytest.mark.needs("redis-server", "redis-cli")
ROUTE = Path(__file__).parents[2] / "examples" / "routes" / "lookups.py"
HANGS = "sip:+4930999@siege.test"


class Credit(http.server.BaseHTTPRequestHandler):
    """Everybody has 5, ``poor`` has nothing, and a request for ``slow`` waits for ever."""

    def do_GET(self) -> None:
        if "user=slow" in self.path:
            time.sleep(4)
        body = json.dumps({"credit": 0 if "user=poor" in self.path else 5}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:
            pass

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is printed."""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Program, int, int]]:
    """The server's program and port, and the port of its gateway."""
    redis, port, gateway = free_port(), free_port(), free_port()
    with sqlite3.connect(tmp_path / "numbers.db") as connection:
        connection.execute("CREATE TABLE numbers (username TEXT, number TEXT)")
        connection.execute("INSERT INTO numbers VALUES ('alice', '+4930111')")
    connection.close()
    web = http.server.ThreadingHTTPServer((HOST, 0), Credit)
    web.daemon_threads = True
    threading.Thread(target=web.serve_forever, daemon=True).start()
    monkeypatch.setenv("LOOKUP_DATABASE", f"sqlite:///{tmp_path / 'numbers.db'}")
    monkeypatch.setenv("LOOKUP_CREDIT", f"http://{HOST}:{web.server_address[1]}/credit")
    monkeypatch.setenv("LOOKUP_REDIS", f"redis://{HOST}:{redis}/0")
    monkeypatch.setenv("LOOKUP_GATEWAY", f"{HOST}:{gateway}")
    with redis_server(tmp_path / "redis", redis):
        cli(redis, "sadd", "blocked", "+4930666")
        options = [*OPTIONS, "--route", str(ROUTE)]
        with sansip_serve(tmp_path, [f"udp:{HOST}:{port}"], ["siege.test"], options) as program:
            yield program, port, gateway
            assert "Traceback" not in program.output()
    web.shutdown()
    web.server_close()


def call(line: Line, user: str, number: str) -> bytes:
    """Call; return the final answer, or the 100 where that is all."""
    line.send(request("INVITE", f"sip:{number}@siege.test", line, from_=f"<sip:{user}@siege.test>;tag=1"))
    while (answer := line.receive()).startswith(b"SIP/2.0 100"):
        pass
    return answer.partition(b"\r\n")[0]


def test_look_ups(server: tuple[Program, int, int]) -> None:
    """Each decides; and while the web service hangs, calls that do not ask it are routed at once."""
    _, port, gateway = server
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as trunk,
        Line("udp", (HOST, port)) as alice,
        Line("udp", (HOST, port)) as slow,
    ):
        trunk.bind((HOST, gateway))
        trunk.settimeout(5)
        assert call(alice, "alice", "+4930666") == b"SIP/2.0 603 Blocked"
        assert call(alice, "poor", "+4930111") == b"SIP/2.0 402 No Credit"
        slow.send(request("INVITE", HANGS, slow, from_="<sip:slow@siege.test>;tag=1"))
        begun = time.monotonic()
        alice.send(request("INVITE", "sip:+4930222@siege.test", alice, from_="<sip:alice@siege.test>;tag=2"))
        invite = trunk.recv(65_535)
        waited = time.monotonic() - begun
        assert b"INVITE sip:+4930222@" in invite
        assert b"P-Asserted-Identity: <sip:+4930111@siege.test>" in invite
        while (answer := slow.receive()).startswith(b"SIP/2.0 100"):
            pass
        # The one that hangs is given up after its second.
        assert answer.startswith(b"SIP/2.0 503 Look-Up Failed")
        assert waited < time.monotonic() - begun


def test_a_gateway_that_says_nothing(server: tuple[Program, int, int]) -> None:
    """It has four seconds; the caller reads that the gateway did not answer."""
    _, port, gateway = server
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as trunk, Line("udp", (HOST, port)) as alice:
        trunk.bind((HOST, gateway))
        alice.send(request("INVITE", "sip:+4930222@siege.test", alice, from_="<sip:alice@siege.test>;tag=2"))
        while (answer := alice.receive(10)).startswith(b"SIP/2.0 100"):
            pass
        assert answer.startswith(b"SIP/2.0 480 Nobody Answered")


def test_redis_is_gone(server: tuple[Program, int, int]) -> None:
    """A look-up that fails is the caller's 503, and others go on."""
    program, port, _ = server
    url = os.environ["LOOKUP_REDIS"]
    cli(int(url.rpartition(":")[2].partition("/")[0]), "shutdown", "nosave")
    with Line("udp", (HOST, port)) as alice:
        assert call(alice, "alice", "+4930222") == b"SIP/2.0 503 Look-Up Failed"
        alice.send(request("OPTIONS", "sip:siege.test", alice))
        assert alice.receive().startswith(b"SIP/2.0 200")
    assert program.process.poll() is None
