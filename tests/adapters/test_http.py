"""HTTP by the same contract on every runtime: requests, waiting answers, deadlines, clients that go.

Theory of operation: the server of fakes has an HTTP listener as well; ``answer`` is the test's. What has to
come of itself (a bell, a deadline, a client's going) is waited for by blocking calls, never by the clock.
"""

from __future__ import annotations

import queue
import socket
import ssl
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from sansip.limits import Limits
from sansip_sockets import TlsConfig, TlsContexts, stream_filters
from sansip_sockets.http import (
    Handing,
    HttpFault,
    HttpListener,
    HttpRequest,
    HttpResponse,
    HttpServer,
    Upgrade,
    Work,
)
from sansip_sockets.pending import Late, Pending
from tests.adapters.fakes import PATIENCE, FakeStack, Listen
from tests.adapters.runtimes import Running
from tests.certificates import Authority, context_for_threads

GET = b"GET /%s HTTP/1.1\r\nHost: a.test\r\n\r\n"


class Echo:
    """A talk: messages come back, the one ``wait`` once it is given; ``push`` sends unasked."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.pushed: list[bytes] = []
        self.ring: Callable[[], None] = lambda: None

    def attach(self, ring: Callable[[], None]) -> None:
        self.ring = ring

    def received(self, data: bytes) -> Generator[Pending[str] | None, None, bytes]:
        if data == b"refuse":
            raise HttpFault(401, "no longer")
        if data == b"wait":
            return (yield from self.site.pending.result()).encode()
        yield None
        return data

    def outgoing(self) -> bytes | None:
        return self.pushed.pop(0) if self.pushed else None

    def closed(self) -> None:
        self.site.seen.put("talk closed")

    def push(self, data: bytes) -> None:
        self.pushed.append(data)
        self.ring()


class Site:
    """One server; what happens to its answers is put into ``seen``."""

    def __init__(
        self,
        start: Callable[..., Running],
        limits: Limits,
        tls: TlsContexts | None = None,
        handed: tuple[socket.socket, socket.socket] | None = None,
    ) -> None:
        filters = stream_filters(tls, None, limits)
        self.stack = FakeStack()
        # SIP over WebSocket and HTTP on one port.
        shared = Listen(0, "ws" if tls is None else "wss", "127.0.0.1", http=True)
        self.running = start(self.stack, shared, filters=filters, limits=limits)
        self.talk = Echo(self)
        self.seen: queue.Queue[Any] = queue.Queue()
        self.pending: Pending[str] = Pending()
        kind = "http" if tls is None else "https"
        self.http = HttpServer([HttpListener(kind, "127.0.0.1", 0)], limits, tls)
        if handed is not None:
            self.http.handed = handed[0]
        self.running.call(lambda: self.http.start(self.running.hub, self.answer))
        if handed is not None:
            self.running.hub.on_foreign = Handing(self.running.hub, handed[1])
        self.opened: list[socket.socket] = []

    def answer(self, request: HttpRequest) -> Work:
        if request.path == "/wait":
            return self._waits()
        if request.path == "/talk":
            return self._talks()
        return self._at_once(request)

    def _at_once(self, request: HttpRequest) -> Generator[None, None, HttpResponse]:
        if request.path == "/fault":
            raise HttpFault(404, "nothing is there")
        yield None
        return HttpResponse(200, f"{request.path} {request.secure} {request.remote}".encode() + request.body)

    def _talks(self) -> Work:
        yield None
        return Upgrade("echo", self.talk)

    def _waits(self) -> Work:
        turns = 0
        try:
            for part in self.pending.result():
                turns += 1
                self.seen.put("waits")
                yield part
            return HttpResponse(200, f"given after {turns} turns".encode())
        except Late:
            self.seen.put("late")
            raise
        except GeneratorExit:
            self.seen.put("closed")
            raise

    def expect(self, what: str) -> None:
        # A runtime whose timers are early by less than a tick waits once more.
        while (seen := self.seen.get(timeout=PATIENCE)) != what:
            assert (seen, what) == ("waits", "late")

    def give(self) -> None:
        self.running.call(lambda: self.pending.give("it"))

    def line(self, data: bytes = b"", *, shared: bool = False) -> socket.socket:
        listener = self.running.listeners[0] if shared else self.http.listeners[0]
        sock = socket.create_connection(listener.address[:2], timeout=PATIENCE)
        self.opened.append(sock)
        sock.sendall(data)
        return sock


def read(sock: socket.socket) -> tuple[int, bytes]:
    """Return status and body of one answer."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        octet = sock.recv(1)
        assert octet, head
        head += octet
    size = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
    body = b""
    while len(body) < size:
        body += sock.recv(size - len(body))
    return int(head.split()[1]), body


