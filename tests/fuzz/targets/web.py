"""Octets of a WebSocket client (RFC 6455, RFC 7118), and of an HTTP client (RFC 9112)."""

from __future__ import annotations

from collections.abc import Iterable

from sansip.limits import Limits
from sansip.transport.websocket import WebSocket, WebSocketConfig
from sansip_sockets.http import Conversation, HttpFault, HttpRequest, HttpResponse

__all__ = ["http", "websocket"]

LIMITS = Limits(message_size=2_000)
HTTP_LIMITS = Limits(http_head_size=500, http_body_size=200)
HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: a.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: sip\r\n\r\n"
)


def websocket(data: bytes) -> None:
    """Any cut gives the same messages and the same end; none is larger than allowed."""
    for start in (b"", HANDSHAKE):
        octets = start + data
        whole = _feed([octets])
        step = data[0] % 13 + 1 if data else 1
        assert _feed(octets[at : at + step] for at in range(0, len(octets), step)) == whole
        assert all(len(message) <= LIMITS.message_size for message in whole[0])


def _feed(pieces: Iterable[bytes]) -> tuple[list[bytes], str]:
    """Return the messages, and why the connection ended.

    Of several pings the last may be answered (RFC 6455 5.5.3), so pongs depend on the cut.
    """
    socket = WebSocket(WebSocketConfig(), LIMITS)
    socket.opened(0.0)
    up: list[bytes] = []
    for piece in pieces:
        if not piece:
            # An adapter reads at least one octet, or the end.
            continue
        output = socket.received(piece, 1.0)
        up += output.up
        if output.closing is not None:
            # A part of a handshake may be enough to tell its fault.
            return up, output.closing.partition(": ")[0]
    socket.send(b"SIP/2.0 200 OK\r\n\r\n", 2.0)
    # A silent peer is closed in the end: a ping, and then the line.
    now = 2.0
    for _ in range(20):
        now += LIMITS.connection_idle
        if socket.time_passed(now).closing is not None:
            break
    return up, ""


def http(data: bytes) -> None:
    """Any cut gives the same requests; each is answered or refused, and none is larger than allowed."""
    whole, refused = _asked([data])
    step = data[0] % 13 + 1 if data else 1
    cut, cut_refused = _asked(data[at : at + step] for at in range(0, len(data), step))
    # h11 finds some faults with the first octets of a line, so a cut one may be refused for another reason,
    # and what is too long by the line may be seen before its end.
    assert refused is cut_refused
    assert cut == whole
    assert all(len(request.body) <= HTTP_LIMITS.http_body_size for request in whole)


def _asked(pieces: Iterable[bytes]) -> tuple[list[HttpRequest], bool]:
    """Return the requests, and whether the connection was refused."""
    conversation = Conversation(HTTP_LIMITS)
    requests: list[HttpRequest] = []
    try:
        for piece in pieces:
            if not piece:
                continue
            conversation.received(piece)
            while not conversation.over and (request := conversation.next_request()) is not None:
                requests.append(request)
                conversation.expected()
                answer = conversation.respond(HttpResponse(200, b"{}"))
                assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
            conversation.expected()
            if conversation.over:
                return requests, False
    except HttpFault as fault:
        refusal = fault
    else:
        return requests, False
    assert conversation.respond(refusal.response()).startswith(b"HTTP/1.1 %d " % refusal.status)
    return requests, True
