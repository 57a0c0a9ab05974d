"""The opening handshake: accepted requests, and the text of each refusal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansip.transport.websocket.handshake import Handshake, HandshakeResult, WebSocketConfig

FIELDS = {
    "Host": "sip.example.org:8080",
    "Upgrade": "websocket",
    "Connection": "keep-alive, Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Protocol": "sip",
    "Origin": "https://phone.example.org",
}


def request(line: str = "GET /ws?x=1 HTTP/1.1", **changes: str | None) -> bytes:
    fields = dict(FIELDS)
    for name, value in changes.items():
        name = name.replace("_", "-")
        if value is None:
            del fields[name]
        else:
            fields[name] = value
    return "\r\n".join([line, *(f"{name}: {value}" for name, value in fields.items()), "", ""]).encode()


def answer(data: bytes, config: WebSocketConfig | None = None) -> HandshakeResult:
    result = Handshake(config or WebSocketConfig(), 16_384).feed(data)
    assert result is not None
    return result


def test_accepted() -> None:
    """RFC 6455 1.3 has this key and this answer; RFC 7118 4.2 has the sub-protocol."""
    result = answer(request())
    assert result.refused == ""
    head = result.response.decode()
    assert head.startswith("HTTP/1.1 101 ")
    assert "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in head
    assert "Sec-WebSocket-Protocol: sip\r\n" in head


def test_in_pieces_and_with_frames_behind_it() -> None:
    """A client may send its first frame before it has read the 101."""
    data = request() + b"\x81\x80keys"
    handshake = Handshake(WebSocketConfig(), 16_384)
    for index in range(len(data) - 7):
        assert handshake.feed(data[index : index + 1]) is None
    result = handshake.feed(data[-7:])
    assert result is not None
    assert result.rest == b"\x81\x80keys"


def test_no_extension_is_negotiated() -> None:
    """Browsers offer permessage-deflate; it is off, for it costs memory on each connection."""
    result = answer(request(Sec_WebSocket_Extensions="permessage-deflate"))
    assert b"xtensions" not in result.response
    assert result.refused == ""


def test_one_of_several_protocols() -> None:
    """RFC 6455 4.1: the client offers a list."""
    assert answer(request(Sec_WebSocket_Protocol="msrp, SIP")).refused == ""


@pytest.mark.parametrize(
    ("data", "status", "says"),
    [
        (request(Sec_WebSocket_Protocol=None), 400, "offered: none"),
        (request(Sec_WebSocket_Protocol="msrp, chat"), 400, "offered: msrp, chat"),
        (request(Sec_WebSocket_Version="8"), 426, "Sec-WebSocket-Version: 13\r\n"),
        (request(Sec_WebSocket_Version=None), 426, "must be 13"),
        (request(Upgrade=None), 426, "connect with a WebSocket client"),
        (request(Connection="close"), 400, "`Connection: Upgrade` is missing"),
        (request(Sec_WebSocket_Key="short"), 400, "16 octets in base64"),
        (request(Sec_WebSocket_Key=None), 400, "16 octets in base64"),
        (request("POST /ws HTTP/1.1"), 405, "Allow: GET\r\n"),
        (request("GET /ws HTTP/1.0"), 505, "needs HTTP/1.1"),
        (request(Host=None), 400, "not an HTTP/1.1 request"),
        (b"REGISTER sip:example.org SIP/2.0\r\nVia: SIP/2.0/TCP x\r\n\r\n", 400, "not an HTTP/1.1 request"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\r\n\r\n", 400, "not an HTTP/1.1 request"),
        (b"GET / HTTP/1.1\r\nCookie: " + b"x" * 16_384, 431, "not an HTTP/1.1 request"),
    ],
)
def test_refused(data: bytes, status: int, says: str) -> None:
    """RFC 6455 4.2.1, 4.4: the status, and a body that tells the client's author what to change."""
    result = answer(data)
    assert result.response.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"Connection: close\r\n" in result.response
    assert says in result.response.decode()
    assert result.refused.startswith(f"handshake refused with {status}: ")
    head, _, body = result.response.partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head


@pytest.mark.parametrize(
    ("config", "data", "status"),
    [
        (WebSocketConfig(origins=["https://phone.example.org"]), request(), 101),
        (WebSocketConfig(origins=["https://Phone.example.org/"]), request(), 101),
        (WebSocketConfig(origins=["https://phone.example.org"]), request(Origin="https://evil.test"), 403),
        (WebSocketConfig(origins=["https://phone.example.org"]), request(Origin="null"), 403),
        (WebSocketConfig(origins=["https://phone.example.org"]), request(Origin=None), 101),
        (WebSocketConfig(hosts=["SIP.example.org"]), request(), 101),
        (WebSocketConfig(hosts=["other.example.org"]), request(), 421),
        (WebSocketConfig(hosts=["::1"]), request(Host="[::1]:80"), 101),
        (WebSocketConfig(paths=["/ws"]), request(), 101),
        (WebSocketConfig(paths=["/ws"]), request("GET / HTTP/1.1"), 404),
    ],
)
def test_policy(config: WebSocketConfig, data: bytes, status: int) -> None:
    """Origin (RFC 6455 10.2), Host and path, where the operator restricts them."""
    assert answer(data, config).response.startswith(f"HTTP/1.1 {status} ".encode())


@given(st.binary(max_size=300))
def test_any_octets_are_answered_or_awaited(data: bytes) -> None:
    """No octets make it raise."""
    result = Handshake(WebSocketConfig(), 100).feed(data)
    assert result is None or result.response
