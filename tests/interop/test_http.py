"""HTTP for operators, live: roles by tokens, figures, and clients that are slow, many or false.

Theory of operation: the installed server with a key file of ``sansip token``; requests go out as octets
over raw sockets, while the rig's honest client of SIP never waits.
"""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from sansip.auth import ha1
from tests.certificates import Authority, context_for_threads
from tests.interop.phone import Phone
from tests.interop.siege import LOCAL, Siege
from tools import peers

SANSIP = [sys.executable, "-m", "sansip_server"]
CONFIG = """
[http]
listen = [
  "http:127.0.0.1:{port}", "https:127.0.0.1:{secure}",
  "http:127.0.0.1:{shared}", "https:127.0.0.1:{shared}",
]
keys = "keys.json"

[[http.users]]
name = "ops"
role = "operate"
ha1 = ["SHA-256:{key}"]

[tls]
certificate = "server.pem"

[limits]
http_time = 2.0
http_idle_time = 3.0
http_connections = 300
http_connections_per_source = 200
http_answer_time = 1.5
"""


KEY = ha1("ops", "sansip", "secret", "SHA-256")


class Site:
    """A server with HTTP; ``read`` and ``operate`` are tokens."""

    def __init__(self, directory: Path, runtime: str = "asyncio", before: str = "") -> None:
        self.port, self.secure, self.shared = (peers.free_port() for _ in range(3))
        self.authority = Authority(directory)
        self.authority.issue("server.pem", LOCAL, "localhost")
        self.tokens = {role: self._token(directory, role) for role in ("read", "operate")}
        config = before + CONFIG.format(port=self.port, secure=self.secure, shared=self.shared, key=KEY)
        options = ["--runtime", runtime, "--listen", f"tcp+tls+ws+wss:{LOCAL}:{self.shared}"]
        self.siege = Siege(directory, config=config, options=options)

    @staticmethod
    def _token(directory: Path, role: str) -> str:
        command = [*SANSIP, "token", "ops", "--role", role, "--keys", str(directory / "keys.json")]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def get(self, path: str, token: str | None = None, **headers: str) -> tuple[int, bytes]:
        """Return status and body."""
        return self._ask(urllib.request.Request(f"http://{LOCAL}:{self.port}{path}", headers=headers), token)

    def call(self, method: str, token: str | None = "operate", **params: Any) -> Any:
        """Return what JSON-RPC answers."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        request = urllib.request.Request(
            f"http://{LOCAL}:{self.port}/rpc", body, {"Content-Type": "application/json"}
        )
        status, answer = self._ask(request, token)
        return json.loads(answer) if status == 200 else status

    def _ask(self, request: urllib.request.Request, token: str | None) -> tuple[int, bytes]:
        if token is not None:
            request.add_header("Authorization", f"Bearer {self.tokens.get(token, token)}")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def line(self) -> socket.socket:
        return socket.create_connection((LOCAL, self.port), timeout=10)

    def said(self, data: bytes) -> bytes:
        """Return what the server says to ``data`` until it closes."""
        with self.line() as sock:
            sock.sendall(data)
            return until_closed(sock)

    @contextmanager
    def talk(
        self, token: str = "read", port: int = 0, *, secure: bool = False, page: bool = False, **options: Any
    ) -> Iterator[ClientConnection]:
        """JSON-RPC over WebSocket; ``page`` shows the token as a script in a browser has to."""
        protocols, headers = [Subprotocol("jsonrpc.sansip")], {}
        text = self.tokens.get(token, token)
        if page:
            protocols.append(Subprotocol(f"bearer.{text}"))
        elif text:
            headers["Authorization"] = f"Bearer {text}"
        context = context_for_threads(self.authority.authority) if secure else None
        url = f"{'wss' if secure else 'ws'}://localhost:{port or self.port}/rpc"
        with (
            socket.create_connection((LOCAL, port or self.port), timeout=10) as sock,
            connect(
                url, sock=sock, ssl=context, subprotocols=protocols, additional_headers=headers, **options
            ) as client,
        ):
            assert client.subprotocol == "jsonrpc.sansip"
            yield client


def ask(client: ClientConnection, method: str, **params: Any) -> Any:
    client.send(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}))
    return json.loads(client.recv(10))


def until_closed(sock: socket.socket) -> bytes:
    said = b""
    try:
        while data := sock.recv(65_536):
            said += data
    except ConnectionResetError:
        pass  # closed with octets of ours unread
    return said


@pytest.fixture(params=["asyncio", "gevent"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path, request.param)
    with site.siege:
        yield site


def test_roles_and_commands(site: Site) -> None:
    """One table of commands: the role read changes nothing, and a request without a token learns nothing."""
    assert site.get("/health") == (200, b'{"status": "ok"}')
    assert json.loads(site.get("/health", "read")[1])["failing"] == []
    assert site.get("/metrics")[0] == 401
    assert site.call("stats", None) == 401
    assert site.call("stats", "nonsense") == 401
    assert site.call("stats", "read")["result"]["bindings"] == 0
    assert site.call("reload", "read")["error"]["code"] == -32001
    assert site.call("reload")["result"]["failed"] == []
    status, page = site.get("/metrics", "read")
    assert (status, b"\nsansip_bindings 0.0\n" in page) == (200, True)
    assert b'sansip_part_up{part="server"} 1.0' in page
    assert site.get("/nothing", "read")[0] == 404
    assert site.get("/rpc", "read")[0] == 405


def test_pages_of_others(site: Site) -> None:
    """DNS rebinding, another page's script, and its form (CSRF): refused before anything is done."""
    assert site.get("/health", Host="evil.test")[0] == 421
    assert site.get("/health", Origin="https://evil.test")[0] == 403
    form = urllib.request.Request(
        f"http://{LOCAL}:{site.port}/rpc",
        b'{"jsonrpc": "2.0", "method": "drain"}',
        {"Content-Type": "text/plain"},
    )
    assert site._ask(form, "operate")[0] == 415
    assert site.call("health")["result"]["status"] == "ok"


