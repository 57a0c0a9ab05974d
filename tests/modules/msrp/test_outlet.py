"""Receivers that do not read, and ends of connections in the middle of a chunk."""

from __future__ import annotations

import pytest

from sansip.modules.msrp.ends import MsrpLink
from tests.modules.msrp.client import Client, frames
from tests.modules.msrp.relayed import TEXT, begin, made, pair


def test_the_receiver_goes() -> None:
    """What waits for its response is reported (RFC 4976 6.4.1), and the rest of the chunk has no way."""
    alice, bob, path = pair(made())
    alice.ask("SEND", path, "Byte-Range: 1-2/2", *TEXT, body=b"hi")
    begin(alice, path)
    alice.take()
    bob.link.close()
    statuses = [one.fields["Status"][:7] for one in alice.take()]
    assert statuses == ["000 408", "000 481"]
    alice.link.send(b"def\r\n-------big12345$\r\n")
    assert not alice.take()


def test_the_sender_goes() -> None:
    """RFC 4975 7.1: the receiver hears that no more comes."""
    alice, bob, path = pair(made())
    begin(alice, path)
    alice.link.close()
    [got] = bob.take()
    assert (got.body, got.flag) == (b"abc", "#")


def test_a_receiver_that_does_not_read() -> None:
    """Its senders wait; nothing is lost, nothing grows, and others go on."""
    bench = made()
    alice, bob, path = pair(bench)
    carol = Client(bench, "carol", "192.0.2.3")
    carol.authenticate()
    bench.perform(bench.stack.connection_writable(bob.link.conn, False, bench.now))
    alice.ask("SEND", path, "Byte-Range: 1-2/2", *TEXT, body=b"hi")
    assert not bob.take()
    alice.take()
    alice.ask("SEND", f"{alice.path} {carol.path} {carol.uri}", "Byte-Range: 1-2/2", *TEXT, body=b"yo")
    assert [one.body for one in carol.take()] == [b"yo"]
    bench.perform(bench.stack.connection_writable(bob.link.conn, True, bench.now))
    assert [one.body for one in bob.take()] == [b"hi"]


def test_a_receiver_that_refuses_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sender whose octets wait is read again once they are of no use (RFC 4975 10.5)."""
    bench = made()
    alice, bob, path = pair(bench)
    reads: list[tuple[object, bool]] = []
    monkeypatch.setattr(MsrpLink, "read", lambda self, wanted: reads.append((self.remote[0], wanted)))
    begin(alice, path)
    begun = b"".join(bob.link.received)
    bench.perform(bench.stack.connection_writable(bob.link.conn, False, bench.now))
    alice.link.send(b"def")
    assert reads == [("192.0.2.1", False)]
    [got] = frames(begun + b"\r\n-------" + begun.split(b" ", 2)[1] + b"+\r\n")
    bob.answer(got, "481 No Such Session")
    assert reads == [("192.0.2.1", False), ("192.0.2.1", True)]


def test_two_receivers_that_do_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of them reads again: its sender is read, but not on and on for the other one."""
    bench = made()
    alice, bob, path = pair(bench)
    carol = Client(bench, "carol", "192.0.2.3")
    carol.authenticate()
    for one in (bob, carol):
        bench.perform(bench.stack.connection_writable(one.link.conn, False, bench.now))
    reads: list[tuple[object, bool]] = []
    monkeypatch.setattr(MsrpLink, "read", lambda self, wanted: reads.append((self.remote[0], wanted)))
    other = f"{alice.path} {carol.path} {carol.uri}"
    lines = "From-Path: " + alice.uri + "\r\nByte-Range: 1-*/*\r\n" + "\r\n".join(TEXT) + "\r\n\r\nabc"
    first = f"MSRP one12345 SEND\r\nTo-Path: {path}\r\n{lines}\r\n-------one12345$\r\n"
    alice.link.send((first + f"MSRP two12345 SEND\r\nTo-Path: {other}\r\n{lines}").encode())
    bench.perform(bench.stack.connection_writable(bob.link.conn, True, bench.now))
    assert reads[-1] == ("192.0.2.1", True)
    alice.link.send(b"def")
    assert reads[-1] == ("192.0.2.1", False)
    bench.perform(bench.stack.connection_writable(carol.link.conn, True, bench.now))
    assert reads[-1] == ("192.0.2.1", True)
    assert b"".join(carol.link.received).endswith(b"abcdef")


def test_nothing_after_the_end() -> None:
    """RFC 4976 6.2: the connection is dropped, with what came in the same octets."""
    alice, bob, path = pair(made())
    send = "MSRP one12345 SEND\r\nTo-Path: {}\r\nFrom-Path: " + alice.uri + "\r\nMessage-ID: 1\r\n"
    both = "".join(send.format(to) + "-------one12345$\r\n" for to in ("msrps://other.example:1/x;tcp", path))
    alice.link.send(both.encode())
    assert alice.link.ended
    assert not bob.take()
