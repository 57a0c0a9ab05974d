"""The example package, installed by pip: its protocol over TCP, TLS, WebSocket, and its outer half."""

from __future__ import annotations

import json
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.certificates import Authority, context_for_threads
from tests.interop.test_module_faults import Serving
from tests.missing import needed
from tools.peers import free_port, sansip_serve

pytestmark = pytest.mark.interop

ROOT = Path(__file__).parents[2]
HOST = "127.0.0.1"
INVITE = (
    "INVITE sip:{user}@example.com SIP/2.0\r\n"
    "Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK{number};rport\r\n"
    "Max-Forwards: 70\r\nFrom: <sip:a@elsewhere.example>;tag=1\r\nTo: <sip:{user}@example.com>\r\n"
    "Call-ID: {number}\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
)


OPTIONS = (
    "OPTIONS sip:example.com SIP/2.0\r\nVia: SIP/2.0/WS x.invalid;branch=z9hG4bKw\r\nMax-Forwards: 70\r\n"
    "From: <sip:a@example.com>;tag=1\r\nTo: <sip:example.com>\r\nCall-ID: w\r\n"
    "CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the example package, put there by pip."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--target"]
    done = subprocess.run(
        [*command, str(folder), str(ROOT / "examples" / "module")],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def environment(installed: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setenv("PYTHONPATH", f"{installed}:{':'.join(sys.path)}")
    return {"PYTHONPATH": os.environ["PYTHONPATH"], "PATH": "/usr/bin:/bin"}


def call(port: int, user: str) -> str:
    """Call ``user``; return the first line of the final answer."""
    call.number += 1  # type: ignore[attr-defined]  # state kept with a function
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        phone.settimeout(5)
        phone.connect((HOST, port))
        number = call.number  # type: ignore[attr-defined]  # state kept with a function
        phone.send(INVITE.format(user=user, port=phone.getsockname()[1], number=f"c{number}").encode())
        while (answer := phone.recv(65_535).decode()).startswith("SIP/2.0 1"):
            pass
    return answer.partition("\r\n")[0]


call.number = 0  # type: ignore[attr-defined]  # state kept with a function


def quiet_now() -> list[str]:
    hour = int(time.time() // 3600) % 24
    return ["user=bob", f"begin={hour}", f"end={(hour + 2) % 24}"]


TOLD = {"user": "bob", "caller": "sip:a@elsewhere.example"}


@pytest.mark.parametrize("runtime", ["asyncio", "gevent", "trio", "curio"])
def test_boards_by_each_way(tmp_path: Path, environment: dict[str, str], runtime: str) -> None:
    """TCP, TLS, WebSocket and secure WebSocket; SIP goes on at the same WebSocket port; replay is exact."""
    needed(runtime)
    from websockets.sync.client import connect

    authority = Authority(tmp_path)
    certificate = authority.issue("board.pem", "localhost", "example.com")
    port, ws, wss, plain, secure, shared = (free_port() for _ in range(6))
    config = tmp_path / "sansip.toml"
    config.write_text(
        f'[quiet_hours]\nlisten = ["quiet:{HOST}:{plain}", "quiets:{HOST}:{secure}"]\n'
        f'[tls]\ncertificate = "{certificate}"\n[http]\nlisten = ["http:{HOST}:{shared}"]\n'
    )
    journal = tmp_path / "journal"
    options = ["--config", str(config), "--control", f"{tmp_path}/ctl", "--runtime", runtime]
    options += ["--journal", str(journal)]
    places = [f"udp:{HOST}:{port}", f"ws:{HOST}:{ws}", f"wss:{HOST}:{wss}", f"ws:{HOST}:{shared}"]
    with sansip_serve(tmp_path, places, ["example.com"], options) as program:
        server = Serving(program, port, tmp_path, environment)
        assert f"listening on quiet:{HOST}:{plain}" in program.output()
        server.ctl("quiet_hours.set", *quiet_now())
        trusting = ssl.create_default_context(cafile=str(authority.authority))
        with (
            socket.create_connection((HOST, plain), 5) as tcp,
            trusting.wrap_socket(
                socket.create_connection((HOST, secure), 5), server_hostname="localhost"
            ) as tls,
            connect(f"ws://{HOST}:{ws}/", subprotocols=["quiet"]) as web,  # type: ignore[list-item]  # a plain str does
            connect(f"ws://{HOST}:{ws}/", subprotocols=["sip"]) as phone,  # type: ignore[list-item]  # a plain str does
            connect(f"ws://{HOST}:{ws}/", subprotocols=["quiet", "sip"]) as first,  # type: ignore[list-item]  # a plain str does
            connect(
                f"wss://localhost:{wss}/",
                subprotocols=["quiet"],  # type: ignore[list-item]  # a plain str does
                ssl=context_for_threads(authority.authority),
            ) as sealed,
            # A port that HTTP has as well.
            connect(f"ws://{HOST}:{shared}/", subprotocols=["quiet"]),  # type: ignore[list-item]  # a plain str does
        ):
            assert first.subprotocol == "quiet"
            assert phone.subprotocol == "sip"
            tcp.sendall(b"bo")
            tcp.sendall(b"b\n")
            tls.sendall(b"*\n")
            web.send("*")
            sealed.send("*")
            phone.send(OPTIONS)
            assert str(phone.recv(5)).startswith("SIP/2.0 200")
            settle(server, 6)
            assert call(port, "bob") == "SIP/2.0 480 Quiet Hours"
            assert json.loads(tcp.makefile().readline()) == TOLD
            assert json.loads(tls.recv(1_000)) == TOLD
            assert json.loads(web.recv(5)) == TOLD
            assert json.loads(sealed.recv(5)) == TOLD
            # A connection with an unknown protocol, or without a line end, is closed; the others go on.
            with socket.create_connection((HOST, plain), 5) as other:
                other.sendall(b"x" * 5_000)
                assert other.recv(100) == b""
            assert call(port, "bob") == "SIP/2.0 480 Quiet Hours"
            assert json.loads(web.recv(5)) == TOLD
        assert "Traceback" not in server.log
    assert "a message of more than 256 octets (limits.link_message)" in (tmp_path / "sansip.log").read_text()
    done = subprocess.run(
        [sys.executable, "-m", "sansip_server", "replay", str(journal)],
        env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def settle(server: Serving, links: int) -> None:
    """Wait until that many boards are connected, and the server has read their messages."""
    deadline = time.monotonic() + 5
    while json.loads(server.ctl("stats", "--json"))["links"] != links:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.2)


def test_it_listens_as_long_as_it_is_there(tmp_path: Path, environment: dict[str, str]) -> None:
    """A reload opens and closes its ports, and ends its connections with it; faults have their line."""
    port, plain, other = free_port(), free_port(), free_port()
    config = tmp_path / "sansip.toml"
    config.write_text("")
    options = ["--config", str(config), "--control", f"{tmp_path}/ctl"]
    with sansip_serve(tmp_path, [f"udp:{HOST}:{port}"], ["example.com"], options) as program:
        server = Serving(program, port, tmp_path, environment)

        def reload(text: str) -> str:
            config.write_text(text)
            return server.ctl("reload")

        for listen, said in (
            ("udp:127.0.0.1:1", r"expected quiet or quiets and an address, like quiet:127\.0\.0\.1:2855"),
            ("quiet:127.0.0.1", r"expected a port, like quiet:127\.0\.0\.1:2855"),
            ("quiets:127.0.0.1:1", r"quiets:127\.0\.0\.1:1 needs tls\.certificate"),
            ("quiet:there:1", r"there is no IP address"),
        ):
            text = reload(f'[quiet_hours]\nlisten = ["{listen}"]\n')
            assert re.search(rf"sansip\.toml:2: quiet_hours\.listen\[0\]: {said}", text), text
        assert "is new" in reload(f'[quiet_hours]\nlisten = ["quiet:{HOST}:{plain}"]\n')
        with socket.create_connection((HOST, plain), 5) as board:
            board.sendall(b"*\n")
            server.ctl("quiet_hours.set", *quiet_now())
            assert call(port, "bob") == "SIP/2.0 480 Quiet Hours"
            assert board.recv(1_000).startswith(b'{"user"')
            # Another port: open connections stay.
            assert "listeners" in reload(f'[quiet_hours]\nlisten = ["quiet:{HOST}:{other}"]\n')
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((HOST, plain), 5)
            socket.create_connection((HOST, other), 5).close()
            assert call(port, "bob") == "SIP/2.0 480 Quiet Hours"
            assert board.recv(1_000).startswith(b'{"user"')
            assert "which goes" in reload("")
            assert board.recv(1_000) == b""
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((HOST, other), 5)
        assert call(port, "bob") == "SIP/2.0 404 Not Found"
        with socket.create_server((HOST, plain)):
            text = reload(f'[quiet_hours]\nlisten = ["quiet:{HOST}:{plain}"]\n')
            assert re.search(
                r"sansip\.toml:2: quiet_hours\.listen\[0\]: cannot listen on quiet:.*in use", text
            ), text


@pytest.fixture
def days() -> Iterator[tuple[HTTPServer, list[str]]]:
    """A web server with a list of days, and a switch that makes it hang."""
    state = ["2001-01-01"]

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if state[0] == "hang":
                time.sleep(20)
            body = "\n".join(state).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *given: object) -> None: ...

    server = HTTPServer((HOST, 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server, state
    server.shutdown()
    server.server_close()


def test_its_outer_half(
    tmp_path: Path, environment: dict[str, str], days: tuple[HTTPServer, list[str]]
) -> None:
    """Holidays of a real web server; when that hangs calls go on, and health and figures say so."""
    web, state = days
    port = free_port()
    config = tmp_path / "sansip.toml"
    config.write_text(f'[quiet_hours]\nrefresh = 0.3\nholidays = "http://{HOST}:{web.server_port}/days"\n')
    options = ["--config", str(config), "--control", f"{tmp_path}/ctl"]
    with sansip_serve(tmp_path, [f"udp:{HOST}:{port}"], ["example.com"], options) as program:
        server = Serving(program, port, tmp_path, environment)
        hour = (int(time.time() // 3600) + 6) % 24
        server.ctl("quiet_hours.set", "user=bob", f"begin={hour}", f"end={(hour + 1) % 24}")
        assert call(port, "bob") == "SIP/2.0 404 Not Found"
        state[0] = time.strftime("%Y-%m-%d", time.gmtime())
        deadline = time.monotonic() + 5
        while call(port, "bob") != "SIP/2.0 480 Quiet Hours":
            assert time.monotonic() < deadline
            time.sleep(0.1)
        figures = json.loads(server.ctl("stats", "--json"))["parts"]["quiet_hours"]
        assert figures["holidays"] == 1
        assert figures["reads"] >= 2
        state[0] = "hang"
        begun = time.monotonic()
        while time.monotonic() - begun < 7:
            asked = time.monotonic()
            assert call(port, "bob") == "SIP/2.0 480 Quiet Hours"
            assert time.monotonic() - asked < 0.5
            time.sleep(0.5)
        assert re.search(r"quiet_hours\.part : fails: holidays: .*timed out", server.ctl("health"))
