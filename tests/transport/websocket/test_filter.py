"""The WebSocket filter in a driver's hands, against the client half of `websockets`.

The client is another implementation of RFC 6455, so that a mistake made twice
cannot hide.
"""

from __future__ import annotations

import pytest
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.uri import parse_uri

from sansip.actions import Disconnect, SendData
from sansip.driver import Driver, OpenConnection
from sansip.limits import Limits
from sansip.transport.websocket import WebSocket, WebSocketConfig
from tests.adapters.fakes import FakeStack

LIMITS = Limits(message_size=1_000)
INFO = OpenConnection(0, "ws", ("192.0.2.9", 80), ("192.0.2.1", 5060), True)


class Pair:
    """A driver with one connection of the filter, and the client at its other end."""

    def __init__(self, limits: Limits = LIMITS, config: WebSocketConfig | None = None) -> None:
        self.now = 100.0
        self.stack = FakeStack()
        self.stack.on_data = lambda conn, data: []
        self.driver = Driver(self.stack, {"ws": lambda info: [WebSocket(config, limits)]}, limits)
        self.client = ClientProtocol(parse_uri("ws://192.0.2.9/"), subprotocols=["sip"])  # type: ignore[list-item]  # a plain str does
        self.disconnected = ""
        self.driver.connection_opened(1, INFO, self.now)

    def connect(self) -> Pair:
        self.client.send_request(self.client.connect())
        self.exchange()
        return self

    def exchange(self) -> list[Frame]:
        """Carry what the client wants sent, and the answers back; return the client's frames."""
        for data in self.client.data_to_send():
            if data:
                self.perform(self.driver.data_received(1, data, self.now))
        return self.frames()

    def perform(self, actions: list[object]) -> None:
        for action in actions:
            if isinstance(action, SendData):
                self.client.receive_data(action.data)
            elif isinstance(action, Disconnect):
                self.disconnected = action.reason

    def raw(self, data: bytes) -> list[Frame]:
        self.perform(self.driver.data_received(1, data, self.now))
        return self.frames()

    def frames(self) -> list[Frame]:
        return [event for event in self.client.events_received() if isinstance(event, Frame)]

    def wait(self, seconds: float) -> list[Frame]:
        """Let time pass, deadline by deadline."""
        end = self.now + seconds
        while not self.disconnected:
            deadline = self.driver.next_deadline()
            if deadline is None or deadline > end:
                break
            self.now = max(self.now, deadline)
            self.perform(self.driver.time_passed(self.now))
        self.now = end
        return self.frames()


def test_messages_both_ways() -> None:
    """RFC 7118 5: one SIP message is one WebSocket message, text or binary, with its boundary."""
    pair = Pair().connect()
    assert pair.client.handshake_exc is None
    assert pair.client.subprotocol == "sip"
    pair.stack.expect("opened")
    pair.client.send_text("é".encode())
    pair.client.send_binary(b"\xff")
    pair.exchange()
    assert pair.stack.expect("data") == (1, "é".encode(), True)
    assert pair.stack.expect("data") == (1, b"\xff", True)
    pair.perform(pair.driver.outgoing([SendData(1, b"text"), SendData(1, b"bin\xff")], pair.now))
    assert [(one.opcode, one.data) for one in pair.frames()] == [
        (Opcode.TEXT, b"text"),
        (Opcode.BINARY, b"bin\xff"),
    ]


def test_what_the_stack_sends_early_waits_for_the_handshake() -> None:
    """The stack hears of the connection first."""
    pair = Pair()
    pair.perform(pair.driver.outgoing([SendData(1, b"early")], pair.now))
    pair.client.send_request(pair.client.connect())
    assert [one.data for one in pair.exchange()] == [b"early"]


def test_a_refused_handshake_is_told_and_closed() -> None:
    """The body reaches the client, and the connection ends at once."""
    pair = Pair(config=WebSocketConfig(paths=["/sip"])).connect()
    assert isinstance(pair.client.handshake_exc, Exception)
    assert isinstance(getattr(pair.client.handshake_exc, "response", None), Response)
    assert pair.disconnected.startswith("handshake refused with 404")


def test_a_handshake_that_never_ends_is_cut() -> None:
    """limits.connect_time guards every filter's handshake (slow loris)."""
    pair = Pair()
    pair.raw(b"GET / HTTP/1.1\r\n")
    pair.wait(LIMITS.connect_time)
    assert "limits.connect_time" in pair.disconnected


