"""Which transaction an ICMP error is about; a forged one ends no call."""

from __future__ import annotations

import pytest

from sansip.actions import SendDatagram
from sansip_sockets.sent import Sent

HEAD = b"INVITE sip:bob@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bK%d\r\n"
BOB = ("192.0.2.2", 5060)


def datagram(number: int) -> SendDatagram:
    return SendDatagram(0, HEAD % number + b"Max-Forwards: 70\r\n\r\n", BOB, number)


@pytest.fixture
def sent() -> Sent:
    sent = Sent(4)
    for number in range(1, 7):
        sent.append(datagram(number))
    return sent


def test_the_quoted_one(sent: Sent) -> None:
    """RFC 3261 18.4: whole or cut behind the branch; whatever form the kernel gives the address."""
    assert sent.owner(0, BOB, datagram(5).data) == 5
    assert sent.owner(0, (*BOB, 0, 0), HEAD % 6) == 6


def test_what_a_router_adds(sent: Sent) -> None:
    """RFC 4884 5: a router may pad with zeros and append any data."""
    assert sent.owner(0, BOB, datagram(5).data + bytes(17) + b"\x20\x00") == 5


@pytest.mark.parametrize("quoted", [b"", b"INVITE s", HEAD[:60], (HEAD % 5)[:-2], HEAD % 55])
def test_what_anybody_can_write_proves_nothing(sent: Sent, quoted: bytes) -> None:
    """RFC 792 promises eight octets: a forger knows those, and cannot guess a branch (RFC 3261 8.1.1.7)."""
    assert sent.owner(0, BOB, quoted) == 0


def test_another_listener_or_port(sent: Sent) -> None:
    """The error is about the socket that it came to, and the peer that it names."""
    assert sent.owner(1, BOB, datagram(5).data) == 0
    assert sent.owner(0, ("192.0.2.2", 5061), datagram(5).data) == 0


def test_the_latest_are_remembered(sent: Sent) -> None:
    """limits.sends_remembered: of older ones the timer of the transaction remains."""
    assert [sent.owner(0, BOB, datagram(number).data) for number in range(1, 7)] == [0, 0, 3, 4, 5, 6]


def test_a_branch_in_the_request_uri(sent: Sent) -> None:
    """The caller wrote that, so it proves nothing."""
    data = (
        b"INVITE sip:bob;branch=z9hG4bKx@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKsecret\r\n\r\n"
    )
    sent.append(SendDatagram(0, data, BOB, 9))
    assert sent.owner(0, BOB, data[:60]) == 0
    assert sent.owner(0, BOB, data) == 9
