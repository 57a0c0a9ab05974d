"""Sockets of connections: made, tuned, and on their way to a peer.

Theory of operation: plain functions over one socket; ``streams`` waits for the outcome.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from sansip.transport.transports import SCTP
from sansip_sockets import sctp
from sansip_sockets.bind import IP_BIND_ADDRESS_NO_PORT, BoundListener

if TYPE_CHECKING:
    from sansip.actions import Connect

__all__ = ["SEND_BUFFER", "begin_connect", "tune"]

# Octets that the kernel keeps for a peer that does not read, in addition to limits.connection_backlog. By
# itself the kernel would let them grow to 4 MiB for each connection.
SEND_BUFFER = 131_072


def tune(sock: socket.socket, transport: str) -> None:
    """Set what SIP wants of a connection, before it is connected or when it was accepted."""
    if transport == SCTP:
        sctp.tune(sock)
        return
    setsockopt: Callable[..., None] = sock.setsockopt
    try:
        # Each message goes out when it is written: Nagle's algorithm would delay it and save nothing.
        setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    except OSError:
        pass  # the peer is gone already: the first read says so


def begin_connect(action: Connect, listener: BoundListener | None) -> socket.socket:
    """Return a non-blocking socket that is connecting, from the address of ``listener`` if there is one.

    It is writable when that has succeeded or failed. Raises ``OSError`` if it cannot begin.
    """
    family = socket.AF_INET6 if ":" in action.address[0] else socket.AF_INET
    if action.transport == SCTP:
        sock = sctp.open_socket(family)
    else:
        sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        tune(sock, action.transport)
        if (
            listener is not None
            and sock.family == listener.sock.family
            and listener.host not in ("0.0.0.0", "::")
        ):
            # Peers know us by the listener's address.
            if sys.platform == "linux" and action.transport != SCTP:
                # The kernel chooses the port at connect, so connections to different peers may
                # share it: 28,000 connections to each peer, not in all.
                sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
            sock.bind((listener.host, 0, *listener.address[2:]))
        failure = sock.connect_ex(action.address)
        if failure not in (0, errno.EINPROGRESS, errno.EWOULDBLOCK):
            raise OSError(failure, os.strerror(failure))
    except BaseException:
        sock.close()
        raise
    return sock
