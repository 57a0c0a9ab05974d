"""Input that is no message: streams, frames, other datagrams, name servers' replies."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest

from sansip.limits import Limits
from sansip.transport import StreamFramer
from sansip.transport.proxy_protocol import ProxyHeaderError, read_header
from sansip.transport.stun import binding_response
from sansip.transport.websocket import WebSocket, WebSocketConfig
from tests.cost.measure import grows, seconds, slows, steps
from tests.fuzz.targets.names import dns
from tests.fuzz.targets.web import HANDSHAKE
from tests.rig import Rig, relay_to, request

SMALL = request("OPTIONS", "sip:biloxi.test", transport="TCP")
# Parts that a stream may repeat without end.
UNITS = {
    "messages": SMALL,
    "pings": b"\r\n\r\n",
    "line ends": b"\r\n",
    "pings and line ends": b"\r\n\r\n\n",
    "carriage returns": b"\r",
    "half pings": b"\r\n\r",
    "a head without end": b"X: y\r\n",
    "lengths": b"l: 0\r\n",
    "zeros": b"\0",
}
FRAMES = {
    "tiny frames": b"\x81\x81\0\0\0\0a",
    "empty frames": b"\x81\x80\0\0\0\0",
    "fragments": b"\x00\x81\0\0\0\0a",
    "pings": b"\x89\x80\0\0\0\0",
    "pongs": b"\x8a\x80\0\0\0\0",
}
MOST = 60_000


def framed(unit: bytes, piece: int) -> Callable[[int], Callable[[], object]]:
    def of(octets: int) -> Callable[[], object]:
        data = unit * (octets // len(unit))

        def play() -> None:
            framer = StreamFramer(Limits())
            for at in range(0, len(data), piece):
                framer.feed(data[at : at + piece])

        return play

    return of


@pytest.mark.parametrize("piece", [7, 4096, MOST])
@pytest.mark.parametrize("name", UNITS)
def test_a_stream_is_cut(name: str, piece: int) -> None:
    """However it comes: each octet is looked at a bounded number of times."""
    of = framed(UNITS[name], piece)
    assert not (why := grows(lambda octets: steps(of(octets)), MOST)), why
    assert not (why := slows(lambda octets: seconds(of(octets)), MOST)), why


@pytest.mark.parametrize("name", UNITS)
def test_a_stream_is_served(name: str) -> None:
    """The same through the whole stack, with its answers."""

    def of(octets: int) -> Callable[[], object]:
        rig = Rig(relay_to("sip:bob@192.0.2.2"))
        data = UNITS[name] * (octets // len(UNITS[name]))

        def play() -> None:
            conn = rig.accept()
            rig.tcp(conn, data)
            rig.closed(conn)

        return play

    assert not (why := grows(lambda octets: steps(of(octets)), MOST)), why
    assert not (why := slows(lambda octets: seconds(of(octets)), MOST)), why


@pytest.mark.parametrize("piece", [5, MOST])
@pytest.mark.parametrize("name", [*FRAMES, "a handshake"])
def test_a_websocket(name: str, piece: int) -> None:
    """Frames as small as they can be, and a handshake without end."""

    def of(octets: int) -> Callable[[], object]:
        unit = FRAMES.get(name, b"X: y\r\n")
        start = HANDSHAKE + (b"\x01\x81\0\0\0\0a" if name == "fragments" else b"")
        data = (start if name in FRAMES else b"GET / HTTP/1.1\r\n") + unit * (octets // len(unit))

        def play() -> None:
            socket = WebSocket(WebSocketConfig(), Limits(websocket_head_size=MOST))
            for at in range(0, len(data), piece):
                if socket.received(data[at : at + piece], 1.0).closing is not None:
                    break

        return play

    assert not (why := grows(lambda octets: steps(of(octets)), 30_000)), why
    assert not (why := slows(lambda octets: seconds(of(octets)), 30_000)), why


@pytest.mark.parametrize("begin", [b"PROXY TCP4 ", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff"])
def test_a_proxy_header(begin: bytes) -> None:
    """One octet at a time: it is read again with each, and bounded."""

    def of(octets: int) -> Callable[[], object]:
        def play() -> None:
            with contextlib.suppress(ProxyHeaderError):
                for at in range(octets):
                    read_header((begin + b"1" * octets)[:at], Limits().proxy_header_size)

        return play

    most = Limits().proxy_header_size
    assert not (why := grows(lambda octets: steps(of(octets)), most)), why


@pytest.mark.parametrize("attribute", [b"\x80\x22\0\0", b"\0\6\0\4abcd", b"\0\1\xff\xff"])
def test_stun(attribute: bytes) -> None:
    """RFC 8489 5: attributes to the end of a datagram."""

    def of(octets: int) -> Callable[[], object]:
        rest = attribute * (octets // len(attribute))
        data = b"\0\1" + len(rest).to_bytes(2, "big") + b"\x21\x12\xa4\x42" + bytes(12) + rest
        return lambda: binding_response(data, ("192.0.2.1", 5060))

    assert not (why := grows(lambda octets: steps(of(octets)), MOST)), why
    assert not (why := slows(lambda octets: seconds(of(octets)), MOST)), why


@pytest.mark.parametrize(
    "record",
    [
        b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x09",
        b"\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x3c\x00\x06\x03two\xc0\x0c",
        b"\xc0\x0c\x00\x21\x00\x01\x00\x00\x00\x3c\x00\x0c\x00\x0a\x00\x01\x13\xc4\x03one\xc0\x0c",
        b"\xc0\x0c\x00\x23\x00\x01\x00\x00\x00\x3c\x00\x17\x00\x32\x00\x32\x01s\x07SIP+D2U\x00\x04_sip\xc0\x0c",
    ],
)
def test_a_reply_of_a_name_server(record: bytes) -> None:
    """RFC 1035 4.1.4: records by the thousand, each with a name that points back."""

    def of(octets: int) -> Callable[[], object]:
        count = octets // len(record)
        head = b"\x01\x01\x00\x00" + count.to_bytes(1, "big") if count < 256 else b"\x01\x01\x00\x00\xff"
        return lambda: dns(head + b"\x80" + record * count)

    most = Limits().dns_message - 200
    assert not (why := grows(lambda octets: steps(of(octets)), most)), why
    assert not (why := slows(lambda octets: seconds(of(octets)), most)), why
