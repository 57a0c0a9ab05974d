"""`sansip serve` as a process: its output, its service, and its end."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from sansip_server.cli import sansip

ROOT = Path(__file__).parents[3]
LOOPBACK = ("--listen", "udp:127.0.0.1:0", "--listen", "tcp:127.0.0.1:0")


class Server:
    """A running `sansip serve`; ``lines`` is its standard output up to `ready`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        assert process.stdout is not None
        while "ready" not in self.lines:
            line = process.stdout.readline()
            if not line:
                raise AssertionError(f"it ended: {process.communicate()}")
            self.lines.append(line.rstrip("\n"))

    def port(self, transport: str, host: str = "127.0.0.1") -> int:
        (line,) = (line for line in self.lines if line.startswith(f"listening on {transport}:{host}:"))
        return int(line.rpartition(":")[2])

    def stop(self) -> tuple[int, str]:
        """Send SIGTERM; return the exit status and the log."""
        self.process.send_signal(signal.SIGTERM)
        _, log = self.process.communicate(timeout=40)
        return self.process.returncode, log


@contextmanager
def serve(*options: str) -> Iterator[Server]:
    command = [sys.executable, "-m", "sansip_server", "serve", *options]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, bufsize=1
    )
    try:
        yield Server(process)
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            stream.close()


def request(method: str, uri: str, number: int = 1, *more: str) -> bytes:
    lines = [
        f"{method} {uri} SIP/2.0",
        f"Via: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK{number};rport",
        "Max-Forwards: 70",
        "From: <sip:alice@localhost>;tag=a",
        "To: <sip:alice@localhost>",
        f"Call-ID: {number}",
        f"CSeq: {number} {method}",
        *more,
        "Content-Length: 0",
        "",
        "",
    ]
    return "\r\n".join(lines).encode()


def ask(server: Server, data: bytes) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(10)
        sock.sendto(data, ("127.0.0.1", server.port("udp")))
        return sock.recv(65_535).decode()


def test_ready_means_ready() -> None:
    """One line for each listener, with the port that 0 became, then `ready`; the log says who registers."""
    with serve(*LOOPBACK) as server:
        assert [re.sub(r"\d+$", "N", line) for line in server.lines] == [
            "runtime asyncio: not only UDP is listened on",
            "listening on udp:127.0.0.1:N",
            "listening on tcp:127.0.0.1:N",
            "ready",
        ]
        assert ask(server, request("OPTIONS", "sip:localhost")).startswith("SIP/2.0 200 OK\r\n")
        target = f"sip:127.0.0.1:{server.port('tcp')};transport=tcp"
        assert CliRunner().invoke(sansip, ["ping", target]).exit_code == 0
        status, log = server.stop()
    assert status == 0
    assert "registration is open, because only this machine can reach" in log
    assert "stopped" in log


def test_registers_and_refuses_strangers() -> None:
    """The default route at work: a registration is kept, a foreign domain is not relayed to."""
    with serve(*LOOPBACK) as server:
        contact = "Contact: <sip:alice@127.0.0.1:9>"
        answer = ask(server, request("REGISTER", "sip:localhost", 1, contact))
        assert answer.startswith("SIP/2.0 200 OK\r\n")
        assert "sip:alice@127.0.0.1:9" in answer
        foreign = ask(server, request("OPTIONS", "sip:bob@elsewhere.example", 2))
        assert foreign.startswith("SIP/2.0 403 ")
        _, log = server.stop()
    assert "sip:alice@localhost registered: 1 binding" in log


@pytest.mark.parametrize(("auth", "outcome"), [("none", "followed"), ("digest", "481")])
def test_hand_made_routes(auth: str, outcome: str, tmp_path: Path) -> None:
    """Followed on this machine alone; not where passwords are asked for: a web server may stand in front."""
    store = str(tmp_path / "users.db")
    CliRunner().invoke(sansip, ["user", "add", "alice@localhost", "--store", store, "--password", "x"])
    with (
        serve(*LOOPBACK, "--auth", auth, "--store", store) as server,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone,
    ):
        phone.bind(("127.0.0.1", 0))
        phone.settimeout(10)
        route = f"Route: <sip:127.0.0.1:{server.port('udp')};lr>"
        data = request("INFO", f"sip:x@127.0.0.1:{phone.getsockname()[1]}", 1, route)
        phone.sendto(data.replace(b"localhost>\r\nCall", b"localhost>;tag=b\r\nCall"),
                     ("127.0.0.1", server.port("udp")))  # fmt: skip
        first = phone.recv(65_535)
        assert first.startswith(b"INFO " if outcome == "followed" else b"SIP/2.0 481 ")