@pytest.fixture
def made(start: Callable[..., Running]) -> Iterator[Callable[..., Site]]:
    sites: list[Site] = []

    def make(
        tls: TlsContexts | None = None,
        handed: tuple[socket.socket, socket.socket] | None = None,
        **limits: Any,
    ) -> Site:
        sites.append(Site(start, Limits(**limits), tls, handed))
        return sites[-1]

    yield make
    for site in sites:
        for sock in site.opened:
            sock.close()
        site.running.stop()
        site.http.close()


def test_requests_one_after_the_other(made: Callable[..., Site]) -> None:
    """A connection serves many; a fault of one request ends it, for the next cannot be told."""
    sock = made().line(GET % b"one" + GET % b"two")
    assert read(sock) == (200, b"/one False 127.0.0.1")
    assert read(sock) == (200, b"/two False 127.0.0.1")
    sock.sendall(GET % b"fault")
    assert read(sock) == (404, b"nothing is there\n")
    assert sock.recv(1) == b""


def test_an_answer_is_woken_by_what_it_waits_for(made: Callable[..., Site]) -> None:
    """Nothing polls: the work goes on once, when the result is there."""
    site = made()
    sock = site.line(GET % b"wait")
    site.expect("waits")
    site.give()
    assert read(sock) == (200, b"given after 1 turns")


def test_work_ends_with_its_client(made: Callable[..., Site]) -> None:
    """A client that has gone is not worked for, whatever hangs."""
    site = made()
    site.line(GET % b"wait").close()
    site.expect("waits")
    site.expect("closed")


def test_http_answer_time(made: Callable[..., Site]) -> None:
    """A request that hangs gets its answer in time, by a named limit; the connection serves on."""
    site = made(http_answer_time=0.2)
    sock = site.line(GET % b"wait")
    site.expect("waits")
    site.expect("late")
    status, body = read(sock)
    assert (status, b"limits.http_answer_time" in body) == (504, True)
    sock.sendall(GET % b"after")
    assert read(sock)[0] == 200


def test_pipelined_behind_one_that_waits(made: Callable[..., Site]) -> None:
    """Answers come in the order of the requests, and no more is read than one request may have."""
    site = made(http_head_size=500, http_body_size=500)
    sock = site.line(GET % b"wait")
    site.expect("waits")
    many = (GET % b"next") * 60
    sock.sendall(many)
    site.give()
    status, body = read(sock)
    assert (status, body.startswith(b"given after")) == (200, True)
    for _ in range(60):
        assert read(sock) == (200, b"/next False 127.0.0.1")


def test_the_one_idle_longest_makes_room(made: Callable[..., Site]) -> None:
    """Strangers who connect and say nothing do not keep the operator out."""
    site = made(http_connections=2)
    first, second = site.line(GET % b"a"), site.line(GET % b"b")
    assert (read(first)[0], read(second)[0]) == (200, 200)
    first.sendall(GET % b"c")
    assert read(first)[0] == 200
    third = site.line(GET % b"d")
    assert read(third)[0] == 200
    assert second.recv(1) == b""
    first.sendall(GET % b"e")
    assert read(first)[0] == 200


def test_a_busy_one_makes_no_room(made: Callable[..., Site]) -> None:
    """A request that is worked on is not given up for a newcomer."""
    site = made(http_connections=1)
    first = site.line(GET % b"wait")
    site.expect("waits")
    assert site.line().recv(1) == b""
    site.give()
    assert read(first)[0] == 200


def test_http_rate(made: Callable[..., Site]) -> None:
    """A client that asks too often gets 429 by a named limit.

    A client on this machine may ask at any rate, by default.
    """
    site = made(http_rate=1, http_burst=3, limit_loopback=True)
    sock = site.line((GET % b"one") * 4)
    assert [read(sock)[0] for _ in range(3)] == [200] * 3
    status, body = read(sock)
    assert (status, b"limits.http_rate" in body, sock.recv(1)) == (429, True, b"")
    free = made(http_rate=1, http_burst=3)
    sock = free.line((GET % b"one") * 9)
    assert [read(sock)[0] for _ in range(9)] == [200] * 9


