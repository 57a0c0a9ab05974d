"""STUN as a trace expects it: `expect stun` and `expect stun-refusal` (RFC 5389, RFC 5626 8).

Theory of operation: written from the RFC and not from the server's code, so that
both have to be right to agree.
"""

from __future__ import annotations

from ipaddress import ip_address

__all__ = ["ANSWERS", "is_stun_answer"]

ANSWERS = ("stun", "stun-refusal")
_COOKIE = 0x2112A442


def is_stun_answer(data: bytes, what: str, host: str, port: int) -> bool:
    """Return whether ``data`` is the Binding response ``what`` to a request from ``host`` and ``port``.

    ``stun`` is a success with the right XOR-MAPPED-ADDRESS, ``stun-refusal`` a 420 with
    UNKNOWN-ATTRIBUTES.
    """
    if len(data) < 20 or int.from_bytes(data[2:4], "big") != len(data) - 20:
        return False
    attributes: dict[int, bytes] = {}
    rest = data[20:]
    while len(rest) >= 4:
        size = int.from_bytes(rest[2:4], "big")
        attributes[int.from_bytes(rest[:2], "big")] = rest[4 : 4 + size]
        rest = rest[4 + (size + 3 & ~3) :]
    if what == "stun-refusal":
        # RFC 5389 15.6: class 4, number 20.
        error = attributes.get(0x0009, b"")
        return data[:2] == b"\x01\x11" and error[2:4] == b"\x04\x14" and 0x000A in attributes
    mapped = attributes.get(0x0020)
    if data[:2] != b"\x01\x01" or mapped is None:
        return False
    # RFC 5389 15.2: the port is mixed with the cookie's first half, the address with
    # cookie and transaction ID.
    address = int.from_bytes(mapped[4:], "big") ^ int.from_bytes(data[4 : 4 + len(mapped) - 4], "big")
    seen = int.from_bytes(mapped[2:4], "big") ^ _COOKIE >> 16
    return ip_address(address.to_bytes(len(mapped) - 4, "big")) == ip_address(host) and seen == port
