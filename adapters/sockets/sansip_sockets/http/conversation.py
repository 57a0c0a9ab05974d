"""One HTTP/1.1 connection, server side: octets in, whole requests out, responses as octets.

Theory of operation: h11 reads and writes; the bounds are here. A request is handed out once it is whole, one
at a time: a request that the client pipelines behind it waits in the buffer, and the server reads nothing
more meanwhile. A request that cannot be accepted raises ``HttpFault`` with the answer to give. After that
answer the connection ends, because it is not certain where the next request begins (RFC 9112 9.6).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import h11

from sansip.errors import without_frames
from sansip.limits import DEFAULT, Limits
from sansip.transport.websocket.handshake import Refusal, accept_of, fields_of, judge_upgrade
from sansip_sockets.pending import Pending

__all__ = ["Conversation", "HttpFault", "HttpRequest", "HttpResponse", "Talk", "Upgrade"]

REASONS: Final = {
    200: "OK",
    201: "Created",
    204: "No Content",
    304: "Not Modified",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    409: "Conflict",
    411: "Length Required",
    412: "Precondition Failed",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    421: "Misdirected Request",
    426: "Upgrade Required",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    505: "HTTP Version Not Supported",
}
_ABSOLUTE: Final = re.compile(r"(?i)https?://[^/?#]*")
# No client may guess the type of an answer of ours, keep the answer, or put it into a frame.
_ALWAYS: Final = (
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
)


@dataclass(slots=True)
class HttpRequest:
    """A request as a whole. Names of ``headers`` are lower-case.

    ``remote`` is the peer's address, ``secure`` whether it came over TLS.
    """

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes = b""
    remote: str = ""
    secure: bool = False

    @property
    def place(self) -> str:
        """The target from its path on, its query included (RFC 9112 3.2.2: the absolute form, too)."""
        return _ABSOLUTE.sub("", self.target, count=1) or "/"

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.place.partition("?")[0]

    def tokens(self, name: str) -> list[str]:
        """Return the elements of the list that the fields ``name`` are (RFC 9110 5.6.1), as they came."""
        parts = (part.strip() for known, value in self.headers if known == name for part in value.split(","))
        return [part for part in parts if part]

    def header(self, name: str) -> str | None:
        """Return the one value of a field; None if it is absent. Raises ``HttpFault`` for several."""
        values = [value for known, value in self.headers if known == name]
        if len(values) > 1:
            raise HttpFault(400, f"more than one {name} field")
        return values[0] if values else None


@dataclass(slots=True)
class HttpResponse:
    """An answer. ``closes``: the connection ends behind it."""

    status: int
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: list[tuple[str, str]] = field(default_factory=list)
    closes: bool = False


# Octets below which a chunk is tiny: programs write bodies by the kilobyte.
SMALL: Final = 64


class Talk(Protocol):
    """One side of a talk over a WebSocket, one message after the other."""

    def attach(self, ring: Callable[[], None]) -> None:
        """Call ``ring`` whenever ``outgoing`` has something."""

    def received(self, data: bytes) -> Generator[Pending[Any] | None, None, bytes]:
        """Return the reply to a message, ``b""`` for none. Raises ``HttpFault`` to end the talk."""

    def outgoing(self) -> bytes | None:
        """Return a message that the client did not ask for, or None."""

    def closed(self) -> None:
        """The connection is over."""


@dataclass(slots=True)
class Upgrade:
    """The answer to a handshake: a WebSocket with ``protocol``, over which ``talk`` talks (RFC 6455)."""

    protocol: str
    talk: Talk


class HttpFault(Exception):
    """A request that is refused as it is: ``status``, and a line for the author of the client."""

    def __init__(self, status: int, text: str, *headers: tuple[str, str]) -> None:
        super().__init__(text)
        self.status = status
        self.headers = list(headers)

    def response(self) -> HttpResponse:
        """Return the answer, behind which the connection ends."""
        return HttpResponse(self.status, f"{self}\n".encode(), headers=self.headers, closes=True)


class Conversation:
    """Reads requests of one connection and writes the answers.

    ``limits``: ``http_head_size`` and ``http_body_size`` bound one request.
    """

    __slots__ = ("_body", "_http", "_limits", "_request", "_size", "_small")

    def __init__(self, limits: Limits = DEFAULT) -> None:
        self._limits = limits
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.http_head_size)
        self._request: h11.Request | None = None
        self._body: list[bytes] = []
        self._size = 0
        self._small = 0

    @property
    def begun(self) -> bool:
        """Whether a request was begun and is not answered."""
        return self._request is not None or bool(self._http.trailing_data[0])

    @property
    def over(self) -> bool:
        """Whether no further request will be read."""
        return self._http.our_state in (h11.MUST_CLOSE, h11.CLOSED, h11.ERROR)

    @property
    def waiting(self) -> int:
        """Octets that are pipelined behind the request at work."""
        return len(self._http.trailing_data[0])

    def received(self, data: bytes) -> None:
        """Take octets of the peer; ``b""`` is the end of what it sends. Raises ``HttpFault``."""
        try:
            self._http.receive_data(data)
        except h11.RemoteProtocolError as error:
            raise _fault(error) from None
        except RuntimeError:
            raise HttpFault(400, "octets behind the end of the connection") from None

    def next_request(self) -> HttpRequest | None:
        """Return the next request if it is whole. Raises ``HttpFault``."""
        try:
            while True:
                event = self._http.next_event()
                if event is h11.NEED_DATA or event is h11.PAUSED:
                    return None
                if isinstance(event, h11.ConnectionClosed):
                    return None
                if isinstance(event, h11.Request):
                    self._begin(event)
                elif isinstance(event, h11.Data):
                    self._size += len(event.data)
                    if event.chunk_end and len(event.data) < SMALL:
                        # Each chunk costs the reader 15 µs, even if it is tiny.
                        self._small += 1
                        if self._small > self._limits.http_small_chunks:
                            most = self._limits.http_small_chunks
                            raise HttpFault(400, f"more than {most} tiny chunks (limits.http_small_chunks)")
                    if self._size > self._limits.http_body_size:
                        raise self._too_large()
                    self._body.append(bytes(event.data))
                elif isinstance(event, h11.EndOfMessage):
                    return self._whole()
        except h11.RemoteProtocolError as error:
            raise _fault(error) from None

    def expected(self) -> bytes:
        """Return the 100 that a client waits for before it sends its body, or nothing (RFC 9110 10.1.1)."""
        if not self._http.they_are_waiting_for_100_continue:
            return b""
        return self._sent(h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue"))

    def respond(self, response: HttpResponse) -> bytes:
        """Return the octets of an answer to the request that was returned last, or to what was refused."""
        reason = REASONS.get(response.status, "").encode()
        head = self._request is not None and self._request.method == b"HEAD"
        given = {name.lower() for name, _ in response.headers}
        headers = [*(one for one in _ALWAYS if one[0].lower() not in given), *response.headers]
        # RFC 9110 8.6, 15.4.5
        bodiless = response.status in (204, 304)
        if not bodiless:
            headers += [("Content-Type", response.content_type), ("Content-Length", str(len(response.body)))]
        if response.closes:
            headers.append(("Connection", "close"))
        if self._http.our_state in (h11.CLOSED, h11.MUST_CLOSE, h11.ERROR):
            return b""
        if self._http.our_state is h11.IDLE and self._http.their_state is h11.IDLE:
            # The request line never ended, so h11 has no request that it would let us answer.
            lines = [b"HTTP/1.1 %d %s" % (response.status, reason)]
            lines += [f"{name}: {value}".encode() for name, value in headers]
            return b"\r\n".join([*lines, b"", response.body])
        data = self._sent(h11.Response(status_code=response.status, headers=headers, reason=reason))
        if not head and not bodiless:
            data += self._sent(h11.Data(data=response.body))
        data += self._sent(h11.EndOfMessage())
        self._request = None
        self._body.clear()
        self._size = self._small = 0
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
        return data

    def switch(self, protocol: str) -> bytes:
        """Return the 101 to a handshake (RFC 6455 4.2.2). Raises ``HttpFault`` for one not in order."""
        request = self._request
        assert request is not None
        try:
            key = judge_upgrade(fields_of(request))
        except Refusal as refusal:
            raise HttpFault(refusal.status, refusal.text, *refusal.headers) from None
        headers = [
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Accept", accept_of(key).decode()),
            ("Sec-WebSocket-Protocol", protocol),
        ]
        event = h11.InformationalResponse(status_code=101, headers=headers, reason=b"Switching Protocols")
        return self._sent(event)

    @property
    def rest(self) -> bytes:
        """The octets that came behind the handshake."""
        return self._http.trailing_data[0]

    def _begin(self, request: h11.Request) -> None:
        self._request = request
        if request.http_version not in (b"1.0", b"1.1"):
            raise HttpFault(505, "expected HTTP/1.1")
        if request.method == b"CONNECT":
            # RFC 9110 9.3.6: after a 2xx to CONNECT the octets are not HTTP any more. This server is no
            # tunnel.
            raise HttpFault(501, "CONNECT is not served here")
        names = [bytes(name) for name, _ in request.headers]
        if names.count(b"content-length") + names.count(b"transfer-encoding") > 1:
            # RFC 9112 11.2: two lengths are how requests are smuggled past a proxy.
            raise HttpFault(400, "more than one Content-Length or Transfer-Encoding field")
        # h11 counts only a head that is not whole yet.
        if len(request.target) + sum(len(name) + len(value) for name, value in request.headers) > (
            self._limits.http_head_size
        ):
            raise HttpFault(431, "the header fields are too long (limits.http_head_size)")
        for name, value in request.headers:
            if name == b"content-length" and int(value) > self._limits.http_body_size:
                raise self._too_large()

    def _whole(self) -> HttpRequest:
        request = self._request
        assert request is not None
        headers = [
            (bytes(name).decode("ascii"), bytes(value).decode("latin-1")) for name, value in request.headers
        ]
        target = bytes(request.target).decode("latin-1")
        return HttpRequest(bytes(request.method).decode("ascii"), target, headers, b"".join(self._body))

    def _too_large(self) -> HttpFault:
        return HttpFault(
            413, f"a body of more than {self._limits.http_body_size} octets (limits.http_body_size)"
        )

    def _sent(self, event: h11.Event) -> bytes:
        return self._http.send(event) or b""


def _fault(error: h11.RemoteProtocolError) -> HttpFault:
    text = str(error)
    without_frames(error)
    status = error.error_status_hint
    if status == 431:
        return HttpFault(431, "the header fields are too long (limits.http_head_size)")
    return HttpFault(status if status in REASONS else 400, text)