def test_json_rpc_over_websocket(site: Site) -> None:
    """The same commands, roles and bounds as by POST; pages of others stay out; events as they happen."""
    for token, options, status in (
        ("", {}, 401),
        ("nonsense", {}, 401),
        ("read", {"origin": "https://evil.test"}, 403),
    ):
        with pytest.raises(InvalidStatus) as refused, site.talk(token, **options):
            pass
        assert refused.value.response.status_code == status
    with site.talk(page=True, origin=f"http://localhost:{site.port}") as client:
        assert ask(client, "health")["result"]["status"] == "ok"
        assert ask(client, "reload")["error"]["code"] == -32001
        assert ask(client, "bindings", limit=1_000_000)["result"] == {"items": [], "next": None}
        health = {"jsonrpc": "2.0", "method": "health"}
        client.send(json.dumps([health, {**health, "id": 2}]))
        assert [one["id"] for one in json.loads(client.recv(10))] == [2]
        client.send("[" * 10_000)
        assert json.loads(client.recv(10))["error"]["code"] == -32700
        assert ask(client, "events.follow")["result"] == {"following": True}
        with Phone("alice", "siege.test", "udp", site.siege.address("udp")) as phone:
            phone.register()
        event = json.loads(client.recv(10))
        assert (event["method"], event["params"]["event"]) == ("events.event", "BindingsChanged")
        assert event["params"]["aor"] == "sip:alice@siege.test"
        client.send("x" * 70_000)
        with pytest.raises(ConnectionClosed, match=r"limits\.http_body_size"):
            client.recv(10)
    with site.talk("operate") as client:
        assert ask(client, "reload")["result"]["failed"] == []


@pytest.mark.needs("curl")
def test_digest(site: Site) -> None:
    """curl proves a password (RFC 7616, SHA-256) beside the tokens; wrong ones end in a ban, seen by curl."""
    body = '{"jsonrpc": "2.0", "id": 1, "method": "reload"}'
    command = ["curl", "-sS", "--digest", "-H", "Content-Type: application/json", "-d", body]
    command += [f"http://{LOCAL}:{site.port}/rpc", "-w", "\n%{http_code}", "-u"]

    def curl(password: str) -> list[str]:
        done = subprocess.run([*command, f"ops:{password}"], capture_output=True, text=True, timeout=30)
        return done.stdout.splitlines()

    answer, status = curl("secret")
    assert (status, json.loads(answer)["result"]["failed"]) == ("200", [])
    assert {curl(f"guess{number}")[-1] for number in range(11)} == {"401", "403"}
    assert curl("secret")[-1] == "403"
    # Tokens go on.
    assert site.call("stats", "read")["result"]["bindings"] == 0


def test_one_port_for_everything(site: Site) -> None:
    """SIP over TCP, TLS, WS and WSS (RFC 7118), pages and JSON-RPC, plain and over TLS: one port."""
    authority = site.authority.authority
    with ExitStack() as stack:
        for transport in ("tcp", "tls", "ws", "wss"):
            phone = Phone(transport, "siege.test", transport, (LOCAL, site.shared), authority=authority)
            stack.enter_context(phone).register()
        _ask_everywhere(site, authority)


