"""The peer in the contract of every runtime: the same tests on each, over real loopback sockets.

Theory of operation: the server of fakes runs in a thread, the test is a peer in blocking socket code. Nothing
sleeps: a test waits for what must happen, and only a failure takes its whole patience.
"""

from __future__ import annotations

import socket

import pytest

BOTH_FAMILIES = pytest.mark.parametrize("host", ["127.0.0.1", "::1"])


def read_all(sock: socket.socket, size: int = -1) -> bytes:
    """Read ``size`` octets, or all until the end of input."""
    data = bytearray()
    while size < 0 or len(data) < size:
        piece = sock.recv(65536)
        if not piece:
            break
        data += piece
    return bytes(data)
