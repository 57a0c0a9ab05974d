"""The process ``sansip serve`` as its supervisor sees it: lines, signals, exit statuses."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.interop.conftest import TARGET
from tools.peers import Program, free_port, sansip_serve

pytestmark = pytest.mark.skipif(TARGET != "sansip", reason="tests the command `sansip` itself")

SANSIP = [sys.executable, "-m", "sansip_server"]


def request(method: str, port: int, user: str, *, to: str = "", more: str = "", number: int = 1) -> bytes:
    """Return a request from 127.0.0.1:``port`` about ``user``."""
    target = "sip:biloxi.test" if method == "REGISTER" else f"sip:{user}@biloxi.test"
    return (
        f"{method} {target} SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK{method}{number};rport\r\n"
        f"Max-Forwards: 70\r\nFrom: <sip:{user}@biloxi.test>;tag=a\r\nTo: <sip:{user}@biloxi.test>{to}\r\n"
        f"Call-ID: {user}-{number}@127.0.0.1\r\nCSeq: {number} {method}\r\n"
        f"Contact: <sip:{user}@127.0.0.1:{port}>\r\n{more}Content-Length: 0\r\n\r\n"
    ).encode()


def final_response(sock: socket.socket) -> bytes:
    """Return the next response that is not provisional."""
    while True:
        data = sock.recv(65_535)
        if data.startswith(b"SIP/2.0 ") and not data.startswith(b"SIP/2.0 1"):
            return data


def serve(tmp_path: Path, *options: str) -> tuple[Program, int]:
    port = free_port()
    listeners = [f"udp:127.0.0.1:{port}", f"tcp:127.0.0.1:{port}"]
    return sansip_serve(tmp_path, listeners, ["biloxi.test"], options), port


def test_says_where_it_listens_and_when_it_is_ready(tmp_path: Path) -> None:
    """A supervisor reads these lines: one per listener, then `ready`, when the server serves."""
    program, port = serve(tmp_path)
    with program:
        lines = [line for line in program.output().splitlines() if line.startswith(("listening on", "ready"))]
        assert lines == [f"listening on udp:127.0.0.1:{port}", f"listening on tcp:127.0.0.1:{port}", "ready"]
        socket.create_connection(("127.0.0.1", port), timeout=5).close()


@pytest.mark.parametrize("runtime", [(), ("--uvloop",)], ids=["asyncio", "uvloop"])
def test_sigterm_ends_it_in_order(runtime: tuple[str, ...], tmp_path: Path) -> None:
    """With nothing under way SIGTERM ends it at once, with status 0."""
    program, _ = serve(tmp_path, *runtime)
    with program:
        program.terminate()
        assert program.wait(5) == 0
        assert "Traceback" not in program.output()


def test_drain_lets_what_runs_finish(tmp_path: Path) -> None:
    """After SIGTERM a new call gets 503 with Retry-After; a call that rings is still put through."""
    program, port = serve(tmp_path)
    server = ("127.0.0.1", port)
    with (
        program,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as caller,
    ):
        for sock in (phone, caller):
            sock.bind(("127.0.0.1", 0))
            sock.settimeout(10)
        phone.sendto(request("REGISTER", phone.getsockname()[1], "bob"), server)
        assert final_response(phone).startswith(b"SIP/2.0 200 ")
        caller.sendto(request("INVITE", caller.getsockname()[1], "bob", number=2), server)
        invite = phone.recv(65_535)
        assert invite.startswith(b"INVITE ")
        program.terminate()
        program.wait_for("(?i)drain|finish|stop", 5)
        caller.sendto(request("INVITE", caller.getsockname()[1], "bob", number=3), server)
        refusal = final_response(caller)
        assert refusal.startswith(b"SIP/2.0 503 ")
        assert b"\r\nRetry-After:" in refusal
        # The callee is busy after all: what was under way is finished.
        copied = [
            line
            for line in invite.split(b"\r\n")
            if line.startswith((b"Via:", b"From:", b"Call-ID:", b"CSeq:"))
        ]
        to = next(line for line in invite.split(b"\r\n") if line.startswith(b"To:"))
        phone.sendto(
            b"\r\n".join([b"SIP/2.0 486 Busy Here", *copied, to + b";tag=b", b"Content-Length: 0", b"", b""]),
            server,
        )
        assert final_response(caller).startswith(b"SIP/2.0 486 ")
        caller.sendto(
            request("ACK", caller.getsockname()[1], "bob", to=";tag=b", number=2).replace(
                b"kACK", b"kINVITE"
            ),
            server,
        )


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_port_in_use(transport: str, tmp_path: Path) -> None:
    """One clear line that names the address, status 2, nothing on standard output."""
    kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        if transport == "tcp":
            taken.listen()
        listener = f"{transport}:127.0.0.1:{taken.getsockname()[1]}"
        done = run_serve("--listen", listener)
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert listener in line
    assert "in use" in line


@pytest.mark.parametrize(
    "options",
    [
        ("--listen", "udp:0.0.0.0:5060"),
        ("--listen", "carrier-pigeon:127.0.0.1:5060"),
        ("--listen", "udp:127.0.0.1:99999"),
        ("--runtime", "abacus"),
        ("--no-such-option",),
        ("--config", "/nonexistent/sansip.toml"),
    ],
    ids=lambda options: " ".join(options),
)
def test_a_mistake_is_one_line_and_status_2(options: tuple[str, ...]) -> None:
    """A traceback helps no operator; a line that names the mistake does."""
    done = run_serve(*options)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "Traceback" not in done.stderr


def run_serve(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*SANSIP, "serve", *options],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        stdin=subprocess.DEVNULL,
    )
