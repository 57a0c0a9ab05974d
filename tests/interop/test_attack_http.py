"""Ten thousand idle HTTP clients, and every way to be slow, huge or two-faced; calls go on beside them.

Theory of operation: SIPp calls over UDP without a break. First alone, then while the crowd below holds
the HTTP listener. No call may be lost, each attack must be cut by the limit that is meant for it, and an
operator is served meanwhile. CI runs a short form, ``SANSIP_HOSTILE=1`` the long one.
"""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from benchmarks.connections import resident
from tests.interop.conftest import OPTIONS, TARGET
from tests.interop.test_hostile_connections import Calls, percentiles
from tests.interop.test_http import until_closed
from tools import peers

LONG = bool(os.environ.get("SANSIP_HOSTILE"))
IDLE = 10_000 if LONG else 1_000
# Seconds that the crowd goes on.
SIEGE = 30.0 if LONG else 6.0
# Octets that an idle client may cost: half as much again as measured (3,232).
COST = 5_000
SPARE = 30_000_000
LOCAL = "127.0.0.1"
HEAD = b"POST /rpc HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
GET = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
SLOW = 3.0

pytestmark = [
    pytest.mark.needs("sipp"),
    pytest.mark.timeout(600 if LONG else 180),
    pytest.mark.skipif(TARGET != "sansip", reason="it is sansip's own listener"),
]

WIDE = f"""
http_connections = 20_000
http_connections_per_source = 20_000
http_time = {SLOW}
http_idle_time = 600.0
"""


class World:
    """The server, with an HTTP listener."""

    def __init__(self, directory: Path, limits: str = "") -> None:
        self.http = (LOCAL, peers.free_port())
        self.sip = (LOCAL, peers.free_port())
        command = [
            sys.executable,
            "-m",
            "sansip_server",
            "token",
            "ops",
            "--keys",
            str(directory / "keys.json"),
        ]
        self.token = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
        path = directory / "sansip.toml"
        path.write_text(
            f'[http]\nlisten = ["http:{LOCAL}:{self.http[1]}"]\nkeys = "keys.json"\n[limits]\n{limits}'
        )
        listeners = [f"udp:{LOCAL}:{self.sip[1]}"]
        self.program = peers.sansip_serve(
            directory, listeners, ["biloxi.test"], [*OPTIONS, "--config", str(path)]
        )

    def line(self, source: str = LOCAL) -> socket.socket:
        return socket.create_connection(self.http, timeout=30, source_address=(source, 0))

    def operator(self) -> int:
        """An operator asks with a token."""
        url = f"http://{LOCAL}:{self.http[1]}/metrics"
        asked = urllib.request.Request(url, headers={"Authorization": f"Bearer {self.token}"})
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return int(answer.status)


