"""`sansip ping` against a scripted peer: its requests, its repeats, and its output."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from click.testing import CliRunner, Result

from sansip.wire import Request, parse_message, response_to
from sansip_server.cli import sansip
from sansip_server.commands.ping import find_targets
from sansip_server.faults import OperatorError

Answer = Callable[[Request, int], list[bytes]]


@contextmanager
def udp_peer(answer: Answer) -> Iterator[tuple[int, list[Request]]]:
    """A socket whose owner answers request number n (from 1) with ``answer(request, n)``."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    seen: list[Request] = []

    def serve() -> None:
        while data := sock.recvfrom(65_535):
            if not data[0]:
                return
            request = parse_message(data[0])
            assert isinstance(request, Request)
            seen.append(request)
            for reply in answer(request, len(seen)):
                sock.sendto(reply, data[1])

    thread = threading.Thread(target=serve)
    thread.start()
    port = sock.getsockname()[1]
    try:
        yield port, seen
    finally:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
            end.sendto(b"", ("127.0.0.1", port))
        thread.join()
        sock.close()


def ping(*arguments: object) -> Result:
    return CliRunner().invoke(sansip, ["ping", *map(str, arguments)])


def ok(request: Request, number: int) -> list[bytes]:
    return [response_to(request, 200, to_tag="t", headers=[("Server", "peer")]).to_bytes()]


def test_answered() -> None:
    """Status, time and server; the OPTIONS has all that RFC 3261 8.1.1 asks for."""
    with udp_peer(ok) as (port, seen):
        result = ping(f"sip:bob@127.0.0.1:{port}")
    assert result.exit_code == 0
    first, second = result.stdout.splitlines()
    assert first == f"OPTIONS sip:bob@127.0.0.1:{port} to udp:127.0.0.1:{port}"
    assert second.startswith("seq=1 200 OK time=")
    assert second.endswith(" ms server=peer")
    (request,) = seen
    assert request.uri_text == f"sip:bob@127.0.0.1:{port}"
    assert request.via.wants_rport
    assert (request.max_forwards, request.cseq.method, request.to_tag) == (70, "OPTIONS", None)
    assert request.from_tag
    assert request.contacts


def test_sent_again_when_lost() -> None:
    """RFC 3261 17.1.2.2: after T1 (0.5 s) the same request goes out once more."""
    with udp_peer(lambda request, number: ok(request, number) if number == 2 else []) as (port, seen):
        result = ping(f"127.0.0.1:{port}")
    assert result.exit_code == 0
    assert seen[0].to_bytes() == seen[1].to_bytes()
    assert ", sent 2 times" in result.stdout


def test_any_final_response_is_an_answer() -> None:
    """A refusal proves that somebody is there; a provisional response does not end the wait."""

    def refuse(request: Request, number: int) -> list[bytes]:
        return [response_to(request, status, to_tag="t").to_bytes() for status in (100, 404)]

    with udp_peer(refuse) as (port, _):
        result = ping(f"127.0.0.1:{port}")
    assert result.exit_code == 0
    assert "seq=1 404 Not Found" in result.stdout


def test_strangers_and_garbage_are_no_answer() -> None:
    """Only a response to this very transaction counts."""

    def confuse(request: Request, number: int) -> list[bytes]:
        other = response_to(request, 200, to_tag="t").to_bytes().replace(b"z9hG4bK", b"z9hG4bKx")
        return [b"garbage\r\n\r\n", b"\r\n", other, request.to_bytes()]

    with udp_peer(confuse) as (port, _):
        result = ping(f"127.0.0.1:{port}", "--timeout", 0.1)
    assert result.exit_code == 1
    assert "no answer: timeout" in result.stdout