def test_every_name_of_the_server_is_the_same() -> None:
    """A phone that registered with an address is found under the domain, and under localhost."""
    with serve(*LOOPBACK, "--domain", "example.org") as server:
        ask(
            server,
            request("REGISTER", "sip:127.0.0.1", 1, "Contact: <sip:alice@127.0.0.1:9>").replace(
                b"@localhost>\r\nCall", b"@127.0.0.1>\r\nCall"
            ),
        )
        for number, domain in enumerate(("example.org", "localhost", "127.0.0.1"), 2):
            fetch = request("REGISTER", f"sip:{domain}", number).replace(
                b"@localhost>\r\nCall", f"@{domain}>\r\nCall".encode()
            )
            assert "Contact: <sip:alice@127.0.0.1:9>" in ask(server, fetch)
        assert server.stop()[0] == 0


def test_configuration_file(tmp_path: Path) -> None:
    """The file's listeners, route, server name and log; a route that fails is a 500 and a traceback."""
    (tmp_path / "route.py").write_text("def route(request):\n    raise KeyError('mine')\n")
    (tmp_path / "sansip.toml").write_text(
        'listen = ["udp:127.0.0.1:0"]\nroute = "route.py"\nserver_name = "mine"\nsecret_file = "secret"\n'
        '[log]\nformat = "json"\n'
    )
    with serve("--config", str(tmp_path / "sansip.toml")) as server:
        answer = ask(server, request("OPTIONS", "sip:localhost"))
        assert answer.startswith("SIP/2.0 500 ")
        assert "\r\nServer: mine\r\n" in answer
        _, log = server.stop()
    records = [json.loads(line) for line in log.splitlines()]
    (failure,) = (record for record in records if record["level"] == "error")
    assert failure["message"] == "the route failed for OPTIONS sip:localhost"
    assert "route.py" in failure["exception"]
    assert "KeyError: 'mine'" in failure["exception"]
    assert (tmp_path / "secret").stat().st_size == 32


def test_options_win_over_the_file(tmp_path: Path) -> None:
    """`--listen` and `--log-level` replace what the file says."""
    (tmp_path / "sansip.toml").write_text('listen = ["tcp:127.0.0.1:0"]\n')
    with serve(
        "--config", str(tmp_path / "sansip.toml"), "--listen", "udp:127.0.0.1:0", "--log-level", "error"
    ) as server:
        assert [line.partition(":")[0] for line in server.lines] == [
            "runtime blocking",
            "listening on udp",
            "ready",
        ]
        assert server.stop() == (0, "")


def test_open_to_a_network_when_told() -> None:
    """`--auth none` is the operator's word, and the log repeats it."""
    with serve("--listen", "udp:0.0.0.0:0", "--auth", "none") as server:
        assert server.port("udp")
        _, log = server.stop()
    assert "WARNING sansip.server: registration is open to everybody who can reach these addresses" in log


def test_faulty_file(tmp_path: Path) -> None:
    """Every fault is a line; nothing is started."""
    file = tmp_path / "sansip.toml"
    file.write_text("lisen = 1\n[limits]\nbranches = 0\n")
    result = CliRunner().invoke(sansip, ["serve", "--config", str(file)])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines() == [
        f"sansip: {file}:1: lisen: unknown key; did you mean listen?",
        f"sansip: {file}:3: limits.branches: expected a number above 0; found 0",
    ]


def test_without_uvloop(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing extra names the command that installs it."""
    monkeypatch.setitem(sys.modules, "uvloop", None)
    monkeypatch.setattr("sansip_server.logs.configure", lambda level, style: None)
    result = CliRunner().invoke(sansip, ["serve", "--uvloop", *LOOPBACK])
    assert result.exit_code == 2
    assert "pip install 'sansip[uvloop]'" in result.stderr


def test_sigint_ends_it_too() -> None:
    """Ctrl-C at a terminal is no crash."""
    with serve(*LOOPBACK) as server:
        server.process.send_signal(signal.SIGINT)
        _, log = server.process.communicate(timeout=40)
    assert server.process.returncode == 0
    assert "Traceback" not in log