def test_fragments() -> None:
    """A message in fragments is one message to the stack (RFC 6455 5.4)."""
    pair = Pair().connect()
    pair.stack.expect("opened")
    pair.client.send_text(b"one ", fin=False)
    pair.client.send_continuation(b"two", fin=True)
    pair.exchange()
    assert pair.stack.expect("data") == (1, b"one two", True)


def test_pings_are_answered_the_last_of_many() -> None:
    """RFC 6455 5.5.3 allows one pong for several pings: a flood of them costs one answer."""
    pair = Pair().connect()
    for number in range(100):
        pair.client.send_ping(b"%d" % number)
    assert pair.raw(b"".join(pair.client.data_to_send()))[0].data == b"99"


@pytest.mark.parametrize(
    ("octets", "code"),
    [
        (bytes.fromhex("8105") + b"Hello", 1002),
        (bytes.fromhex("82fe0400") + b"keys", 1009),
        (bytes.fromhex("8181") + b"\0\0\0\0\xff", 1007),
        (bytes.fromhex("8881") + b"\0\0\0\0\x03", 1002),
    ],
)
def test_faults_close_with_their_code(octets: bytes, code: int) -> None:
    """Unmasked 1002, too big 1009 (limits.message_size), not UTF-8 1007, a bad close 1002."""
    pair = Pair().connect()
    assert [one.opcode for one in pair.raw(octets)] == [Opcode.CLOSE]
    assert pair.client.close_rcvd is not None
    assert pair.client.close_rcvd.code == code
    assert pair.disconnected.startswith("WebSocket: ")


def test_the_client_closes() -> None:
    """RFC 6455 5.5.1: the close is echoed, then the connection ends."""
    pair = Pair().connect()
    pair.client.send_close(1000, "done")
    pair.exchange()
    assert pair.client.close_rcvd is not None
    assert pair.client.close_rcvd.code == 1000
    assert pair.disconnected == "closed by the peer (WebSocket close code 1000)"


def test_we_close_with_1001() -> None:
    """RFC 6455 7.4.1: "going away", with the reason, so that the client need not wait."""
    pair = Pair().connect()
    pair.perform(pair.driver.outgoing([Disconnect(1, "idle")], pair.now))
    pair.frames()
    assert pair.client.close_rcvd is not None
    assert (pair.client.close_rcvd.code, pair.client.close_rcvd.reason) == (1001, "idle")


def test_silence_is_pinged_and_then_closed() -> None:
    """limits.websocket_ping and limits.websocket_pong."""
    pair = Pair().connect()
    assert [one.opcode for one in pair.wait(30.0)] == [Opcode.PING]
    assert pair.client.data_to_send()  # the pong, which is lost
    assert pair.wait(19.0) == []
    assert not pair.disconnected
    pair.wait(1.0)
    assert "limits.websocket_pong" in pair.disconnected


def test_a_pong_keeps_it_open() -> None:
    """The next ping comes one interval after the pong."""
    pair = Pair().connect()
    for _ in range(5):
        assert [one.opcode for one in pair.wait(30.0)] == [Opcode.PING]
        pair.exchange()
    assert not pair.disconnected


def test_traffic_is_a_sign_of_life() -> None:
    """No ping is sent to a peer that talks."""
    pair = Pair().connect()
    for _ in range(10):
        pair.client.send_text(b"\r\n\r\n")
        pair.exchange()
        assert pair.wait(20.0) == []


def test_a_message_that_stays_incomplete_is_cut() -> None:
    """limits.message_time holds within frames and between fragments, whatever else is sent."""
    for begun in (bytes.fromhex("8185") + b"keysHel", bytes.fromhex("0181") + b"\0\0\0\0x"):
        pair = Pair().connect()
        pair.raw(begun)
        if begun[0] == 1:
            pair.wait(12.0)
            pair.client.send_ping(b"")
            pair.exchange()
            pair.wait(7.9)
        else:
            pair.wait(19.9)
        assert not pair.disconnected
        pair.wait(0.2)
        assert "limits.message_time" in pair.disconnected


def test_a_stream_that_is_cut_within_frames_goes_on() -> None:
    """The incomplete rest after each read is another message each time."""
    pair = Pair().connect()
    pair.client.send_text(b"message")
    framed = b"".join(pair.client.data_to_send())
    pair.raw(framed[:3])
    for _ in range(30):
        pair.now += 1.0
        pair.raw(framed[3:] + framed[:3])
        pair.perform(pair.driver.time_passed(pair.now))
    assert not pair.disconnected
