"""The opening handshake of a WebSocket, server side (RFC 6455 4.2, RFC 7118 4).

Theory of operation: h11 reads the HTTP request. The handshake compares the request with the configuration.
The answer is either 101, or a refusal whose body says in one line what was expected, because the author of
the client reads it. ``judge_upgrade`` is the part that holds for every sub-protocol.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha1
from typing import Protocol

import h11

from sansip.errors import without_frames

__all__ = [
    "AnyHandshake",
    "Handshake",
    "HandshakeResult",
    "Refusal",
    "WebSocketConfig",
    "accept_of",
    "fields_of",
    "is_for_sip",
    "judge_upgrade",
    "tokens_of",
]

# RFC 6455 1.3
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_REASONS = {
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    421: "Misdirected Request",
    426: "Upgrade Required",
    431: "Request Header Fields Too Large",
    505: "HTTP Version Not Supported",
}


@dataclass(slots=True)
class WebSocketConfig:
    """Which clients may open a WebSocket.

    Attributes:
        origins: web pages that may, as their origin, like `https://phone.example.org`
            (RFC 6455 10.2). Empty: all. Programs that are no browser send no origin
            and are let in either way; an origin protects users of browsers, not the
            server.
        hosts: names that the Host field may have, without port. Empty: all.
        paths: paths that lead to SIP, like `/ws`. Empty: all.
    """

    origins: list[str] = field(default_factory=list)
    hosts: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)


@dataclass(slots=True)
class HandshakeResult:
    """The answer to send. ``refused`` says why there will be no WebSocket; "" when there is.

    ``rest`` holds the octets that the client sent after its request, ``protocol`` the sub-protocol that is
    spoken.
    """

    response: bytes
    refused: str = ""
    rest: bytes = b""
    protocol: str = "sip"


class AnyHandshake(Protocol):
    """One side of a handshake."""

    def feed(self, data: bytes) -> HandshakeResult | None: ...


class Refusal(Exception):
    """There will be no WebSocket: the answer's status, its text, and further fields of it."""

    def __init__(self, status: int, text: str, *headers: tuple[str, str]) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.headers = headers


class Handshake:
    """Reads one request. ``most`` octets are taken for its head; beyond that it is refused.

    ``protocols`` are sub-protocols that are spoken beside SIP.
    """

    __slots__ = ("_config", "_http", "_protocols")

    def __init__(self, config: WebSocketConfig, most: int, protocols: Collection[str] = ()) -> None:
        self._config = config
        self._protocols = protocols
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=most)

    def feed(self, data: bytes) -> HandshakeResult | None:
        """Take octets; return None until the request is whole."""
        try:
            self._http.receive_data(data)
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                return None
            if not isinstance(event, h11.Request):
                raise Refusal(400, "expected a WebSocket handshake (RFC 6455 4.1)")
            key, protocol = self._judge(event)
        except h11.RemoteProtocolError as error:
            # h11 raises the error that it caught as ``self``: its frame holds the error that holds the frame.
            without_frames(error)
            status = error.error_status_hint if error.error_status_hint in _REASONS else 400
            return _refuse(status, f"not an HTTP/1.1 request: {error}")
        except Refusal as refusal:
            return _refuse(refusal.status, refusal.text, refusal.headers)
        digest = accept_of(key).decode()
        response = (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {digest}\r\nSec-WebSocket-Protocol: {protocol}\r\n\r\n"
        )
        return HandshakeResult(response.encode(), "", self._http.trailing_data[0], protocol)

    def _judge(self, request: h11.Request) -> tuple[bytes, str]:
        """Return the key of a handshake that is in order, and the sub-protocol; raise Refusal."""
        headers = fields_of(request)
        if request.method != b"GET":
            raise Refusal(405, "a WebSocket handshake is a GET (RFC 6455 4.1)", ("Allow", "GET"))
        if request.http_version != b"1.1":
            raise Refusal(505, "a WebSocket handshake needs HTTP/1.1 (RFC 6455 4.1)")
        self._judge_path(request)
        if b"websocket" not in tokens_of(headers.get(b"upgrade", ())):
            raise Refusal(
                426,
                "this port speaks SIP over WebSocket: connect with a WebSocket client, sub-protocol sip",
                ("Upgrade", "websocket"),
            )
        key = judge_upgrade(headers)
        self._judge_policy(request, headers)
        offered = tokens_of(headers.get(b"sec-websocket-protocol", ()))
        for one in offered:
            # RFC 6455 4.2.2 step 5: the first of the client's that we speak. RFC 7118 4.1: sip; RFC 7977
            # 5.1: msrp.
            if (protocol := one.decode("latin-1")) == "sip" or protocol in self._protocols:
                return key, protocol
        found = b", ".join(offered).decode("latin-1") or "none"
        raise Refusal(
            400, f"the sub-protocol must be `Sec-WebSocket-Protocol: sip` (RFC 7118 4.1); offered: {found}"
        )

    def _judge_path(self, request: h11.Request) -> None:
        # Before all that is WebSocket's own: elsewhere on this port another thing may be.
        paths = self._config.paths
        path = request.target.decode("latin-1").partition("?")[0]
        if paths and path not in paths:
            raise Refusal(404, f"no SIP at {path}; expected {' or '.join(paths)}")

    def _judge_policy(self, request: h11.Request, headers: dict[bytes, list[bytes]]) -> None:
        config = self._config
        host = headers.get(b"host", [b""])[0].decode("latin-1").lower()
        name = re.sub(r":[0-9]*\Z", "", host).strip("[]")
        if config.hosts and name not in (known.lower().strip("[]") for known in config.hosts):
            # RFC 9110 15.5.20
            raise Refusal(421, f"no SIP for the host {name or 'without a name'} here")
        origins = headers.get(b"origin", [])
        if config.origins and origins:
            # RFC 6454 6.2: an origin is compared as a whole, scheme and host in lower case.
            origin = origins[0].decode("latin-1").lower()
            if len(origins) > 1 or origin not in (known.lower().rstrip("/") for known in config.origins):
                # RFC 6455 4.2.2 step 4
                raise Refusal(403, f"pages of origin {origin} may not connect")


