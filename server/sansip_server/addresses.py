"""The addresses that this machine has, for the default listeners and for wildcards.

Theory of operation: 0.0.0.0 and :: receive on every address but cannot stand in a
Via, and a datagram sent from such a socket may leave from another address than
the peer wrote to. So a wildcard is a short way to write all addresses of the
machine, each with a socket of its own.
"""

from __future__ import annotations

import array
import contextlib
import socket
import struct
from pathlib import Path

__all__ = ["has_ipv6_loopback", "machine_addresses", "primary_address"]

# RFC 5737, RFC 3849: documentation addresses, to ask the routing table for "far away".
_FAR = {socket.AF_INET: ("192.0.2.1", 9), socket.AF_INET6: ("2001:db8::1", 9)}
# Linux's ioctl for all IPv4 addresses, and the size of an answer's record (netdevice(7)).
_SIOCGIFCONF = 0x8912
_IFREQ_SIZE = 40


def has_ipv6_loopback() -> bool:
    """Return whether a socket can be bound to ::1."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def primary_address(ipv6: bool) -> str | None:
    """Return the address this machine sends from to the world, or None. Sends nothing."""
    family = socket.AF_INET6 if ipv6 else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            # Connecting a datagram socket only chooses a route.
            probe.connect(_FAR[family])
            address = str(probe.getsockname()[0])
    except OSError:
        return None
    return None if address in ("0.0.0.0", "::") else address


def machine_addresses(ipv6: bool) -> list[str]:
    """Return the machine's addresses of one family, the primary one first, loopback last."""
    found = dict.fromkeys(_interfaces_ipv6() if ipv6 else _interfaces_ipv4())
    primary = primary_address(ipv6)
    loopback = "::1" if ipv6 else "127.0.0.1"
    rest = [address for address in found if address not in (primary, loopback)]
    last = [loopback] if not ipv6 or has_ipv6_loopback() else []
    return [*([primary] if primary and primary != loopback else []), *rest, *last]


def _interfaces_ipv4() -> list[str]:
    found: list[str] = []
    with contextlib.suppress(ImportError, OSError):
        import fcntl

        buffer = array.array("B", bytes(256 * _IFREQ_SIZE))
        address, size = buffer.buffer_info()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            answer = fcntl.ioctl(probe, _SIOCGIFCONF, struct.pack("iL", size, address))
        (filled, _) = struct.unpack("iL", answer)
        # A record is a name of 16 octets and a sockaddr_in: family, port, address.
        starts = range(20, filled, _IFREQ_SIZE)
        found += [socket.inet_ntoa(buffer[start : start + 4].tobytes()) for start in starts]
    return found


def _interfaces_ipv6() -> list[str]:
    found: list[str] = []
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/net/if_inet6").read_text(encoding="ascii").splitlines():
            address = socket.inet_ntop(socket.AF_INET6, bytes.fromhex(line.split()[0]))
            # Link-local addresses need a zone, which SIP cannot write.
            if not address.startswith("fe80:"):
                found.append(address)
    return found
