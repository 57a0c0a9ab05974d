"""STUN on the SIP port: where a phone asks what address its NAT gave it (RFC 5626 3.5.2 and 8).

Theory of operation: a phone that speaks Outbound over UDP keeps its NAT binding open by STUN Binding requests
to the port that it registered at, and notices by the address in the answers when the NAT has given it another
one. The first octet of STUN is 0 or 1, that of SIP never is, so the two share a port (RFC 5626 8). An answer
is a function of the request and its source. The code keeps no state, and drops anything that is not a
well-formed Binding request without an answer. No answer is longer than its request by more than an address,
so an attacker gains nothing by a forged source. The usage has no credentials (RFC 5626 8): such attributes
are known, and ignored.
"""

from __future__ import annotations

from binascii import crc32
from typing import Final

from sansip.actions import Address
from sansip.wire.host import ipv4_octets, ipv6_octets

__all__ = ["LONGEST", "binding_response", "is_stun"]

# RFC 5389 7.1: a size that surely fits an IPv4 path. Longer requests are dropped.
LONGEST: Final = 548

_HEADER: Final = 20
# RFC 5389 6: begins the transaction ID of everyone but RFC 3489's clients (12.2).
_COOKIE: Final = b"\x21\x12\xa4\x42"
# RFC 5389 18.1: method Binding, with its classes.
_REQUEST: Final = b"\x00\x01"
_SUCCESS: Final = b"\x01\x01"
_ERROR: Final = b"\x01\x11"
# RFC 5389 18.2
_MAPPED_ADDRESS: Final = 0x0001
_MESSAGE_INTEGRITY: Final = 0x0008
_ERROR_CODE: Final = 0x0009
_UNKNOWN_ATTRIBUTES: Final = 0x000A
_XOR_MAPPED_ADDRESS: Final = 0x0020
_FINGERPRINT: Final = 0x8028
# RFC 3489 11.2.4: asks for an answer from another address; all zero asks for nothing.
_CHANGE_REQUEST: Final = 0x0003
# Comprehension-required attributes that a request may have here: USERNAME, MESSAGE-INTEGRITY, REALM, NONCE.
_KNOWN: Final = frozenset((0x0006, _MESSAGE_INTEGRITY, 0x0014, 0x0015))
# RFC 5389 15.5: the value that is mixed into the checksum, so that another protocol's checksum does not
# match.
_FINGERPRINT_MASK: Final = 0x5354554E


def is_stun(data: bytes) -> bool:
    """Return whether a datagram can be STUN and so cannot be SIP (RFC 5626 8)."""
    return len(data) >= _HEADER and data[0] < 2


def binding_response(data: bytes, source: Address) -> bytes | None:
    """Return the answer to the Binding request ``data`` from ``source``.

    None for everything else: other methods and classes, and malformed messages (RFC 5389 7.3). Takes linear
    time, raises nothing.
    """
    if not _HEADER <= len(data) <= LONGEST or data[:2] != _REQUEST:
        return None
    # RFC 5389 6: the length leaves the header out and is a multiple of four.
    if len(data) % 4 or int.from_bytes(data[2:4], "big") != len(data) - _HEADER:
        return None
    host = str(source[0]).partition("%")[0]
    address = ipv4_octets(host) or ipv6_octets(host)
    if address is None:
        return None
    modern = data[4:8] == _COOKIE
    unknown, fingerprint = _check(data, modern)
    if unknown is None:
        return None
    port = int(source[1]).to_bytes(2, "big")
    family = b"\x00\x01" if len(address) == 4 else b"\x00\x02"
    if unknown:
        # RFC 5389 7.3.1, 15.6, 15.9. No reason phrase: an answer must be short.
        kind = _ERROR
        listed = b"".join(number.to_bytes(2, "big") for number in unknown)
        body = _attribute(_ERROR_CODE, b"\x00\x00\x04\x14") + _attribute(_UNKNOWN_ATTRIBUTES, listed)
    elif modern:
        # RFC 5389 15.2: obfuscated, for there are NATs that rewrite any address they see.
        kind = _SUCCESS
        mask = data[4:20]
        body = _attribute(_XOR_MAPPED_ADDRESS, family + _xor(port, mask) + _xor(address, mask))
    else:
        # RFC 5389 12.2: a client of RFC 3489 knows the plain attribute only.
        kind = _SUCCESS
        body = _attribute(_MAPPED_ADDRESS, family + port + address)
    if not fingerprint:
        return kind + len(body).to_bytes(2, "big") + data[4:20] + body
    # RFC 5389 15.5: the length under the checksum counts the attribute itself.
    message = kind + (len(body) + 8).to_bytes(2, "big") + data[4:20] + body
    return message + _attribute(_FINGERPRINT, _fingerprint(message))


def _check(data: bytes, modern: bool) -> tuple[list[int] | None, bool]:
    """Return the attributes that make a 420, and whether there is a FINGERPRINT.

    None in place of the list where the message is malformed.
    """
    unknown: list[int] = []
    signed = False
    at = _HEADER
    end = len(data)
    while at < end:
        # The message and every attribute are padded to four octets (RFC 5389 15).
        kind = int.from_bytes(data[at : at + 2], "big")
        size = int.from_bytes(data[at + 2 : at + 4], "big")
        after = at + 4 + (size + 3) // 4 * 4
        if after > end:
            return None, False
        value = data[at + 4 : at + 4 + size]
        if kind == _FINGERPRINT:
            # RFC 5389 15.5 and 7.3: the last attribute, and right, or it is not STUN.
            right = after == end and value == _fingerprint(data[:at])
            return (unknown, True) if right else (None, False)
        if signed:
            # RFC 5389 15.4: ignore the attributes after MESSAGE-INTEGRITY.
            pass
        elif kind == _MESSAGE_INTEGRITY:
            signed = True
        elif kind < 0x8000 and kind not in _KNOWN and kind not in unknown:
            if modern or kind != _CHANGE_REQUEST or any(value):
                unknown.append(kind)
        at = after
    return unknown, False


def _attribute(kind: int, value: bytes) -> bytes:
    padding = bytes(-len(value) % 4)
    return kind.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value + padding


def _xor(value: bytes, mask: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(value, mask, strict=False))


def _fingerprint(message: bytes) -> bytes:
    return (crc32(message) ^ _FINGERPRINT_MASK).to_bytes(4, "big")