def fields_of(request: h11.Request) -> dict[bytes, list[bytes]]:
    """Return the values of each field, by its name in lower case."""
    headers: dict[bytes, list[bytes]] = {}
    for name, value in request.headers:
        headers.setdefault(bytes(name), []).append(bytes(value))
    return headers


def is_for_sip(request: h11.Request, protocols: Collection[bytes] = ()) -> bool:
    """Whether ``request`` asks for SIP over WebSocket, in order or not (RFC 7118 4.1).

    ``protocols`` are others that are spoken there, by modules.
    """
    headers = fields_of(request)
    offered = tokens_of(headers.get(b"sec-websocket-protocol", ()))
    return (
        request.method == b"GET"
        and b"websocket" in tokens_of(headers.get(b"upgrade", ()))
        and (b"sip" in offered or any(one in protocols for one in offered))
    )


def judge_upgrade(headers: Mapping[bytes, Sequence[bytes]]) -> bytes:
    """Return the key of a handshake whose fields are in order; raise ``Refusal`` (RFC 6455 4.2.1)."""
    if b"upgrade" not in tokens_of(headers.get(b"connection", ())):
        raise Refusal(400, "the field `Connection: Upgrade` is missing (RFC 6455 4.2.1)")
    if headers.get(b"sec-websocket-version") != [b"13"]:
        # RFC 6455 4.4
        raise Refusal(
            426,
            "Sec-WebSocket-Version must be 13 (RFC 6455 4.2.1)",
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
        )
    keys = headers.get(b"sec-websocket-key", [])
    # RFC 6455 4.2.1: 16 octets in base64
    if len(keys) != 1 or not re.fullmatch(rb"[A-Za-z0-9+/]{22}==", keys[0]):
        raise Refusal(400, "Sec-WebSocket-Key must be one value of 16 octets in base64 (RFC 6455 4.2.1)")
    return keys[0]


def accept_of(key: bytes) -> bytes:
    """Return the Sec-WebSocket-Accept for a Sec-WebSocket-Key (RFC 6455 4.2.2 step 5)."""
    return binascii.b2a_base64(sha1(key + _GUID).digest(), newline=False)


def tokens_of(values: Iterable[bytes]) -> list[bytes]:
    return [token.strip().lower() for value in values for token in value.split(b",") if token.strip()]


def _refuse(status: int, text: str, headers: Iterable[tuple[str, str]] = ()) -> HandshakeResult:
    body = f"{text}\n".encode()
    lines = [f"HTTP/1.1 {status} {_REASONS[status]}", *(f"{name}: {value}" for name, value in headers)]
    lines += ["Content-Type: text/plain; charset=utf-8", f"Content-Length: {len(body)}", "Connection: close"]
    head = "\r\n".join([*lines, "", ""]).encode()
    return HandshakeResult(head + body, f"handshake refused with {status}: {text}")
