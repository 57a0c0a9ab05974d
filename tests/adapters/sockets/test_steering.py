"""sansip_sockets.steering: responses come to the socket of the worker that the branch names."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator

import pytest

from sansip_sockets.steering import REACH, program, steer

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the filter is Linux's")
COUNT = 4


def test_the_program_fits_into_the_kernel() -> None:
    """linux/bpf_common.h: BPF_MAXINSNS is 4,096; a longer program is refused, and nothing steered."""
    assert len(program()) <= 4_096
    assert all(0 <= true <= 255 and 0 <= false <= 255 for _, true, false, _ in program())


@pytest.fixture
def group() -> Iterator[list[socket.socket]]:
    socks: list[socket.socket] = []
    port = 0
    for _ in range(COUNT):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(("127.0.0.1", port))
        port = sock.getsockname()[1]
        sock.setblocking(False)
        socks.append(sock)
    assert steer(socks[0])
    yield socks
    for sock in socks:
        sock.close()


def arrived(group: list[socket.socket], *datagrams: bytes) -> list[int]:
    """Send from one socket; return how many came to each of the group."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for data in datagrams:
            sender.sendto(data, group[0].getsockname())
    counts = []
    for sock in group:
        count = 0
        try:
            while sock.recv(65_535):
                count += 1
        except BlockingIOError:
            counts.append(count)
    return counts


SPELLINGS = {
    "as we wrote it": "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK{}1.x\r\n",
    "compact": "v: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK{}1.x\r\n",
    "folded": "Via:\r\n SIP/2.0/UDP 192.0.2.1:5060\r\n\t;branch = z9hG4bK{}1.x\r\n",
    "joined": "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK{}1.x, SIP/2.0/UDP 192.0.2.2;branch=z9hG4bKA9\r\n",
    "other parameters": "Via: SIP / 2.0 / UDP 192.0.2.1;rport;received=192.0.2.7;branch=z9hG4bK{}1.x\r\n",
    "behind others": "From: <sip:a@b>;tag=1\r\nCall-ID: 7\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK{}1.x\r\n",
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_responses_are_steered(group: list[socket.socket], spelling: str) -> None:
    """RFC 3261 7.3.1: peers may write our Via in many ways, and each of them is ours still."""
    for number, mark in enumerate("ABCD"):
        text = SPELLINGS[spelling].format(mark)
        datagrams = [f"SIP/2.0 {status}\r\n{text}\r\n".encode() for status in ("200 OK", "487 Terminated")]
        assert arrived(group, *datagrams) == [2 * (number == place) for place in range(COUNT)]


def test_all_else_falls_to_the_hash(group: list[socket.socket]) -> None:
    """Requests of one source stay together, and so does what the program cannot read; none is lost."""
    request = b"INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKC1\r\n\r\n"
    far = b"SIP/2.0 200 OK\r\nServer: " + b"x" * REACH + b"\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKD1\r\n\r\n"
    foreign = b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKz1\r\n\r\n"
    other = b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;branch=z9hG5bKD1\r\n" + b"x" * REACH
    for data in (request, far, foreign, other, b"\r\n\r\n", b"x"):
        assert sorted(arrived(group, *[data] * 5)) == [0, 0, 0, 5]
    # A response without any branch is the first worker's.
    assert arrived(group, b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h\r\n\r\n") == [1, 0, 0, 0]