def _ask_everywhere(site: Site, authority: Path) -> None:
    with urllib.request.urlopen(f"http://{LOCAL}:{site.shared}/health", timeout=10) as answer:
        assert answer.status == 200
    context = ssl.create_default_context(cafile=str(authority))
    with urllib.request.urlopen(
        f"https://localhost:{site.shared}/health", context=context, timeout=10
    ) as answer:
        assert answer.status == 200
    for secure in (False, True):
        with site.talk(port=site.shared, secure=secure) as client:
            assert ask(client, "stats")["result"]["addresses_of_record"] == 4


def test_over_tls(site: Site) -> None:
    """https with the server's certificate."""
    context = ssl.create_default_context(cafile=str(site.authority.authority))
    with urllib.request.urlopen(
        f"https://localhost:{site.secure}/health", context=context, timeout=10
    ) as answer:
        assert answer.status == 200


def test_slow_clients_and_many(site: Site) -> None:
    """Each is cut by its limit; calls, and other operators, go on meanwhile."""
    head = b"POST /rpc HTTP/1.1\r\nHost: localhost\r\n"
    with site.siege.watched() as watch, ExitStack() as stack:
        slow = {
            "head": (stack.enter_context(site.line()), head),
            "body": (stack.enter_context(site.line()), head + b"Content-Length: 9\r\n\r\n1"),
            "chunks": (stack.enter_context(site.line()), head + b"Transfer-Encoding: chunked\r\n\r\n1\r\n"),
        }
        begun = time.monotonic()
        for sock, data in slow.values():
            sock.sendall(data)
        # More than one source may have: the rest are closed at once.
        idle = [stack.enter_context(site.line()) for _ in range(230)]
        closed = 0
        for sock in idle:
            sock.settimeout(0.02)
            try:
                closed += not sock.recv(1)
            except (TimeoutError, ConnectionResetError) as error:
                closed += isinstance(error, ConnectionResetError)
        assert closed >= 30
        for name, (sock, _) in slow.items():
            assert until_closed(sock).startswith(b"HTTP/1.1 408 "), name
        assert time.monotonic() - begun < 5.0
        for sock in idle:
            sock.settimeout(10)
            assert until_closed(sock) == b""
    assert (watch.lost, site.get("/health")[0]) == (0, 200)


def test_bad_input(site: Site) -> None:
    """Named limits answer; the connection ends where the next request cannot be told."""
    post = b"POST /rpc HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    token = f"Authorization: Bearer {site.tokens['read']}\r\n".encode()
    cases = {
        b"413": post + b"Content-Length: 100000\r\n\r\n",
        b"400": post + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"431": post + b"X: " + b"a" * 60_000 + b"\r\n\r\n",
        b"405": b"BREW /rpc HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"505": b"GET / HTTP/2.0\r\nHost: localhost\r\n\r\n",
    }
    with site.siege.watched() as watch:
        for status, data in cases.items():
            said = site.said(data)
            assert said.startswith(b"HTTP/1.1 " + status), said
        nested = b"[" * 10_000
        length = b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(nested)
        assert b"-32700" in site.said(post + token + length + nested)
        # Pipelined: each is answered, in order.
        get = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
        assert (
            site.said(get + b"\r\n" + (get + b"\r\n") * 500 + get + b"Connection: close\r\n\r\n").count(
                b" 200 OK"
            )
            == 502
        )
        page = site.call("bindings", "read", limit=1_000_000)
        assert page["result"] == {"items": [], "next": None}
    assert watch.lost == 0


