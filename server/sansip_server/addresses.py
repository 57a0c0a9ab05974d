"""What addresses this machine has, for defaults and for wildcard listeners.

Theory of operation: 0.0.0.0 and :: receive on every address but cannot stand in a
Via, so a wildcard listener advertises the address that the machine's default route
uses. All its addresses are its own domains, whichever of them a phone was given.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from pathlib import Path

__all__ = ["has_ipv6_loopback", "machine_addresses", "primary_address"]

# RFC 5737, RFC 3849: documentation addresses, to ask the routing table for "far away".
_FAR = {socket.AF_INET: ("192.0.2.1", 9), socket.AF_INET6: ("2001:db8::1", 9)}
# Linux's ioctl for the address of an interface (netdevice(7)).
_SIOCGIFADDR = 0x8915


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


def machine_addresses() -> set[str]:
    """Return the machine's addresses as far as the system tells (on Linux: all but aliases)."""
    found = {address for ipv6 in (False, True) if (address := primary_address(ipv6))}
    found |= {"127.0.0.1"} | _interfaces_ipv4() | _interfaces_ipv6()
    return found


def _interfaces_ipv4() -> set[str]:
    found = set()
    with contextlib.suppress(ImportError, OSError):
        import fcntl

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            for _, name in socket.if_nameindex():
                with contextlib.suppress(OSError):
                    request = struct.pack("256s", name.encode()[:15])
                    found.add(socket.inet_ntoa(fcntl.ioctl(probe, _SIOCGIFADDR, request)[20:24]))
    return found


def _interfaces_ipv6() -> set[str]:
    found = set()
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/net/if_inet6").read_text(encoding="ascii").splitlines():
            address = socket.inet_ntop(socket.AF_INET6, bytes.fromhex(line.split()[0]))
            # Link-local addresses need a zone, which SIP cannot write.
            if not address.startswith("fe80:"):
                found.add(address)
    return found