def test_http_rate_after_a_reload(made: Callable[..., Site]) -> None:
    """The limits of HTTP are those in force: a reload that lowers the rate counts for the next request."""
    site = made(http_rate=1_000, http_burst=1_000, limit_loopback=True)
    sock = site.line(GET % b"one")
    assert read(sock)[0] == 200
    # As the stack does at a reload: its ``Limits`` is one object, which takes new values.
    site.running.call(lambda: site.http.limits.take(replace(site.http.limits, http_rate=1, http_burst=1)))
    sock.sendall((GET % b"one") * 2)
    assert [read(sock)[0] for _ in range(2)] == [200, 429]


def test_a_slow_request(made: Callable[..., Site]) -> None:
    """408 by a named limit, and the end."""
    sock = made(http_time=0.2).line(b"GET / HTTP/1.1\r\nHost:")
    status, body = read(sock)
    assert (status, b"limits.http_time" in body) == (408, True)
    assert sock.recv(1) == b""


def test_over_tls(made: Callable[..., Site], tmp_path: Path) -> None:
    """The filter of SIP, on its own connection; an answer that waits is woken as well."""
    authority = Authority(tmp_path)
    authority.issue("server.pem", "127.0.0.1", "localhost")
    site = made(TlsContexts(TlsConfig(certificate=str(tmp_path / "server.pem"))))
    context = ssl.create_default_context(cafile=str(authority.authority))
    with context.wrap_socket(site.line(), server_hostname="localhost") as sock:
        sock.sendall(GET % b"one")
        assert read(sock) == (200, b"/one True 127.0.0.1")
        sock.sendall(GET % b"wait")
        site.expect("waits")
        site.give()
        assert read(sock)[0] == 200


@contextmanager
def talking(
    site: Site, sock: socket.socket, context: ssl.SSLContext | None = None
) -> Iterator[ClientConnection]:
    """The ``websockets`` library as the client of a talk."""
    url = "ws://localhost/talk" if context is None else "wss://localhost/talk"
    protocols = [Subprotocol("other"), Subprotocol("echo")]
    with connect(url, sock=sock, ssl=context, subprotocols=protocols, compression=None) as client:
        assert client.subprotocol == "echo"
        yield client


@pytest.mark.parametrize("shared", [False, True])
def test_a_websocket(made: Callable[..., Site], shared: bool) -> None:
    """Messages are answered in order, one waits for its result, and one comes unasked."""
    site = made()
    with talking(site, site.line(shared=shared)) as client:
        client.send("one")
        client.send("two")
        assert [client.recv(PATIENCE), client.recv(PATIENCE)] == ["one", "two"]
        site.running.call(lambda: site.talk.push(b"unasked"))
        assert client.recv(PATIENCE) == "unasked"
        client.send("wait")
        client.send("after")
        site.give()
        assert [client.recv(PATIENCE), client.recv(PATIENCE)] == ["it", "after"]
        for number in range(200):
            client.send(str(number))
        assert [client.recv(PATIENCE) for _ in range(200)] == [str(number) for number in range(200)]
    site.expect("talk closed")


def test_a_websocket_that_may_not_go_on(made: Callable[..., Site]) -> None:
    """RFC 6455 7.4.1: 1008 and the reason; 1009 for a message beyond the named limit; a client that goes."""
    site = made(http_body_size=100)
    with talking(site, site.line()) as client:
        client.send("refuse")
        with pytest.raises(ConnectionClosed, match="no longer") as closed:
            client.recv(PATIENCE)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008
    site.expect("talk closed")
    with talking(site, site.line()) as client:
        client.send("a" * 101)
        with pytest.raises(ConnectionClosed, match=r"limits\.http_body_size") as closed:
            client.recv(PATIENCE)
    site.expect("talk closed")
    with talking(site, site.line()) as client:
        client.send("wait")
        client.socket.shutdown(socket.SHUT_RDWR)
    site.expect("talk closed")


def test_websocket_ping(made: Callable[..., Site]) -> None:
    """A client that answers no ping is gone."""
    site = made(websocket_ping=0.1, websocket_pong=0.1)
    sock = site.line(
        b"GET /talk HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        b"Sec-WebSocket-Protocol: echo\r\n\r\n"
    )
    assert sock.recv(100).startswith(b"HTTP/1.1 101 ")
    site.expect("talk closed")


