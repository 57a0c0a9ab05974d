"""The PROXY protocol: announced addresses, and headers that are not believed.

Section numbers are those of HAProxy's doc/proxy-protocol.txt.
"""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansip.transport.proxy_protocol import CRC32C, Announced, ProxyHeaderError, crc32c, read_header

MOST = 2_048
SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
ALICE, BEHIND = ("192.0.2.1", 56324), ("198.51.100.9", 5060)
ALICE6, BEHIND6 = ("2001:db8::1", 56324, 0, 0), ("2001:db8::9", 5061, 0, 0)
LINE = b"PROXY TCP4 192.0.2.1 198.51.100.9 56324 5060\r\n"


def v2(
    block: bytes, family: int = 0x11, command: int = 0x21, extra: bytes = b"", length: int | None = None
) -> bytes:
    size = len(block) + len(extra) if length is None else length
    return SIGNATURE + bytes((command, family)) + size.to_bytes(2, "big") + block + extra


def addresses(source: Any, destination: Any) -> bytes:
    packed = b"".join(ipaddress.ip_address(one[0]).packed for one in (source, destination))
    return packed + source[1].to_bytes(2, "big") + destination[1].to_bytes(2, "big")


def tlv(kind: int, value: bytes) -> bytes:
    return bytes((kind,)) + len(value).to_bytes(2, "big") + value


V4 = v2(addresses(ALICE, BEHIND))
V6 = v2(addresses(ALICE6, BEHIND6), 0x21)


@pytest.mark.parametrize(
    ("header", "source", "destination"),
    [
        (LINE, ALICE, BEHIND),
        (b"PROXY TCP6 2001:DB8::1 2001:db8::9 56324 5061\r\n", ALICE6, BEHIND6),
        (V4, ALICE, BEHIND),
        (V6, ALICE6, BEHIND6),
        # A dual-stack proxy writes IPv4 as IPv6; no other host knows the phone by that.
        (v2(addresses(("::ffff:192.0.2.1", 56324), BEHIND6), 0x21), ALICE, BEHIND6),
    ],
)
def test_who_is_there(header: bytes, source: Any, destination: Any) -> None:
    """Sections 2.1 and 2.2: source and destination as socket addresses; what follows is not touched."""
    read = read_header(header + b"INVITE", MOST)
    assert read == Announced(len(header), source, destination)


@pytest.mark.parametrize(
    "header",
    [
        b"PROXY UNKNOWN\r\n",
        # Section 2.1: whatever follows UNKNOWN is ignored.
        b"PROXY UNKNOWN ffff::1 nonsense 65535 65535\r\n",
        # Section 2.2: LOCAL is the proxy itself, a health check; its block is skipped, whatever it is.
        v2(b"", 0x00, 0x20),
        v2(b"\xff" * 7, 0x11, 0x20),
        # AF_UNSPEC and AF_UNIX have no address that means anything here.
        v2(b"", 0x00),
        v2(b"abc", 0x00),
        v2(b"/tmp/socket".ljust(216, b"\0"), 0x31),
        v2(addresses(ALICE, BEHIND), 0x10),
    ],
)
def test_nobody_is_announced(header: bytes) -> None:
    """The addresses of the socket hold."""
    read = read_header(header, MOST)
    assert read is not None
    assert (read.size, read.source, read.destination) == (len(header), None, None)


