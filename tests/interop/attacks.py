"""Attacks on a listener, each a function that returns how the attack ended.

Theory of operation: blocking sockets, octets written out. An attack returns the seconds after which the
server had cut it, or raises ``AssertionError`` where it did not within ``PATIENCE``.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = [
    "Address",
    "churn",
    "garbage",
    "half_handshake",
    "half_message",
    "half_upgrade",
    "header_flood",
    "never_reads",
    "octet_by_octet",
    "oversized_frame",
    "silent",
    "unmasked_frame",
]

Address = tuple[str, int]
# How a connection to the listener is opened: plain, or with TLS around it.
Dial = Callable[[], socket.socket]

PATIENCE = 20.0
REGISTER = (
    b"REGISTER sip:hostile.test SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bKx\r\n"
    b"Max-Forwards: 70\r\nFrom: <sip:x@hostile.test>;tag=1\r\nTo: <sip:x@hostile.test>\r\n"
    b"Call-ID: hostile\r\nCSeq: 1 REGISTER\r\nContent-Length: 0\r\n\r\n"
)
OPTIONS = (
    "OPTIONS sip:hostile.test SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bK%d\r\nMax-Forwards: 70\r\n"
    "From: <sip:x@hostile.test>;tag=1\r\nTo: <sip:hostile.test>\r\nCall-ID: %d\r\nCSeq: 1 OPTIONS\r\n"
    "Content-Length: 0\r\n\r\n"
)
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Protocol: sip\r\n\r\n"
)


def plain(address: Address) -> socket.socket:
    """Open a TCP connection."""
    return socket.create_connection(address, timeout=PATIENCE)


def secure(address: Address) -> socket.socket:
    """Open a TLS connection, to any server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(plain(address))


@contextmanager
def timed() -> Iterator[list[float]]:
    """Put the seconds that the block took into the list."""
    took: list[float] = []
    begun = time.monotonic()
    yield took
    took.append(time.monotonic() - begun)


def read_to_end(peer: socket.socket) -> bytes:
    """Return the octets until the server closes."""
    got = b""
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while data := peer.recv(65_536):
            got += data
    return got


def silent(dial: Dial) -> float:
    """Connect and say nothing."""
    with dial() as peer, timed() as took:
        assert read_to_end(peer) == b""
    return took[0]


def half_message(dial: Dial) -> float:
    """Send the first half of a request."""
    with dial() as peer, timed() as took:
        peer.sendall(REGISTER[: len(REGISTER) // 2])
        read_to_end(peer)
    return took[0]


def octet_by_octet(dial: Dial) -> float:
    """Send a request that never ends one octet at a time, so that the connection is never idle."""
    with dial() as peer, timed() as took, contextlib.suppress(ConnectionError, ssl.SSLError):
        peer.settimeout(0.02)
        end = time.monotonic() + PATIENCE
        for octet in REGISTER[:-2] + b"X: " + b"y" * 100_000:
            assert time.monotonic() < end, "never cut"
            peer.sendall(bytes([octet]))
            with contextlib.suppress(TimeoutError):
                if peer.recv(100) == b"":
                    break
    return took[0]


def header_flood(dial: Dial) -> float:
    """Send header fields without end, as fast as they are taken."""
    with dial() as peer, timed() as took:
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            peer.sendall(REGISTER[:-2])
            for number in range(100_000):
                peer.sendall(b"X-%d: %s\r\n" % (number, b"y" * 200))
        read_to_end(peer)
    return took[0]


def never_reads(dial: Dial) -> float:
    """Ask without end and read no answer."""
    with dial() as peer, timed() as took, contextlib.suppress(ConnectionError, ssl.SSLError):
        for start in range(0, 1_000_000, 50):
            peer.sendall("".join(OPTIONS % (one, one) for one in range(start, start + 50)).encode())
    return took[0]


def garbage(address: Address) -> float:
    """Send noise where a handshake or a message belongs."""
    with plain(address) as peer, timed() as took:
        with contextlib.suppress(ConnectionError):
            peer.sendall(os.urandom(5_000) + b"\r\n\r\n")
        read_to_end(peer)
    return took[0]


def half_handshake(address: Address) -> float:
    """Send a ClientHello, and nothing after it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    outgoing = ssl.MemoryBIO()
    half = context.wrap_bio(ssl.MemoryBIO(), outgoing)
    with contextlib.suppress(ssl.SSLWantReadError):
        half.do_handshake()
    with plain(address) as peer, timed() as took:
        peer.sendall(outgoing.read())
        assert len(read_to_end(peer)) > 0
    return took[0]


def half_upgrade(dial: Dial) -> float:
    """Begin the HTTP request of a WebSocket and stop."""
    with dial() as peer, timed() as took:
        peer.sendall(UPGRADE[:60])
        read_to_end(peer)
    return took[0]


def _close_code(dial: Dial, octets: bytes) -> int:
    with dial() as peer:
        peer.sendall(UPGRADE + octets)
        answer = read_to_end(peer).partition(b"\r\n\r\n")[2]
    # RFC 6455 5.5.1
    assert answer[:1] == b"\x88", answer
    return int.from_bytes(answer[2:4], "big")


def unmasked_frame(dial: Dial) -> int:
    """Send a frame that a client must mask; return the close code (RFC 6455 5.1)."""
    return _close_code(dial, bytes.fromhex("8105") + b"Hello")


def oversized_frame(dial: Dial) -> int:
    """Announce a frame of 2**62 octets; return the close code (RFC 6455 7.4.1)."""
    return _close_code(dial, bytes.fromhex("82ff") + bytes.fromhex("4000000000000000") + b"\0" * 4)


def churn(address: Address, count: int, threads: int = 2) -> float:
    """Open and close ``count`` connections, every other one by a reset; return the seconds it took."""

    def some(first: int) -> None:
        for number in range(first, count, threads):
            with plain(address) as peer:
                if number % 2:
                    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                elif number % 4:
                    peer.sendall(b"\r\n\r\n")

    workers = [threading.Thread(target=some, args=(first,)) for first in range(threads)]
    with timed() as took:
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    return took[0]