def test_who_is_refused_hears_why(site: Site) -> None:
    """RFC 9112 9.6: a client that sends its body whole before it reads gets the 413, and no reset."""
    head = b"POST /rpc HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    size = 1_000_000
    for _ in range(10):
        with site.line() as sock:
            sock.sendall(head + b"Content-Length: %d\r\n\r\n" % size)
            for _ in range(10):
                sock.sendall(b"x" * (size // 10))
                time.sleep(0.01)
            assert until_closed(sock).startswith(b"HTTP/1.1 413 ")


def test_a_store_that_hangs(tmp_path: Path) -> None:
    """Each answer comes in time and names the limit; clients that have gone cost nothing; calls go on."""
    site = Site(tmp_path, before='auth = "none"\nstore = "siege.db"\n')
    body = b'{"jsonrpc": "2.0", "id": 1, "method": "remove", "params": {"aor": "alice@siege.test"}}'
    post = (
        f"POST /rpc HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {site.tokens['operate']}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body
    with site.siege:
        for user in ("alice", "bob"):
            with Phone(user, "siege.test", "udp", site.siege.address("udp")) as phone:
                phone.register()
        with closing(sqlite3.connect(tmp_path / "siege.db", isolation_level=None)) as lock:
            lock.execute("BEGIN EXCLUSIVE")
            with site.siege.watched() as watch:
                for _ in range(100):
                    with site.line() as sock:
                        sock.sendall(post)
                time.sleep(2.0)
                answer = site.call("remove", aor="bob@siege.test")
            assert answer["error"]["code"] == -32002
            assert "limits.http_answer_time" in answer["error"]["message"]
    assert watch.lost == 0
    # The honest client alone takes 0.2 ms for each of its requests.
    assert watch.spent < 1.0


@pytest.mark.parametrize(
    ("listen", "keys", "said"),
    [
        ("http:0.0.0.0:8080", False, "is reached by others; set http.keys"),
        ("http:0.0.0.0:8080", True, "anybody on the way reads the tokens; write https:0.0.0.0:8080"),
        ("https:127.0.0.1:8080", False, "needs tls.certificate"),
        ("ftp:127.0.0.1:8080", False, "expected an address, like http:127.0.0.1:8080"),
    ],
)
def test_doors_that_stay_shut(tmp_path: Path, listen: str, keys: bool, said: str) -> None:
    """``sansip check`` names the line and the fix."""
    path = tmp_path / "sansip.toml"
    path.write_text(f'[http]\nlisten = ["{listen}"]\n' + ('keys = "keys.json"\n' if keys else ""))
    result = subprocess.run([*SANSIP, "check", str(path)], capture_output=True, text=True)
    assert result.returncode == 2
    assert said in result.stdout + result.stderr


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    """Said in one line, and nothing is served."""
    with socket.create_server((LOCAL, 0)) as taken:
        port = taken.getsockname()[1]
        path = tmp_path / "sansip.toml"
        path.write_text(
            f'listen = ["udp:127.0.0.1:{peers.free_port()}"]\n[http]\nlisten = ["http:127.0.0.1:{port}"]\n'
        )
        result = subprocess.run(
            [*SANSIP, "serve", "--config", str(path)], capture_output=True, text=True, timeout=20
        )
    assert result.returncode == 2
    assert f"cannot listen on http:127.0.0.1:{port}" in result.stderr


def test_ctl_from_elsewhere(tmp_path: Path) -> None:
    """`sansip ctl --url`: the same words as over the control socket, by what the token may."""
    site = Site(tmp_path)
    with site.siege:

        def ctl(*words: str, token: str | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
            command = [*SANSIP, "ctl", "--url", f"http://{LOCAL}:{site.port}"]
            if token is not None:
                (tmp_path / "token").write_text(token)
                command += ["--token-file", str(tmp_path / "token")]
            environment = {name: value for name, value in os.environ.items() if name != "SANSIP_TOKEN"}
            return subprocess.run(
                [*command, *words], capture_output=True, text=True, timeout=30, env=environment | environ
            )

        done = ctl("health", token=site.tokens["read"])
        assert (done.returncode, done.stdout[:3]) == (0, "ok,")
        done = ctl("bindings", SANSIP_TOKEN=site.tokens["read"])
        assert (done.returncode, done.stdout.split()[:2]) == (0, ["AOR", "CONTACT"])
        done = ctl("stats")
        assert (done.returncode, "401 Unauthorized" in done.stderr) == (2, True)
        assert "--token-file FILE" in done.stderr
        done = ctl("reload", token=site.tokens["read"])
        assert (done.returncode, "needs a token with the role operate" in done.stderr) == (2, True)
        assert ctl("reload", token=site.tokens["operate"]).stdout.startswith("read again: ")
        # Over TLS the certificate has to be of an authority that this machine knows.
        command = [*SANSIP, "ctl", "--url", f"https://localhost:{site.secure}", "health"]
        environment = os.environ | {"SANSIP_TOKEN": site.tokens["read"]}
        unknown = subprocess.run(command, capture_output=True, text=True, timeout=30, env=environment)
        assert (unknown.returncode, "its certificate is not trusted" in unknown.stderr) == (2, True)
        environment["SSL_CERT_FILE"] = str(site.authority.authority)
        known = subprocess.run(command, capture_output=True, text=True, timeout=30, env=environment)
        assert known.returncode == 0
