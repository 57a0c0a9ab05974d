"""Other servers, which the relay connects to (RFC 4976 6.4.2)."""

from __future__ import annotations

import pytest

from tests.modules.msrp.client import Client, Frame, frames
from tests.modules.msrp.relayed import TEXT, made


def test_next_hop() -> None:
    """RFC 4976 6.4.2: a connection is opened once, and used again; its answers are heard."""
    bench = made()
    alice = Client(bench, "alice", "192.0.2.1")
    alice.authenticate()
    got: list[Frame] = []

    def peer(data: bytes) -> list[bytes]:
        answers = []
        for one in frames(data) if data else []:
            got.append(one)
            back = one.fields["From-Path"].split()[0]
            head = (
                f"MSRP {one.transaction} 200 OK\r\nTo-Path: {back}\r\nFrom-Path: {one.fields['To-Path']}\r\n"
            )
            answers.append(f"{head}-------{one.transaction}$\r\n".encode())
        return answers

    bench.stream_peer(("192.0.2.9", 2855), peer)
    to = f"{alice.path} msrp://192.0.2.9:2855/far;tcp"
    for _ in range(2):
        alice.ask("SEND", to, "Byte-Range: 1-2/2", *TEXT, body=b"hi")
    assert [one.word for one in alice.take()] == ["200", "200"]
    assert [one.body for one in got] == [b"hi", b"hi"]
    assert got[0].fields["From-Path"] == f"{alice.path} {alice.uri}"
    assert len({conn for conn, _ in bench.wrote}) == 1
    bench.wait(31)
    assert not alice.take()


@pytest.mark.parametrize(
    ("hop", "status"),
    [
        ("msrp://192.0.2.9:2855/far;tcp", "000 481"),  # nobody listens
        ("msrp://127.0.0.1:22/far;tcp", "000 481"),  # msrp.refused_networks
        ("msrp://192.0.2.9:2855/far;ws", "481"),
        ("msrp://192.0.2.9/far;tcp", "400"),
    ],
)
def test_no_next_hop(hop: str, status: str) -> None:
    """The sender hears of it, and the relay connects to no place of its own host."""
    bench = made()
    alice = Client(bench, "alice", "192.0.2.1")
    alice.authenticate()
    alice.ask("SEND", f"{alice.path} {hop}", "Byte-Range: 1-2/2", *TEXT, body=b"hi")
    told = alice.take()
    assert any(one.fields.get("Status", one.word).startswith(status) for one in told)
    assert not bench.failures


def test_refused_networks_in_ipv6() -> None:
    """RFC 4291 2.5.5.2: an IPv4 address that is written as one of IPv6 is the same place."""
    bench = made()
    alice = Client(bench, "alice", "192.0.2.1")
    alice.authenticate()
    hop = "msrp://[::ffff:127.0.0.1]:22/far;tcp"
    alice.ask("SEND", f"{alice.path} {hop}", "Byte-Range: 1-2/2", *TEXT, body=b"hi")
    assert any("msrp.refused_networks" in str(event) for event in bench.events)


def test_connections_of_one_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """One user cannot take all sockets, which other users and modules need."""
    bench = made(connections_per_user=2, connections=3)
    alice, bob = Client(bench, "alice", "192.0.2.1"), Client(bench, "bob", "192.0.2.2")
    opened: list[object] = []
    monkeypatch.setattr(bench, "_connect", lambda action: opened.append(action.address))
    for one, expected in ((alice, 2), (bob, 3)):
        one.authenticate()
        for port in range(1, 4):
            hop = f"msrp://{one.link.conn % 100 + 100}.0.2.9:{port}/far;tcp"
            one.ask("SEND", f"{one.path} {hop}", "Byte-Range: 1-2/2", *TEXT, body=b"hi")
        assert len(opened) == expected
        assert "403" in [frame.word for frame in one.take()]


def test_auth_at_an_outer_relay() -> None:
    """RFC 4976 5.1, 6.4.3: AUTH passes by alice's URI, and its response comes back."""
    bench = made()
    alice = Client(bench, "alice", "192.0.2.1")
    alice.authenticate()
    got: list[Frame] = []

    def outer(data: bytes) -> list[bytes]:
        answers = []
        for one in frames(data) if data else []:
            got.append(one)
            head = f"MSRP {one.transaction} 401 Unauthorized\r\nTo-Path: {one.fields['From-Path']}\r\n"
            head += f'From-Path: {one.fields["To-Path"]}\r\nWWW-Authenticate: Digest realm="o", nonce="n"\r\n'
            answers.append(f"{head}-------{one.transaction}$\r\n".encode())
        return answers

    bench.stream_peer(("192.0.2.9", 2855), outer)
    sent = alice.ask("AUTH", f"{alice.path} msrp://192.0.2.9:2855;tcp")
    [answer] = alice.take()
    assert (answer.transaction, answer.word) == (sent, "401")
    assert answer.fields["To-Path"] == alice.uri
    assert answer.fields["From-Path"] == f"{alice.path} msrp://192.0.2.9:2855;tcp"
    assert got[0].fields["From-Path"] == f"{alice.path} {alice.uri}"


def test_failed_auth_at_an_outer_relay() -> None:
    """RFC 4976 6.3: after several of them the connection ends, and not before the last response has left."""
    bench = made(failures=2)
    alice = Client(bench, "alice", "192.0.2.1")
    alice.authenticate()

    def outer(data: bytes) -> list[bytes]:
        answers = []
        for one in frames(data) if data else []:
            head = f"MSRP {one.transaction} 401 Unauthorized\r\nTo-Path: {one.fields['From-Path']}\r\n"
            head += f"From-Path: {one.fields['To-Path']}\r\n"
            answers.append(f"{head}-------{one.transaction}$\r\n".encode())
        return answers

    bench.stream_peer(("192.0.2.9", 2855), outer)
    for ended in (False, True):
        alice.ask("AUTH", f"{alice.path} msrp://192.0.2.9:2855;tcp", 'Authorization: Digest username="x"')
        assert [one.word for one in alice.take()] == ["401"]
        assert bool(alice.link.ended) is ended
