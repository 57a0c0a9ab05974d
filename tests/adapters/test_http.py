"""HTTP by the same contract on every runtime: requests, waiting answers, deadlines, clients that go.

Theory of operation: the server of fakes has an HTTP listener as well; ``answer`` is the test's. What has to
come of itself (a bell, a deadline, a client's going) is waited for by blocking calls, never by the clock.
"""

from __future__ import annotations

import queue
import socket
import ssl
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from sansip.limits import Limits
from sansip_sockets import TlsConfig, TlsContexts
from sansip_sockets.http import HttpFault, HttpListener, HttpRequest, HttpResponse, HttpServer, Work
from sansip_sockets.pending import Late, Pending
from tests.adapters.fakes import PATIENCE, FakeStack, Listen
from tests.adapters.runtimes import Running
from tests.certificates import Authority

GET = b"GET /%s HTTP/1.1\r\nHost: a.test\r\n\r\n"


class Site:
    """One server; what happens to its answers is put into ``seen``."""

    def __init__(self, start: Callable[..., Running], limits: Limits, tls: TlsContexts | None = None) -> None:
        self.running = start(FakeStack(), Listen(0, "tcp", "127.0.0.1"))
        self.seen: queue.Queue[Any] = queue.Queue()
        self.pending: Pending[str] = Pending()
        kind = "http" if tls is None else "https"
        self.http = HttpServer([HttpListener(kind, "127.0.0.1", 0)], limits, tls)
        self.running.call(lambda: self.http.start(self.running.hub, self.answer))
        self.opened: list[socket.socket] = []

    def answer(self, request: HttpRequest) -> Work:
        if request.path == "/wait":
            return self._waits()
        return self._at_once(request)

    def _at_once(self, request: HttpRequest) -> Generator[None, None, HttpResponse]:
        if request.path == "/fault":
            raise HttpFault(404, "nothing is there")
        yield None
        return HttpResponse(200, f"{request.path} {request.secure} {request.remote}".encode() + request.body)

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

    def line(self, data: bytes = b"") -> socket.socket:
        sock = socket.create_connection(self.http.listeners[0].address[:2], timeout=PATIENCE)
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

    def make(tls: TlsContexts | None = None, **limits: Any) -> Site:
        sites.append(Site(start, Limits(**limits), tls))
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
    """What hangs is answered in time, by a named limit; the connection serves on."""
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
