"""RFC 5389 as far as RFC 5626 8 wants it: Binding requests on the SIP port."""

from __future__ import annotations

import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansip.actions import SendDatagram
from sansip.transport.stun import LONGEST, binding_response, is_stun
from tests.rig import UDP, UDP6, Rig, request

COOKIE = bytes.fromhex("2112a442")
ID = bytes.fromhex("b7e7a701bc34d686fa87dfae")
SOURCE4 = ("192.0.2.1", 32853)
SOURCE6 = ("2001:db8:1234:5678:11:2233:4455:6677", 32853, 0, 0)

# RFC 5769 2.1: SOFTWARE, PRIORITY, ICE-CONTROLLED, USERNAME, MESSAGE-INTEGRITY, FINGERPRINT.
SAMPLE = bytes.fromhex(
    "000100582112a442b7e7a701bc34d686fa87dfae"
    "802200105354554e207465737420636c69656e74"
    "002400046e0001ff"
    "80290008932ff9b151263b36"
    "000600096576746a3a68367659202020"
    "000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2"
    "80280004e57a3bcf"
)
# RFC 5769 2.2 and 2.3: the addresses in the sample responses.
XOR4 = bytes.fromhex("002000080001a147e112a643")
XOR6 = bytes.fromhex("002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9")


def attribute(kind: int, value: bytes = b"") -> bytes:
    return kind.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value + bytes(-len(value) % 4)


def message(*attributes: bytes, kind: str = "0001", head: bytes = COOKIE) -> bytes:
    body = b"".join(attributes)
    return bytes.fromhex(kind) + len(body).to_bytes(2, "big") + head + ID + body


def signed(data: bytes) -> bytes:
    """Add FINGERPRINT (RFC 5389 15.5)."""
    data = data[:2] + (len(data) - 12).to_bytes(2, "big") + data[4:]
    return data + attribute(0x8028, (zlib.crc32(data) ^ 0x5354554E).to_bytes(4, "big"))


@pytest.mark.parametrize(("source", "mapped"), [(SOURCE4, XOR4), (SOURCE6, XOR6)])
def test_tells_the_address(source: Any, mapped: bytes) -> None:
    """RFC 5389 15.2 with the transaction ID and addresses of RFC 5769 2.2 and 2.3."""
    assert binding_response(message(), source) == message(mapped, kind="0101")


def test_a_zone_is_nobody_elses() -> None:
    """RFC 4007 11.2: fe80::1%eth0 is fe80::1 to the phone."""
    plain = binding_response(message(), ("fe80::1", 5060, 0, 2))
    assert plain is not None
    assert binding_response(message(), ("fe80::1%eth0", 5060, 0, 2)) == plain


def test_fingerprint() -> None:
    """RFC 5389 15.5: a right fingerprint gets one back; a wrong one gets no answer."""
    request = signed(message(attribute(0x8022, b"a phone")))
    assert binding_response(request, SOURCE4) == signed(message(XOR4, kind="0101"))
    # Every octet but the two that make it a FINGERPRINT.
    for position in (*range(2, len(request) - 8), *range(len(request) - 6, len(request))):
        forged = request[:position] + bytes([request[position] ^ 1]) + request[position + 1 :]
        assert binding_response(forged, SOURCE4) is None


def test_fingerprint_is_last() -> None:
    """RFC 5389 15.5: nothing may follow it."""
    request = signed(message())
    assert binding_response(request[:2] + b"\0\x0c" + request[4:] + attribute(0x8022), SOURCE4) is None


def test_rfc5769_sample() -> None:
    """RFC 5769 2.1 is ICE's: PRIORITY is for other servers than this; the fingerprint holds."""
    answer = binding_response(SAMPLE, SOURCE4)
    refusal = attribute(0x0009, b"\0\0\x04\x14") + attribute(0x000A, b"\0\x24")
    assert answer == signed(message(refusal, kind="0111"))


def test_unknown_attributes() -> None:
    """RFC 5389 7.3.1: 420, and the comprehension-required ones by name, each once."""
    request = message(
        attribute(0x7000, b"x"), attribute(0x8FFF), attribute(0x0002, bytes(8)), attribute(0x7000)
    )
    refusal = attribute(0x0009, b"\0\0\x04\x14") + attribute(0x000A, b"\x70\x00\x00\x02")
    assert binding_response(request, SOURCE4) == message(refusal, kind="0111")