@pytest.mark.parametrize(
    ("header", "why"),
    [
        (b"INVITE sip:bob@biloxi.test SIP/2.0\r\n", "no PROXY header"),
        (b"PROXX", "no PROXY header"),
        (b"\r\n\r\n\r\n", "no PROXY header"),
        (b"PROXY TCP4 192.0.2.1 198.51.100.9 56324 5060" + b" " * 80, "more than 107"),
        (b"PROXY TCP4 192.0.2.1 198.51.100.9 56324\r\n", "cannot be read"),
        (b"PROXY TCP4 192.0.2.1 198.51.100.9 056324 5060\r\n", "cannot be read"),
        (b"PROXY TCP4  192.0.2.1 198.51.100.9 56324 5060\r\n", "cannot be read"),
        (b"PROXY TCP5 192.0.2.1 198.51.100.9 56324 5060\r\n", "cannot be read"),
        (b"PROXY TCP4 192.0.2.1 198.51.100.9 65536 5060\r\n", "above 65535"),
        (b"PROXY TCP4 192.0.2.256 198.51.100.9 1 5060\r\n", "no IPv4"),
        (b"PROXY TCP4 192.0.2.01 198.51.100.9 1 5060\r\n", "no IPv4"),
        (b"PROXY TCP4 2001:db8::1 2001:db8::9 1 5060\r\n", "no IPv4"),
        (b"PROXY TCP6 192.0.2.1 198.51.100.9 1 5060\r\n", "no IPv6"),
        (v2(addresses(ALICE, BEHIND), command=0x11), "version 1"),
        (v2(addresses(ALICE, BEHIND), command=0x22), "command 2"),
        (v2(addresses(ALICE, BEHIND), 0x41), "0x41"),
        (v2(addresses(ALICE, BEHIND), 0x13), "0x13"),
        (v2(addresses(ALICE, BEHIND), 0x12), "datagrams on a connection"),
        (v2(addresses(ALICE, BEHIND), 0x21), "shorter than its addresses"),
        (v2(b"", length=3_000), "limits.proxy_header_size"),
        (v2(addresses(ALICE, BEHIND), extra=b"\x04\x00"), "cut short"),
        (v2(addresses(ALICE, BEHIND), extra=b"\x04\x00\x05abcd"), "cut short"),
        (v2(addresses(ALICE, BEHIND), extra=tlv(CRC32C, b"\0\0\0\0")), "checksum"),
        (v2(addresses(ALICE, BEHIND), extra=tlv(CRC32C, b"\0")), "checksum"),
    ],
)
def test_not_believed(header: bytes, why: str) -> None:
    """Section 2: a receiver never guesses; an inexact header is an error, and ends the connection."""
    with pytest.raises(ProxyHeaderError, match=why):
        read_header(header, MOST)


def test_extra() -> None:
    """Section 2.2: TLVs, unknown ones among them, and a checksum over the whole that is right."""
    extra = tlv(0x02, b"sip.example.org") + tlv(0xEA, b"\x01") + tlv(0x04, b"\0" * 9)
    block = addresses(ALICE, BEHIND)
    zeroed = v2(block, extra=extra + tlv(CRC32C, b"\0\0\0\0"))
    header = zeroed[:-4] + crc32c(zeroed).to_bytes(4, "big")
    read = read_header(header, MOST)
    assert read is not None
    assert read.source == ALICE
    assert (read.extra[0x02], read.extra[0xEA]) == (b"sip.example.org", b"\x01")


def test_checksum() -> None:
    """RFC 3720 B.4 and the check value of CRC-32C."""
    assert crc32c(b"123456789") == 0xE306_9283
    assert crc32c(bytes(32)) == 0x8A91_36AA


@pytest.mark.parametrize("header", [LINE, V4, V6, b"PROXY UNKNOWN\r\n", v2(b"", 0x00, 0x20)])
def test_cut_anywhere(header: bytes) -> None:
    """Each beginning of a header is an incomplete header."""
    for end in range(len(header)):
        assert read_header(header[:end], MOST) is None
    assert read_header(header, MOST) is not None


@given(st.sampled_from((b"", b"PROXY ", b"PROXY TCP4 ", SIGNATURE, SIGNATURE + b"\x21\x11")), st.binary())
def test_any_octets(begin: bytes, rest: bytes) -> None:
    """A header, nothing yet, or ProxyHeaderError; a whole header stays whole with more octets behind it."""
    try:
        read = read_header(begin + rest, MOST)
    except ProxyHeaderError:
        return
    if read is not None:
        assert read.size <= len(begin + rest)
        assert read_header(begin + rest + b"more", MOST) == read
