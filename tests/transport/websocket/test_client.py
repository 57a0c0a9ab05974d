"""The client's side of a WebSocket, against the server half of `websockets`."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from sansip.actions import Action, Disconnect, SendData
from sansip.driver import Driver, FilterFactory, OpenConnection
from sansip.entropy import Entropy
from sansip.transport.websocket.client import ClientHandshake, WebSocketClient
from sansip.transport.websocket.frames import TEXT, FrameError, MessageReader, frame, masked_frame
from sansip.transport.websocket.handshake import accept_of
from tests.adapters.fakes import FakeStack

INFO = OpenConnection(0, "ws", ("192.0.2.9", 40_000), ("192.0.2.1", 80), False)
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ANSWER = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: sip\r\n\r\n"
)


class Pair:
    """A driver whose connection is the filter's, and a server at its other end."""

    def __init__(self, protocols: tuple[str, ...] = ("sip",)) -> None:
        self.stack = FakeStack()
        self.stack.on_data = lambda conn, data: []
        filters: dict[str, FilterFactory] = {
            "ws": lambda info: [WebSocketClient("sip.test:8080", Entropy(b"0" * 16), "/sip")]
        }
        self.driver = Driver(self.stack, filters)
        self.server = ServerProtocol(subprotocols=[Subprotocol(one) for one in protocols] or None)
        self.disconnected = ""
        self.seen: list[object] = []
        self.perform(self.driver.connection_opened(1, INFO, 0.0))
        request = self.seen.pop(0)
        assert isinstance(request, Request)
        self.request = request
        self.server.send_response(self.server.accept(request))
        self.flush()

    def perform(self, actions: Sequence[Action]) -> None:
        for action in actions:
            if isinstance(action, SendData):
                self.server.receive_data(action.data)
                self.seen += self.server.events_received()
            elif isinstance(action, Disconnect):
                self.disconnected = action.reason

    def flush(self) -> None:
        for data in self.server.data_to_send():
            if data and not self.disconnected:
                self.perform(self.driver.data_received(1, data, 1.0))


def test_handshake() -> None:
    """RFC 6455 4.1, RFC 7118 4.1: the request's fields, and an answer that is accepted."""
    pair = Pair()
    assert pair.request.path == "/sip"
    assert pair.request.headers["Host"] == "sip.test:8080"
    assert pair.request.headers["Sec-WebSocket-Protocol"] == "sip"
    assert pair.disconnected == ""


def test_messages_both_ways() -> None:
    """Each message that goes down is masked with a key of its own; each that comes up is whole."""
    pair = Pair()
    for size in (1, 125, 126, 5_000, 65_535):
        pair.perform(pair.driver.outgoing([SendData(1, b"x" * size)], 2.0))
        one = pair.seen.pop()
        assert isinstance(one, Frame)
        assert (one.opcode, one.data) == (Opcode.TEXT, b"x" * size)
        pair.server.send_text(b"y" * size)
        pair.flush()
        assert pair.stack.expect("data") == (1, b"y" * size, True)


def test_what_was_sent_before_the_answer_waits() -> None:
    """Not one octet may follow the request before the 101 (RFC 6455 4.1)."""
    one = WebSocketClient("sip.test", Entropy(b"0" * 16))
    assert one.opened(0.0).down[0].startswith(b"GET / HTTP/1.1\r\n")
    assert not one.send(b"OPTIONS", 0.0).down
    assert not one.ready
    assert isinstance(one._handshake, ClientHandshake)
    key = one._handshake._key
    answer = ANSWER.replace(accept_of(KEY), accept_of(key))
    (kept,) = one.received(answer, 1.0).down
    assert kept[:2] == bytes((0x81, 0x87))


def test_pings_are_answered() -> None:
    """RFC 6455 5.5.3, with a mask as well."""
    pair = Pair()
    pair.server.send_ping(b"there?")
    pair.flush()
    one = pair.seen.pop()
    assert isinstance(one, Frame)
    assert (one.opcode, one.data) == (Opcode.PONG, b"there?")


def test_goodbye() -> None:
    """RFC 6455 7.4.1: 1001, in a masked frame; and the server's is taken."""
    pair = Pair()
    pair.perform(pair.driver.outgoing([Disconnect(1, "done")], 2.0))
    assert pair.server.close_rcvd is not None
    assert pair.server.close_rcvd.code == 1001
    other = Pair()
    other.server.send_close(1000)
    other.flush()
    assert "1000" in other.disconnected


def test_a_masked_frame_of_a_server() -> None:
    """RFC 6455 5.1: a client fails the connection."""
    data = masked_frame(TEXT, b"hi", b"abcd")
    with pytest.raises(FrameError, match="must not be masked"):
        list(MessageReader(100, masked=False).feed(data))


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
def test_masked_frames_are_read(size: int) -> None:
    """By our own reader, at each length of the length."""
    data = masked_frame(TEXT, b"z" * size, b"\x01\x02\x03\xff")
    assert list(MessageReader(70_000).feed(data)) == [(TEXT, b"z" * size)]
    assert list(MessageReader(70_000, masked=False).feed(frame(TEXT, b"z" * size))) == [(TEXT, b"z" * size)]


def test_a_server_without_sip() -> None:
    """RFC 7118 4.1: the sub-protocol must be confirmed."""
    assert "sub-protocol sip" in Pair(protocols=()).disconnected


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (b"101 Switching Protocols", b"404 Not Found", "refused with 404 Not Found"),
        (b"s3pP", b"XXXX", "another key"),
        (b"Upgrade: websocket", b"Upgrade: h2c", "does not upgrade"),
        (b"Connection: Upgrade", b"Connection: close", "lacks `Connection: Upgrade`"),
        (b"Protocol: sip", b"Protocol: xmpp", "sub-protocol sip"),
        (b"Sec-WebSocket-Protocol", b"Sec-WebSocket-Extensions: x\r\nSec-WebSocket-Protocol", "extension"),
        (b"HTTP/1.1 101", b"SIP/2.0 400", "no HTTP/1.1"),
    ],
)
def test_answers_that_are_none(old: bytes, new: bytes, says: str) -> None:
    """RFC 6455 4.1: each condition on the answer is checked, and named."""
    handshake = ClientHandshake("sip.test", "/", KEY, 4096)
    result = handshake.feed(ANSWER.replace(old, new))
    assert result is not None
    assert says in result.refused


def test_the_answer_octet_by_octet() -> None:
    """With the first frame right behind it."""
    handshake = ClientHandshake("sip.test", "/", KEY, 4096)
    results = [handshake.feed(ANSWER[at : at + 1]) for at in range(len(ANSWER) - 1)]
    assert results == [None] * (len(ANSWER) - 1)
    last = handshake.feed(ANSWER[-1:] + b"\x81\x02hi")
    assert last is not None
    assert (last.refused, last.rest) == ("", b"\x81\x02hi")
