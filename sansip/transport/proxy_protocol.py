"""The PROXY protocol, versions 1 and 2: the real client behind a load balancer.

Theory of operation: a TCP load balancer opens a connection of its own for each one that it takes, and names
the client before the first octet (HAProxy's doc/proxy-protocol.txt, the specification). ``read_header`` gets
the octets received so far and returns the content of the header, None while it is not whole, or raises. It
never guesses: where a header is expected it must come, and where it is not expected it must not be believed.

Version 1 is a line of text, version 2 binary with room for more ("TLVs"). A proxy that speaks for itself (a
health check: LOCAL, UNKNOWN), or for a client without an IP address (AF_UNIX, AF_UNSPEC), announces no
address, and the socket's address holds.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field

from sansip.actions import Address

__all__ = ["CRC32C", "Announced", "ProxyHeaderError", "crc32c", "read_header"]

# Section 2.1: the longest line of version 1, with CRLF.
_LINE_SIZE = 107
_V1 = b"PROXY "
# Section 2.2: octets that no other protocol begins with.
_V2 = b"\r\n\r\n\x00\r\nQUIT\n"
_V2_HEAD = 16

_PORT = r"(0|[1-9][0-9]{0,4})"
_LINE = re.compile(rf"PROXY TCP([46]) ([0-9A-Fa-f.:]+) ([0-9A-Fa-f.:]+) {_PORT} {_PORT}")

# Section 2.2: the address family -> octets of both addresses with their ports.
_INET, _INET6, _UNIX = 1, 2, 3
_ADDRESSES = {_INET: 12, _INET6: 36, _UNIX: 216}
_STREAM = 1

# Section 2.2.1 and 2.2.3
CRC32C = 0x03


class ProxyHeaderError(Exception):
    """The peer sent no PROXY header, or not one that can be believed; the text says why."""


@dataclass(slots=True)
class Announced:
    """The content of a header, and its ``size`` in octets.

    ``source`` and ``destination`` are socket addresses; None if the proxy does not speak for a client that
    has one. ``extra`` holds the TLVs of version 2 by type.
    """

    size: int
    source: Address | None = None
    destination: Address | None = None
    extra: dict[int, bytes] = field(default_factory=dict)


def read_header(data: bytes, most: int) -> Announced | None:
    """Return the header that ``data`` begins with, or None while it is not whole.

    ``most`` bounds a header of version 2, TLVs included. Raises ``ProxyHeaderError``.
    """
    if data.startswith(_V2[: len(data)]):
        return _read_v2(data, most) if len(data) >= _V2_HEAD else None
    if data.startswith(_V1[: len(data)]):
        return _read_v1(data)
    raise ProxyHeaderError("no PROXY header where one must be")


def _read_v1(data: bytes) -> Announced | None:
    end = data.find(b"\r\n", 0, _LINE_SIZE)
    if end < 0:
        if len(data) >= _LINE_SIZE:
            raise ProxyHeaderError(f"a PROXY line of more than {_LINE_SIZE} octets")
        return None
    line = data[:end].decode("latin-1")
    size = end + 2
    if line == "PROXY UNKNOWN" or line.startswith("PROXY UNKNOWN "):
        # Section 2.1: whatever follows is ignored, and the socket's addresses hold.
        return Announced(size)
    found = _LINE.fullmatch(line)
    if found is None:
        raise ProxyHeaderError("a PROXY line that cannot be read")
    version, source, destination = int(found[1]), found[2], found[3]
    ports = int(found[4]), int(found[5])
    if max(ports) > 65_535:
        raise ProxyHeaderError("a port above 65535 in the PROXY line")
    return Announced(size, _address(source, ports[0], version), _address(destination, ports[1], version))


def _address(text: str, port: int, version: int) -> Address:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        address = None
    if address is None or address.version != version:
        raise ProxyHeaderError(f"{text} is no IPv{version} address")
    return _socket_address(address, port)


def _socket_address(address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int) -> Address:
    if address.version == 4:
        return (str(address), port)
    mapped = address.ipv4_mapped
    if mapped is not None:
        # A dual-stack proxy's way to write an IPv4 address; the other parts do not use this form.
        return (str(mapped), port)
    return (str(address), port, 0, 0)


def _read_v2(data: bytes, most: int) -> Announced | None:
    version, command = data[12] >> 4, data[12] & 15
    family, protocol = data[13] >> 4, data[13] & 15
    if version != 2 or command > 1:
        # Section 2.2: anything else must be dropped.
        raise ProxyHeaderError(f"a PROXY header of version {version}, command {command}")
    size = _V2_HEAD + int.from_bytes(data[14:16], "big")
    if size > most:
        raise ProxyHeaderError(f"a PROXY header of {size} octets (limits.proxy_header_size)")
    if len(data) < size:
        return None
    if command == 0:
        # LOCAL: the proxy announces no client, and the rest is skipped in any case.
        return Announced(size)
    if family > _UNIX or protocol > 2:
        raise ProxyHeaderError(f"an address family and protocol (0x{data[13]:02x}) that are not defined")
    if family and protocol not in (0, _STREAM):
        raise ProxyHeaderError("a PROXY header that announces datagrams on a connection")
    addresses = _V2_HEAD + _ADDRESSES.get(family, 0)
    if size < addresses:
        raise ProxyHeaderError("a PROXY header shorter than its addresses")
    # Without a family nothing tells where TLVs would begin (section 2.2: it is skipped).
    announced = Announced(size, extra=_extra(data[:size], addresses) if family else {})
    if protocol != _STREAM or family not in (_INET, _INET6):
        return announced
    width = 4 if family == _INET else 16
    block = data[_V2_HEAD:addresses]
    ports = int.from_bytes(block[-4:-2], "big"), int.from_bytes(block[-2:], "big")
    kind = ipaddress.IPv4Address if family == _INET else ipaddress.IPv6Address
    announced.source = _socket_address(kind(block[:width]), ports[0])
    announced.destination = _socket_address(kind(block[width : 2 * width]), ports[1])
    return announced


def _extra(header: bytes, start: int) -> dict[int, bytes]:
    """Return the TLVs of ``header``, which begin at ``start``; a checksum among them must be right."""
    found: dict[int, bytes] = {}
    position = start
    while position < len(header):
        if len(header) - position < 3:
            raise ProxyHeaderError("a TLV of the PROXY header is cut short")
        kind = header[position]
        value = position + 3
        position = value + int.from_bytes(header[value - 2 : value], "big")
        if position > len(header):
            raise ProxyHeaderError("a TLV of the PROXY header is cut short")
        found[kind] = header[value:position]
        if kind == CRC32C:
            # Section 2.2.3: over the whole header, with zeros in the sum's own place.
            zeroed = header[:value] + bytes(position - value) + header[position:]
            if crc32c(zeroed).to_bytes(4, "big") != found[kind]:
                raise ProxyHeaderError("the checksum of the PROXY header is wrong")
    return found


def crc32c(data: bytes) -> int:
    """Return the CRC-32C of ``data`` (RFC 3720 appendix B.4)."""
    value = 0xFFFF_FFFF
    for octet in data:
        value = _TABLE[(value ^ octet) & 0xFF] ^ (value >> 8)
    return value ^ 0xFFFF_FFFF


def _table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (0x82F6_3B78 if value & 1 else 0)
        table.append(value)
    return table


_TABLE = _table()