def test_credentials_are_ignored() -> None:
    """RFC 5626 8 has none; and RFC 5389 15.4: what follows MESSAGE-INTEGRITY does not count."""
    request = message(attribute(0x0006, b"me"), attribute(0x0008, bytes(20)), attribute(0x7000))
    assert binding_response(request, SOURCE4) == message(XOR4, kind="0101")


def test_rfc3489_client() -> None:
    """RFC 5389 12.2: no cookie, so MAPPED-ADDRESS; an empty CHANGE-REQUEST asks for nothing."""
    mapped = attribute(0x0001, bytes.fromhex("00018055c0000201"))
    old = b"\x01\x02\x03\x04"
    for attributes in ((), (attribute(0x0003, bytes(4)),)):
        assert binding_response(message(*attributes, head=old), SOURCE4) == message(
            mapped, kind="0101", head=old
        )
    # RFC 3489 11.2.4: another address or port to answer from is not to be had here.
    other = binding_response(message(attribute(0x0003, b"\0\0\0\x06"), head=old), SOURCE4)
    assert other is not None
    assert other[:2] == b"\x01\x11"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 4,
        message()[:19],
        message() + b"\0",
        message() + b"\0\0\0\0",
        message(kind="0011"),
        message(kind="0101"),
        message(kind="0111"),
        message(kind="0003"),
        message(kind="4001"),
        message(b"\x80\x22\x00\x05abcd"),
        message(attribute(0x8022, bytes(LONGEST - 20))),
        b"OPTIONS sip:example.com SIP/2.0\r\n",
    ],
)
def test_dropped(data: bytes) -> None:
    """RFC 5389 7.3: a malformed request, an indication, a response or another method gets no answer."""
    assert binding_response(data, SOURCE4) is None


def test_a_source_that_is_no_address() -> None:
    """Nothing to tell."""
    assert binding_response(message(), ("localhost", 1)) is None


def test_longest() -> None:
    """A request of just that many octets is taken (``LONGEST``)."""
    assert binding_response(message(attribute(0x8022, bytes(LONGEST - 24))), SOURCE4) is not None


@given(st.binary(max_size=64) | st.lists(st.tuples(st.integers(0, 65535), st.binary(max_size=30))))
def test_never_an_amplifier(given: Any) -> None:
    """For any request, the answer is at most an address and a fingerprint longer than it."""
    if isinstance(given, bytes):
        data = b"\x00\x01" + given
    else:
        data = message(*(attribute(kind, value) for kind, value in given))
    for source in (SOURCE4, SOURCE6):
        answer = binding_response(data, source)
        if answer is not None:
            assert len(answer) <= len(data) + 24
            assert answer[4:20] == data[4:20]


def test_is_stun() -> None:
    """RFC 5626 8: the first octet decides; shorter than a header it is a keepalive or garbage."""
    assert is_stun(message())
    assert is_stun(message(kind="0111"))
    assert not is_stun(b"\0\0\0\0")
    assert not is_stun(b"OPTIONS sip:example.com SIP/2.0")


# --- on the SIP port of a stack


def test_on_the_sip_port() -> None:
    """RFC 5626 8: the same interface and UDP port; stateless, and no event of it."""
    rig = Rig()
    for source, mapped in ((SOURCE4, XOR4), (SOURCE6, XOR6)):
        listener = UDP6 if ":" in source[0] else UDP
        [out] = rig.udp(message(), source, listener)
        assert out.action == SendDatagram(listener, message(mapped, kind="0101"), source)
    assert rig.udp(message(kind="0101"), SOURCE4) == []
    assert rig.udp(message()[:-1] + b"\0\0", SOURCE4) == []
    assert rig.empty
    assert rig.events == []


def test_rate_of_a_source() -> None:
    """``limits.source_rate`` holds for STUN, too: requests beyond it are dropped."""
    rig = Rig(limits={"source_rate": 1, "source_burst": 2})
    assert [len(rig.udp(message(), SOURCE4)) for _ in range(3)] == [1, 1, 0]


def test_sip_after_empty_lines() -> None:
    """RFC 3261 7.5: CRLF before the start line is ignored, and does not look like STUN."""
    rig = Rig()
    options = request("OPTIONS", "sip:192.0.2.10")
    assert [out.what for out in rig.udp(b"\r\n\r\n\r\n\r\n" + options)] == ["200"]
    assert rig.udp(b"\0\0\0\0") == []
    assert rig.udp(b"\r\n\r\n") == []
    assert rig.udp(b"") == []
