"""The client side of a WebSocket, for programs that speak to a SIP server over one (RFC 7118 4).

Theory of operation: all but the handshake and the masks is as on the server's side, so this is that filter
with two parts exchanged. The client checks the answer to its request as RFC 6455 4.1 says, because it must
tell a slow server from one that does not speak WebSocket or SIP.
"""

from __future__ import annotations

import binascii

import h11

from sansip.entropy import Entropy
from sansip.limits import DEFAULT, Limits
from sansip.transport.filter import Output
from sansip.transport.websocket.filter import WebSocket
from sansip.transport.websocket.frames import MessageReader, masked_frame
from sansip.transport.websocket.handshake import HandshakeResult, accept_of, tokens_of

__all__ = ["ClientHandshake", "WebSocketClient"]


class ClientHandshake:
    """One request and its answer. ``host`` is the value of the Host field, ``key`` 24 octets of base64.

    ``protocol``: the sub-protocol that is asked for, without which the answer is a fault.
    """

    __slots__ = ("_http", "_key", "_protocol", "request")

    def __init__(self, host: str, path: str, key: bytes, most: int, protocol: str = "sip") -> None:
        self._key = key
        self._protocol = protocol.encode()
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=most)
        request = h11.Request(
            method="GET",
            target=path,
            headers=[
                (b"Host", host.encode()),
                (b"Upgrade", b"websocket"),
                (b"Connection", b"Upgrade"),
                (b"Sec-WebSocket-Key", key),
                (b"Sec-WebSocket-Version", b"13"),
                # RFC 7118 4.1
                (b"Sec-WebSocket-Protocol", self._protocol),
            ],
        )
        self.request = self._http.send(request) or b""
        self._http.send(h11.EndOfMessage())

    def feed(self, data: bytes) -> HandshakeResult | None:
        """Take octets; return None until the answer is whole."""
        try:
            self._http.receive_data(data)
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                return None
        except h11.RemoteProtocolError as error:
            return HandshakeResult(b"", f"the answer is no HTTP/1.1: {error}")
        if not isinstance(event, h11.InformationalResponse) or event.status_code != 101:
            status = getattr(event, "status_code", 0)
            reason = bytes(getattr(event, "reason", b"")).decode("latin-1")
            return HandshakeResult(b"", f"the WebSocket was refused with {status} {reason}".rstrip())
        refused = self._judge(event)
        return HandshakeResult(b"", refused, b"" if refused else self._http.trailing_data[0])

    def _judge(self, response: h11.InformationalResponse) -> str:
        """Return the fault of a 101, "" if it has none (RFC 6455 4.1)."""
        headers: dict[bytes, list[bytes]] = {}
        for name, value in response.headers:
            headers.setdefault(name, []).append(value)
        if tokens_of(headers.get(b"upgrade", ())) != [b"websocket"]:
            return "the 101 does not upgrade to websocket"
        if b"upgrade" not in tokens_of(headers.get(b"connection", ())):
            return "the 101 lacks `Connection: Upgrade`"
        if headers.get(b"sec-websocket-accept") != [accept_of(self._key)]:
            return "the 101 answers another key"
        if headers.get(b"sec-websocket-extensions"):
            return "the 101 uses an extension that was not asked for"
        if headers.get(b"sec-websocket-protocol") != [self._protocol]:
            # RFC 7118 4.1
            wanted = self._protocol.decode()
            what = "SIP" if wanted == "sip" else wanted
            return f"the server does not speak {what} there (no sub-protocol {wanted})"
        return ""


class WebSocketClient(WebSocket):
    """One WebSocket connection, client side: a ``sansip.driver.Filter``.

    ``host`` is the name or address, with the port where it is not the default one,
    that the URI named. ``entropy`` makes the key and the masks.
    """

    __slots__ = ("_entropy", "_request")

    def __init__(self, host: str, entropy: Entropy, path: str = "/", limits: Limits = DEFAULT) -> None:
        super().__init__(None, limits)
        self._entropy = entropy
        key = binascii.b2a_base64(bytes.fromhex(entropy.token() + entropy.token()), newline=False)
        handshake = ClientHandshake(host, path, key, limits.websocket_head_size)
        self._handshake = handshake
        self._request = handshake.request
        self._reader = MessageReader(limits.message_size, masked=False)

    def opened(self, now: float) -> Output:
        """Ask for the WebSocket."""
        return Output((self._request,))

    def _frame(self, opcode: int, payload: bytes) -> bytes:
        # RFC 6455 5.3: a new key for each frame.
        return masked_frame(opcode, payload, self._entropy.number(1 << 32).to_bytes(4, "big"))