def test_nobody_there() -> None:
    """A port without a listener is reported at once, not after a timeout."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    for transport in ("udp", "tcp"):
        result = ping(f"127.0.0.1:{port}", "-T", transport)
        assert result.exit_code == 1
        assert "no answer: connection refused" in result.stdout


def test_several_as_json() -> None:
    """One object per request, then the totals."""
    with udp_peer(lambda request, number: ok(request, number) if number != 2 else []) as (port, _):
        result = ping(f"127.0.0.1:{port}", "-c", 3, "-i", 0, "-t", 0.2, "--json")
    assert result.exit_code == 0
    *each, totals = map(json.loads, result.stdout.splitlines())
    assert [(one["seq"], one["answered"], one["status"]) for one in each] == [
        (1, True, 200),
        (2, False, None),
        (3, True, 200),
    ]
    assert each[1]["reason"] == "timeout"
    assert each[0]["server"] == "peer"
    assert each[0]["address"] == ["127.0.0.1", port]
    assert (totals["sent"], totals["answered"], totals["lost"]) == (3, 2, 1)
    assert totals["rtt_ms"]["min"] <= totals["rtt_ms"]["avg"] <= totals["rtt_ms"]["max"]


def test_verbose_shows_messages_and_no_terminal_codes() -> None:
    """A peer's text must not steer the terminal of its reader."""

    def paint(request: Request, number: int) -> list[bytes]:
        return [response_to(request, 200, to_tag="t", headers=[("Server", "\x1b[2Jx")]).to_bytes()]

    with udp_peer(paint) as (port, _):
        result = ping(f"127.0.0.1:{port}", "-v", "--from", "sip:me@example.org")
    assert "From: <sip:me@example.org>;tag=" in result.stderr
    assert "--- received" in result.stderr
    assert "\x1b" not in result.output


def test_over_tcp_in_pieces() -> None:
    """A response may come in any pieces, and a lost connection is an answer to "is it up?" too."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for number in range(2):
                conn, _ = server.accept()
                with conn:
                    data = b""
                    while b"\r\n\r\n" not in data:
                        data += conn.recv(65_535)
                    request = parse_message(data, datagram=False)
                    assert isinstance(request, Request)
                    if number == 0:
                        continue  # closes without a word
                    reply = b"\r\n" + response_to(request, 200, to_tag="t").to_bytes()
                    conn.sendall(reply[:7])
                    conn.sendall(reply[7:])
                    conn.recv(1)

        thread = threading.Thread(target=serve)
        thread.start()
        result = ping(f"sip:127.0.0.1:{server.getsockname()[1]};transport=tcp", "-c", 2, "-i", 0)
        thread.join()
    lines = result.stdout.splitlines()
    assert lines[1] == "seq=1 no answer: the server closed the connection"
    assert lines[2].startswith("seq=2 200 OK")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1", ("sip:127.0.0.1", "udp:127.0.0.1:5060")),
        ("127.0.0.1:5070", ("sip:127.0.0.1:5070", "udp:127.0.0.1:5070")),
        ("sip:a@127.0.0.1;transport=tcp", ("sip:a@127.0.0.1;transport=tcp", "tcp:127.0.0.1:5060")),
        ("::1", ("sip:[::1]", "udp:[::1]:5060")),
        ("[::1]:5070", ("sip:[::1]:5070", "udp:[::1]:5070")),
        ("sip:[::1]", ("sip:[::1]", "udp:[::1]:5060")),
        ("alice@127.0.0.1", ("sip:alice@127.0.0.1", "udp:127.0.0.1:5060")),
    ],
)
def test_targets(text: str, expected: tuple[str, str]) -> None:
    """A URI, or just a host with or without a port."""
    (target,) = find_targets(text)
    assert (target.uri, str(target)) == expected


def test_a_name_that_does_not_exist() -> None:
    """Said as such, with what to do."""
    with pytest.raises(OperatorError, match=r"cannot find x\.invalid: .*; check the name or use an address"):
        find_targets("sip:x.invalid")


def test_a_name_with_several_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """`localhost` is often ::1 first, and the server listens on 127.0.0.1 only."""

    def addresses(host: str, port: int, type: int) -> list[object]:
        return [
            (socket.AF_INET, type, 0, "", ("127.0.0.2", port)),
            (socket.AF_INET, type, 0, "", ("127.0.0.1", port)),
        ]

    monkeypatch.setattr(socket, "getaddrinfo", addresses)
    with udp_peer(ok) as (port, _):
        result = ping(f"peer.test:{port}")
    assert result.exit_code == 0
    assert [line.partition(" time")[0] for line in result.stdout.splitlines()] == [
        f"OPTIONS sip:peer.test:{port} to udp:127.0.0.2:{port}",
        "seq=1 no answer: connection refused",
        f"OPTIONS sip:peer.test:{port} to udp:127.0.0.1:{port}",
        "seq=1 200 OK",
    ]
