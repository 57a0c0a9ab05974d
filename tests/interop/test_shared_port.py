"""One port for all transports, and HAProxy in front of it with the PROXY protocol."""

from __future__ import annotations

import itertools
import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.interop.conftest import OPTIONS, TARGET
from tests.interop.phone import Message, Phone
from tools import peers

HOST = "127.0.0.1"
# Where HAProxy's connections come from: the only ones that are believed.
BALANCER = "127.33.0.7"
DOMAIN = "shared.test"
TRANSPORTS = ("tcp", "tls", "ws", "wss")

pytestmark = pytest.mark.skipif(TARGET != "sansip", reason="it is sansip's own behaviour")


class Server:
    """All stream transports on one port; ``trust`` names the proxies that must announce their clients."""

    def __init__(self, directory: Path, trust: str = "") -> None:
        self.authority = Authority(directory)
        certificate = self.authority.issue("server.pem", DOMAIN, HOST)
        self.address = (HOST, peers.free_port())
        listener = f"{'+'.join(TRANSPORTS)}:{HOST}:{self.address[1]}"
        if trust:
            listener += f" proxy_protocol {trust}"
        options = [*OPTIONS, "--auth", "none", "--certificate", str(certificate)]
        self.program = peers.sansip_serve(
            directory, [f"udp:{HOST}:{self.address[1]}", listener], [DOMAIN], options
        )

    def phone(self, user: str, transport: str, at: tuple[str, int] | None = None) -> Phone:
        return Phone(user, DOMAIN, transport, at or self.address, self.authority.authority)


def call(one: Phone, other: Phone) -> Message:
    """A call all the way, hung up by the called; return the INVITE as it arrived."""
    one.register()
    other.register()
    one.invite(other.aor)
    invite = other.expect("INVITE")
    other.answer(invite, "200 OK")
    one.established(one.expect("200"))
    other.expect("ACK")
    other.within("BYE")
    one.answer(one.expect("BYE"), "200 OK")
    other.expect("200")
    return invite


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    with server.program:
        yield server
        assert "Traceback" not in server.program.output()


def test_all_transports_on_one_port(server: Server) -> None:
    """Every pair calls; our Via says what each connection really is, and UDP is beside them."""
    with ExitStack() as stack:
        kinds = ("udp", *TRANSPORTS)
        callers, called = (
            {kind: stack.enter_context(server.phone(f"{kind}-{side}", kind)) for kind in kinds}
            for side in "ab"
        )
        for one, other in itertools.product(kinds, kinds):
            invite = call(callers[one], called[other])
            assert invite.all("via")[0].startswith(f"SIP/2.0/{other.upper()} {HOST}:{server.address[1]};")


@pytest.mark.parametrize(
    ("request_line", "answer"),
    [("GET /status HTTP/1.1", b"HTTP/1.1 426 "), ("POST / HTTP/1.1", b"HTTP/1.1 405 ")],
)
def test_plain_http(server: Server, request_line: str, answer: bytes) -> None:
    """A browser that wanders in is told what the port is for."""
    with socket.create_connection(server.address, timeout=5) as sock:
        sock.sendall(f"{request_line}\r\nHost: {DOMAIN}\r\n\r\n".encode())
        received = b""
        while data := sock.recv(4096):
            received += data
    assert received.startswith(answer)
    assert b"WebSocket" in received


HAPROXY = """
defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend one
  bind {host}:{v1}
  use_backend one
frontend two
  bind {host}:{v2}
  use_backend two
backend one
  source {balancer}
  server sansip {host}:{server} send-proxy
backend two
  source {balancer}
  server sansip {host}:{server} send-proxy-v2 proxy-v2-options crc32c,unique-id check inter 200ms
"""


@pytest.mark.needs("haproxy")
def test_behind_haproxy(tmp_path: Path) -> None:
    """Versions 1 and 2: the phone's own address and port are in its Via, TLS and WebSocket pass through."""
    server = Server(tmp_path, BALANCER)
    v1, v2 = peers.free_port(), peers.free_port()
    config = tmp_path / "haproxy.cfg"
    config.write_text(HAPROXY.format(host=HOST, balancer=BALANCER, server=server.address[1], v1=v1, v2=v2))
    with ExitStack() as stack:
        stack.enter_context(server.program)
        stack.enter_context(peers.Program(["haproxy", "-db", "-f", str(config)], tmp_path / "haproxy.log"))
        wait_for_port(v2)
        fronts = itertools.cycle(((HOST, v1), (HOST, v2)))
        a, b = (
            {
                kind: stack.enter_context(server.phone(f"{kind}-{side}", kind, next(fronts)))
                for kind in TRANSPORTS
            }
            for side in "ab"
        )
        for one, other in zip(TRANSPORTS, reversed(TRANSPORTS), strict=True):
            invite = call(a[one], b[other])
            # The caller's own Via, with its real address (RFC 3581 4).
            via = invite.all("via")[1]
            port = a[one].local[1]
            assert re.search(rf";rport={port}(;|$)", via), via
            assert f";received={HOST}" in via
        # A peer that is none of the balancers is not let in, whatever it announces.
        with socket.create_connection(server.address, timeout=5) as sock:
            sock.sendall(b"PROXY TCP4 198.51.100.1 127.0.0.1 5060 5060\r\n\r\n\r\n")
            try:
                assert sock.recv(100) == b""
            except ConnectionResetError:
                pass
        log = server.program.output()
        assert f"{HOST} is none of the proxies" in log
        assert "Traceback" not in log


def wait_for_port(port: int) -> None:
    """Return once HAProxy accepts."""
    for _ in range(100):
        try:
            socket.create_connection((HOST, port), timeout=1).close()
        except ConnectionRefusedError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("HAProxy does not listen")