@contextmanager
def many_files() -> Iterator[None]:
    """As many sockets as the long form needs, in this process and in the server that it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def drip(world: World, head: bytes) -> str:
    """Send octet by octet until the server has enough of it."""
    with world.line() as sock:
        try:
            for octet in head * 100:
                sock.sendall(bytes((octet,)))
                time.sleep(0.05)
        except OSError:
            pass
        return until_closed(sock)[:12].decode()


def slow_head(world: World) -> str:
    return drip(world, b"GET / HTTP/1.1\r\nX-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaaa")


def slow_body(world: World) -> str:
    with world.line() as sock:
        sock.sendall(HEAD + b"Content-Length: 60000\r\n\r\n")
        return until_closed(sock)[:12].decode()


def huge_body(world: World) -> str:
    return said(world, HEAD + b"Content-Length: 99999999999999999999\r\n\r\n")


def tiny_chunks(world: World) -> str:
    """Half a megabyte of chunks of one octet each: its work is bounded, and done in parts."""
    return said(world, HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 80_000)


def long_head(world: World) -> str:
    return said(world, GET + b"X: y\r\n" * 10_000 + b"\r\n")


def two_lengths(world: World) -> str:
    """RFC 9112 11.2: the request inside is never read as one."""
    inner = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"
    answer = b""
    with world.line() as sock:
        sock.sendall(HEAD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + inner)
        answer = until_closed(sock)
    assert answer.count(b"HTTP/1.1 ") == 1, answer
    return answer[:12].decode()


def pipelined(world: World) -> str:
    """A thousand requests in one write: each is answered, and others get their turn between."""
    with world.line() as sock:
        sender = threading.Thread(
            target=sock.sendall, args=((GET + b"\r\n") * 999 + GET + b"Connection: close\r\n\r\n",)
        )
        sender.start()
        answer = until_closed(sock)
        sender.join()
    assert answer.count(b"HTTP/1.1 200 ") == 1_000
    return answer[:12].decode()


def no_token(world: World) -> str:
    body = b'[{"jsonrpc": "2.0", "id": 1, "method": "bindings"}]' * 100
    return said(world, HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)


def said(world: World, data: bytes) -> str:
    with world.line() as sock:
        try:
            sock.sendall(data)
        except OSError:
            pass  # closed with octets of ours unread
        return until_closed(sock)[:12].decode()


# The server's answer to each; "": closed before it could be read.
CROWD: dict[Callable[[World], str], tuple[str, ...]] = {
    slow_head: ("HTTP/1.1 408",),
    slow_body: ("HTTP/1.1 408",),
    huge_body: ("HTTP/1.1 413", "HTTP/1.1 400"),
    tiny_chunks: ("HTTP/1.1 400", ""),
    long_head: ("HTTP/1.1 431", ""),
    two_lengths: ("HTTP/1.1 400",),
    pipelined: ("HTTP/1.1 200",),
    no_token: ("HTTP/1.1 401", ""),
}


def attack(world: World, until: float, faults: list[str]) -> list[threading.Thread]:
    def go_on(one: Callable[[World], str]) -> None:
        try:
            while True:
                answer = one(world)
                if answer not in CROWD[one]:
                    faults.append(f"{one.__name__}: {answer!r}")
                if time.monotonic() > until:
                    return
        except BaseException as error:
            faults.append(f"{one.__name__}: {error!r}")

    threads = [threading.Thread(target=go_on, args=(one,), daemon=True) for one in CROWD]
    for thread in threads:
        thread.start()
    return threads


def test_ten_thousand_idle_and_a_crowd(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No call is lost, an operator is served, and an idle client costs little."""
    with many_files(), ExitStack() as stack:
        world = World(tmp_path, WIDE)
        stack.callback(world.program.stop)
        calls = Calls(tmp_path, world.sip, "u1")
        calls.begin(stack)
        while not calls.latencies:
            time.sleep(0.1)
        alone = len(calls.latencies)
        before = resident(world.program)
        idle = [stack.enter_context(world.line()) for _ in range(IDLE)]
        # Each is accepted, not only in the kernel's line.
        idle[-1].sendall(GET + b"\r\n")
        assert idle[-1].recv(4_096).startswith(b"HTTP/1.1 200 ")
        grown = resident(world.program) - before
        faults: list[str] = []
        threads = attack(world, time.monotonic() + SIEGE, faults)
        waited = []
        while any(thread.is_alive() for thread in threads):
            begun = time.monotonic()
            assert world.operator() == 200
            waited.append(time.monotonic() - begun)
            time.sleep(0.2)
        assert faults == []
        calls.end()
        for sock in (idle[0], idle[IDLE // 2]):
            sock.sendall(GET + b"\r\n")
            assert sock.recv(4_096).startswith(b"HTTP/1.1 200 ")
        said_so = [
            f"{IDLE} idle HTTP clients, {grown / IDLE:.0f} octets each; {calls.placed} calls, none lost"
        ]
        said_so.append(f"calls before: {percentiles(calls.latencies[:alone] or [0.0])}")
        said_so.append(f"calls meanwhile: {percentiles(calls.latencies[alone:])}")
        said_so.append(f"operator: most {max(waited) * 1000:.0f} ms")
        with capsys.disabled():
            sys.stdout.write("\n" + "\n".join(said_so) + "\n")
        assert grown < IDLE * COST + SPARE
    assert "Traceback" not in world.program.output()


def test_strangers_do_not_keep_the_operator_out(tmp_path: Path) -> None:
    """By default one address has 50 connections, all have 1,000, and an idle one makes room."""
    with many_files(), ExitStack() as stack:
        world = World(tmp_path)
        stack.callback(world.program.stop)
        idle = [stack.enter_context(world.line(f"127.0.2.{number % 24 + 1}")) for number in range(24 * 50)]
        assert world.operator() == 200
        idle[-1].sendall(GET + b"\r\n")
        assert idle[-1].recv(4_096).startswith(b"HTTP/1.1 200 ")
        assert until_closed(idle[0]) == b""