def test_one_port_for_sip_and_http(made: Callable[..., Site]) -> None:
    """RFC 7118 and HTTP on one port: each gets what is meant for it, and counts by its own limits."""
    site = made(http_connections_per_source=1)
    http = site.line(GET % b"one" + GET % b"two", shared=True)
    assert read(http) == (200, b"/one False 127.0.0.1")
    assert read(http) == (200, b"/two False 127.0.0.1")
    assert site.line(GET % b"three", shared=True).recv(1) == b""
    sip = site.line(
        b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        b"Sec-WebSocket-Protocol: sip\r\n\r\n",
        shared=True,
    )
    assert sip.recv(4_096).startswith(b"HTTP/1.1 101 ")
    conn, info = site.stack.expect("opened")
    assert info.transport == "ws"
    http.sendall(GET % b"four")
    assert read(http)[0] == 200
    sip.close()
    assert site.stack.expect("closed")[0] == conn
    assert site.stack.told("opened") == []


def test_one_port_with_tls(made: Callable[..., Site], tmp_path: Path) -> None:
    """The same inside of TLS, whose state goes along."""
    authority = Authority(tmp_path)
    authority.issue("server.pem", "127.0.0.1", "localhost")
    site = made(TlsContexts(TlsConfig(certificate=str(tmp_path / "server.pem"))))
    context = ssl.create_default_context(cafile=str(authority.authority))
    with context.wrap_socket(site.line(shared=True), server_hostname="localhost") as sock:
        sock.sendall(GET % b"one")
        assert read(sock) == (200, b"/one True 127.0.0.1")
    with talking(site, site.line(shared=True), context_for_threads(authority.authority)) as client:
        client.send("hello")
        assert client.recv(PATIENCE) == "hello"
    site.expect("talk closed")
    assert site.stack.told("opened") == []


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """What a worker and its parent have: the end that is read, and the one that is written."""
    pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for one in pair:
        one.setblocking(False)
    yield pair
    for one in pair:
        one.close()


def test_handed_on(made: Callable[..., Site], ends: tuple[socket.socket, socket.socket]) -> None:
    """A connection goes to the process that answers, with the octets that were read of it."""
    site = made(handed=ends, http_connections_per_source=1)
    sock = site.line(GET % b"one" + GET % b"two", shared=True)
    assert read(sock) == (200, b"/one False 127.0.0.1")
    assert read(sock) == (200, b"/two False 127.0.0.1")
    # The limits of the process that answers hold.
    assert site.line(GET % b"three", shared=True).recv(1) == b""
    sock.sendall(GET % b"four")
    assert read(sock)[0] == 200


def test_handed_on_out_of_tls(
    made: Callable[..., Site], ends: tuple[socket.socket, socket.socket], tmp_path: Path
) -> None:
    """TLS stays, and its plain octets are carried: both ways, up to an orderly end (RFC 8446 6.1)."""
    authority = Authority(tmp_path)
    authority.issue("server.pem", "127.0.0.1", "localhost")
    site = made(TlsContexts(TlsConfig(certificate=str(tmp_path / "server.pem"))), ends)
    context = ssl.create_default_context(cafile=str(authority.authority))
    with context.wrap_socket(site.line(shared=True), server_hostname="localhost") as sock:
        body = b"a" * 60_000
        post = b"POST /%s HTTP/1.1\r\nHost: a.test\r\nContent-Length: %d\r\n\r\n" % (b"big", len(body))
        sock.sendall((post + body) * 5)
        for _ in range(5):
            assert read(sock) == (200, b"/big True 127.0.0.1" + body)
        sock.sendall(GET % b"wait")
        site.expect("waits")
        site.give()
        assert read(sock)[0] == 200
        sock.sendall(GET % b"fault")
        assert read(sock)[0] == 404
        assert sock.recv(1) == b""
    with talking(site, site.line(shared=True), context_for_threads(authority.authority)) as client:
        for number in range(200):
            client.send(str(number))
        assert [client.recv(PATIENCE) for _ in range(200)] == [str(number) for number in range(200)]
        site.running.call(lambda: site.talk.push(b"unasked"))
        assert client.recv(PATIENCE) == "unasked"
    site.expect("talk closed")
    # A client that goes is not worked for any longer.
    site.pending = Pending()
    with context.wrap_socket(site.line(shared=True), server_hostname="localhost") as sock:
        sock.sendall(GET % b"wait")
        site.expect("waits")
    site.expect("closed")
    assert site.stack.told("opened") == []
