"""A UDP socket for a module that keeps its questions itself."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.actions import CloseDatagram, OpenDatagram, SendDatagram
from sansip.clock import Timers
from sansip.errors import LocalProtocolError
from sansip.limits import Limits
from sansip.module.peer import DATAGRAM, PeerBusy, PeerFailed
from sansip.module.plain_socket import PlainSocket
from sansip.module.sockets import FIRST, Sockets

RELAY = ("192.0.2.99", 22222)


class Bench:
    """One such socket, and what it told."""

    def __init__(self, remote: Any = RELAY, **limits: Any) -> None:
        self.out: list[Any] = []
        self.told: list[Any] = []
        self.sockets = Sockets(Timers(), Limits(**limits), self.out, lambda: 1)
        self.one = PlainSocket(self.sockets, remote, self.received, self.lost, self.failed)

    def received(self, data: bytes, now: float) -> None:
        if data == b"odd":
            raise ValueError("no answer")
        self.told.append((data, now))

    def lost(self, reason: str, now: float) -> None:
        self.told.append((reason, now))

    def failed(self, where: str, error: BaseException) -> None:
        self.told.append((where, str(error)))


def test_sends_and_hears() -> None:
    """It opens with the first datagram; an exception of the module is its own failure, and is told."""
    bench = Bench()
    bench.one.send(b"1", 5.0)
    bench.one.send(b"2", 5.0)
    assert bench.out == [
        OpenDatagram(FIRST, RELAY),
        SendDatagram(FIRST, b"1", RELAY, FIRST),
        SendDatagram(FIRST, b"2", RELAY, FIRST),
    ]
    assert bench.sockets.datagram_received(FIRST, b"heard", 6.0)
    assert bench.one.heard == 6.0
    assert bench.sockets.datagram_received(FIRST, b"odd", 7.0)
    assert bench.told == [(b"heard", 6.0), ("received", "no answer")]


def test_is_lost_and_opened_again() -> None:
    """An ICMP error is told, and the next datagram has a socket of its own (RFC 1122 4.1.3.3)."""
    bench = Bench()
    bench.one.send(b"1", 5.0)
    bench.out.clear()
    assert bench.sockets.datagram_failed(FIRST, "refused", 6.0)
    assert bench.told == [("refused", 6.0), ("closed", 6.0)]
    bench.one.send(b"2", 7.0)
    assert bench.out == [
        CloseDatagram(FIRST),
        OpenDatagram(FIRST - 1, RELAY),
        SendDatagram(FIRST - 1, b"2", RELAY, FIRST - 1),
    ]
    bench.one.close(8.0)
    bench.one.close(8.0)
    assert bench.told[2:] == [("closed", 8.0)]
    assert len(bench.sockets) == 0


def test_refuses() -> None:
    """A datagram that cannot be, one socket too many, and a name, which has to be looked up first."""
    bench = Bench()
    with pytest.raises(PeerBusy):
        bench.one.send(b"x" * (DATAGRAM + 1), 5.0)
    with pytest.raises(PeerFailed, match="module_sockets"):
        Bench(module_sockets=0).one.send(b"x", 5.0)
    with pytest.raises(LocalProtocolError, match="look a name up first"):
        Bench(("relay.example", 1))
    assert str(Bench(("2001:db8::1", 5)).one) == "[2001:db8::1]:5"
    assert str(bench.one) == "192.0.2.99:22222"
