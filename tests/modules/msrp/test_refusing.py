"""What does not pass, and who hears of it."""

from __future__ import annotations

import pytest

from tests.modules.msrp.client import RELAY, Client, Frame
from tests.modules.msrp.relayed import TEXT, begin, made, pair


def test_strangers() -> None:
    """RFC 4976 6.4: a URI leads to its client, and from nobody else to anywhere."""
    bench = made()
    alice, bob, _ = pair(bench)
    thief = Client(bench, "thief", "192.0.2.66")
    # With bob's URI, towards another server: nobody hears of it.
    thief.ask("SEND", f"{bob.path} msrp://192.0.2.99:1/x;tcp", "Byte-Range: 1-2/2", *TEXT, body=b"hi")
    assert not alice.take()
    assert not bob.take()
    assert not bench.wrote
    assert [one.word for one in thief.take()] == ["481"]
    # From the relay's inside to another's URI and back out: the second one leads inward only.
    for path in (f"{bob.path} {alice.path} {alice.uri}", f"{bob.path} {bob.path} {bob.uri}"):
        thief.ask("SEND", path, "Byte-Range: 1-2/2", *TEXT, body=b"hi")
        assert not alice.take()
        bob.take()
        thief.take()


def test_unknown_uri() -> None:
    """RFC 4976 6.3: a guessed URI gets 481, a dead one as well."""
    bench = made()
    alice, bob, path = pair(bench)
    guess = alice.path[:-6] + ("0;tcp" if alice.path[-5] != "0" else "1;tcp")
    alice.ask("SEND", f"{guess} {bob.path} {bob.uri}", *TEXT, body=b"x")
    assert [one.word for one in alice.take()] == ["481"]
    bob.link.close()
    alice.ask("SEND", path, "Byte-Range: 1-1/1", *TEXT, body=b"x")
    assert [one.word for one in alice.take()] == ["481"]


def test_time_is_over() -> None:
    """RFC 4976 6.3."""
    bench = made()
    alice, bob, path = pair(bench)
    bench.wait(901)
    alice.ask("SEND", path, "Byte-Range: 1-1/1", *TEXT, body=b"x")
    assert [one.word for one in alice.take()] == ["481"]
    assert not bob.take()
    assert bench.command("msrp.list") == []


def test_not_for_us() -> None:
    """RFC 4976 6.2: the connection is dropped."""
    alice = Client(made(), "alice", "192.0.2.1")
    alice.ask("SEND", "msrps://other.example.com:2855/x;tcp", *TEXT, body=b"x")
    assert "not this relay" in alice.link.ended


def test_a_long_path() -> None:
    """RFC 4975 10.2: the relay answers the request with 400, and forwards neither it nor such a response."""
    bench = made()
    alice, bob = Client(bench, "alice", "192.0.2.1"), Client(bench, "bob", "192.0.2.2")
    alice.authenticate()
    bob.authenticate()
    path = " ".join([alice.path, *["msrps://b.example.com:1/b;tcp"] * 49])
    alice.ask("SEND", path, *TEXT, body=b"hi")
    [answer] = alice.take()
    assert answer.word == "400"
    alice.link.send(
        f"MSRP auth1234 AUTH\r\nTo-Path: {RELAY}\r\nFrom-Path: {path}\r\n-------auth1234$\r\n".encode()
    )
    [answer] = alice.take()
    assert answer.word == "400"
    assert not alice.link.ended
    assert bob.take() == []


def test_silence() -> None:
    """RFC 4976 6.1: the first request may take 30 seconds, or as long as ``probation`` says."""
    for seconds in (30.0, 60.0):
        bench = made(probation=seconds)
        silent = Client(bench, "alice", "192.0.2.1")
        bench.wait(seconds - 2)
        assert not silent.link.ended
        silent.authenticate()
        bench.wait(seconds)
        assert not silent.link.ended
        lost = Client(bench, "bob", "192.0.2.2")
        bench.wait(seconds + 1)
        assert lost.link.ended


def test_probation() -> None:
    """RFC 4976 6.1: who does nothing useful in 30 seconds goes; who has proved himself stays."""
    bench = made()
    alice, thief = Client(bench, "alice", "192.0.2.1"), Client(bench, "thief", "192.0.2.2")
    alice.authenticate()
    thief.ask("AUTH", RELAY)
    bench.wait(31)
    assert "msrp.probation" in thief.link.ended
    assert not alice.link.ended


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        (("Byte-Range: 9-1/5", *TEXT), "400"),
        (("Content-Type: text/plain",), "400"),
        (("Byte-Range: 1-*/100000", *TEXT), "413"),
    ],
)
def test_bad_requests(fields: tuple[str, ...], word: str) -> None:
    """RFC 4975 10: nothing of it passes, and the rest is thrown away."""
    alice, bob, path = pair(made(message_size=1_000))
    alice.ask("SEND", path, *fields, body=b"x" * 10)
    assert [one.word for one in alice.take()] == [word]
    assert not bob.take()
    alice.ask("SEND", path, "Byte-Range: 1-2/2", *TEXT, body=b"ok")
    assert [one.word for one in bob.take()] == ["SEND"]


def test_a_range_that_lies() -> None:
    """More octets than the message has: 400, and the receiver hears that it is over."""
    alice, bob, path = pair(made())
    alice.ask("SEND", path, "Byte-Range: 1-5/5", *TEXT, body=b"123456789")
    assert [one.word for one in alice.take()] == ["400"]
    assert not bob.take()


def test_too_much() -> None:
    """A message of unknown length is cut at the bound (RFC 4975 10.5), with # at the receiver (7.1)."""
    alice, bob, path = pair(made(message_size=1_000))
    begin(alice, path, "a" * 900)
    alice.link.send(b"a" * 200)
    [got] = bob.take()
    assert got.flag == "#"
    assert [one.word for one in alice.take()] == ["413"]


def test_no_further_octet() -> None:
    """RFC 4975 7.3.2, 10.5: 413 may come while the chunk is being sent; then not one more octet leaves."""
    alice, bob, path = pair(made())
    begin(alice, path)
    transaction = b"".join(bob.link.received).split(b" ")[1].decode()
    bob.answer(
        Frame(["MSRP", transaction, "SEND"], {"From-Path": bob.path, "To-Path": bob.uri}, None, ""), "413 No"
    )
    [report] = alice.take()
    assert (report.word, report.fields["Status"], report.fields["Byte-Range"]) == (
        "REPORT", "000 413 No", "1-3/*",
    )  # fmt: skip
    alice.link.send(b"def\r\n-------big12345$\r\n")
    [got] = bob.take()
    assert (got.body, got.flag) == (b"abc", "#")
    assert not alice.take()
