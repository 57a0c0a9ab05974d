"""Workers and HTTP on the port of a WebSocket listener: workers accept what the parent answers."""

from __future__ import annotations

import json
import socket
import ssl
import sys
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from tests.certificates import Authority, context_for_threads
from tests.interop.conftest import TARGET
from tests.interop.phone import Phone
from tests.interop.workers import Crew
from tools.peers import free_port

pytestmark = [
    pytest.mark.skipif(TARGET != "sansip", reason="workers are sansip's"),
    pytest.mark.skipif(sys.platform != "linux", reason="workers need Linux"),
]
# Connections of which each worker of three gets some, but for once in 5,000 runs.
SENDERS = 24


class _Shared:
    """Workers on a WebSocket port and a secure one, which are ports of HTTP as well."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.ports = {name: free_port() for name in ("udp", "ws", "wss")}
        self.authority = Authority(directory)
        certificate = self.authority.issue("server.pem", "localhost", "127.0.0.1")
        listen = f'"http:127.0.0.1:{self.ports["ws"]}", "https:127.0.0.1:{self.ports["wss"]}"'
        self.crew = stack.enter_context(
            Crew(
                directory,
                workers=3,
                transports=tuple(self.ports),
                ports=self.ports,
                config=f'[tls]\ncertificate = "{certificate}"\n[http]\nlisten = [{listen}]\n',
            )
        )
        self.trust = ssl.create_default_context(cafile=str(self.authority.authority))

    def get(self, name: str, path: str = "/health") -> dict[str, Any]:
        url = f"{'https' if name == 'wss' else 'http'}://localhost:{self.ports[name]}{path}"
        context = self.trust if name == "wss" else None
        with urllib.request.urlopen(url, context=context, timeout=20) as answer:
            said: dict[str, Any] = json.loads(answer.read())
            return said


def test_one_port_for_http_and_websocket(tmp_path: Path) -> None:
    """Operators on the port of the phones: each worker gives the parent what is HTTP, through TLS as well."""
    with ExitStack() as stack:
        server = _Shared(tmp_path, stack)
        crew, domain = server.crew, server.crew.domain
        for name in ("ws", "wss"):
            assert f"listening on {'https' if name == 'wss' else 'http'}:127.0.0.1" in crew.log
            with Phone("bob", domain, name, crew.address(name), server.authority.authority) as phone:
                phone.register()
                # From as many ports that each worker has some.
                for _ in range(SENDERS):
                    assert server.get(name)["parts"]["workers"]["name"] == "3 of 3"
                # A long answer, and many requests in one connection.
                one = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"
                with socket.create_connection(crew.address(name), timeout=20) as plain, ExitStack() as inner:
                    line = plain
                    if name == "wss":
                        line = inner.enter_context(
                            server.trust.wrap_socket(plain, server_hostname="localhost")
                        )
                    line.sendall(one * 50)
                    got = b""
                    while got.count(b"HTTP/1.1 200") < 50 or not got.endswith(b"\n"):
                        more = line.recv(65_536)
                        assert more
                        got += more
                    # The end comes as an end of TLS (RFC 8446 6.1), not as a reset.
                    line.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                    while more := line.recv(65_536):
                        got += more
                    assert got.count(b"HTTP/1.1 200") == 51
        context = context_for_threads(server.authority.authority)
        with connect(
            f"wss://localhost:{server.ports['wss']}/rpc",
            ssl=context,
            subprotocols=[Subprotocol("jsonrpc.sansip")],
        ) as follower:
            follower.send(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "events.follow"}))
            assert json.loads(follower.recv(10))["result"] == {"following": True}
            [line_] = crew.lines(1)
            assert crew.register("alice", line_) == "200"
            assert json.loads(follower.recv(10))["params"]["aor"] == f"sip:alice@{domain}"
        for number in range(3):
            crew.kill(number)
            assert server.get("wss")["parts"]["workers"]["name"] == "3 of 3"


def test_a_shared_port_bounds_clients_over_all_workers(tmp_path: Path) -> None:
    """``limits.http_connections_per_source`` holds in sum: the clients of all workers are counted once."""
    with ExitStack() as stack:
        server = _Shared(tmp_path, stack)
        held = []
        for _ in range(200):
            sock = stack.enter_context(socket.create_connection(server.crew.address("ws"), timeout=20))
            sock.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            held.append(bool(sock.recv(1)))
        assert 0 < sum(held) < 200
        assert not held[-1]
        stack.pop_all().close()
