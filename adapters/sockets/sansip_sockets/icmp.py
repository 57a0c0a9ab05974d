"""ICMP errors of a datagram socket: which destination is dead.

Theory of operation: one UDP socket talks to all peers, so "connection refused" as the result of
some later ``sendto`` does not say which peer it is about. With IP_RECVERR Linux keeps the errors
in a queue of the socket, each with the destination and the beginning of the datagram it is about.
The queue is read when a send or a receive fails, and when the socket woke us and had nothing to
read; it is never on the path of a datagram that arrives. Other platforms have no such queue:
there a dead next hop costs its transaction's timer (RFC 3261 17.1.1.2, Timer B).
"""

from __future__ import annotations

import os
import socket
import struct
import sys

from sansip.actions import Address
from sansip_sockets.bind import IP_RECVERR, IPV6_RECVERR

__all__ = ["read_icmp_errors"]

# linux/errqueue.h: struct sock_extended_err starts with ee_errno, ee_origin, ee_type, ee_code.
_EXTENDED_ERROR = struct.Struct("=IBBB")
_ORIGIN_ICMP = 2
_ORIGIN_ICMP6 = 3
# The quoted octets are enough to find the top Via's branch; the network quotes
# 500 to 1200 of them.
_QUOTE = 1500
# Errors read at once; the remaining ones wake us again.
_BATCH = 256


def read_icmp_errors(sock: socket.socket) -> list[tuple[Address, bytes, str]]:
    """Empty the error queue: (destination, start of the datagram sent there, reason) each.

    RFC 3261 18.4: unreachable and parameter problem are failures to send;
    source quench and time exceeded are ignored, and so is "too big", which the
    kernel handles by fragmenting.
    """
    found: list[tuple[Address, bytes, str]] = []
    if sys.platform != "linux":
        return found
    for _ in range(_BATCH):
        try:
            data, ancillary, _, address = sock.recvmsg(_QUOTE, 512, socket.MSG_ERRQUEUE | socket.MSG_DONTWAIT)
        except OSError:
            return found
        for level, kind, value in ancillary:
            if (level, kind) not in ((socket.IPPROTO_IP, IP_RECVERR), (socket.IPPROTO_IPV6, IPV6_RECVERR)):
                continue
            number, origin, icmp_type, icmp_code = _EXTENDED_ERROR.unpack_from(value)
            if _is_failure(origin, icmp_type, icmp_code) and address:
                found.append((address, data, os.strerror(number)))
    return found


def _is_failure(origin: int, icmp_type: int, code: int) -> bool:
    if origin == _ORIGIN_ICMP:
        # 3 unreachable (4: fragmentation needed), 12 parameter problem
        return (icmp_type == 3 and code != 4) or icmp_type == 12
    if origin == _ORIGIN_ICMP6:
        # 1 unreachable, 4 parameter problem
        return icmp_type in (1, 4)
    # Errors of this machine are returned by sendto itself.
    return False
