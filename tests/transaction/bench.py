"""One transaction at a time: a layer with a virtual clock, a transport and a user that only record."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sansip.clock import Timers
from sansip.transaction import TimerValues, TransactionLayer
from sansip.transport import Flow
from sansip.wire import Request, Response, parse_message
from tests.rig import request

UDP = Flow("udp", 0, ("192.0.2.2", 5060))
TCP = Flow("tcp", 1, ("192.0.2.2", 5060), 7)
# Both kinds of transport, for what must be the same on both.
BOTH = pytest.mark.parametrize("flow", [UDP, TCP], ids=["unreliable", "reliable"])


class Bench:
    """``sent`` holds (time, first word of the message); ``heard`` the inputs of the user."""

    def __init__(self, **values: float) -> None:
        self.now = 0.0
        self.timers = Timers()
        self.layer = TransactionLayer(self.timers, TimerValues(**values), self)
        self.sent: list[tuple[float, str]] = []
        self.octets: list[bytes] = []
        self.heard: list[tuple[float, Any]] = []

    # --- the transport

    def send(self, flow: Flow, data: bytes, now: float, owner: int = 0) -> None:
        assert isinstance(now, float)
        word = data.split()[1 if data.startswith(b"SIP/2.0") else 0].decode()
        self.sent.append((self.now, word))
        self.octets.append(data)

    send_response = send

    def send_request(self, flow: Flow, data: bytes, transaction: Any, now: float) -> None:
        self.send(flow, data, now)

    def forget(self, transaction: Any) -> None:
        self.heard.append((self.now, "forgotten"))

    # --- the user of either side

    def response_received(self, transaction: Any, response: Response, now: float) -> None:
        self.heard.append((self.now, response.status))

    def client_failed(self, transaction: Any, reason: str, now: float) -> None:
        self.heard.append((self.now, reason))

    def ack_received(self, transaction: Any, ack: Request, now: float) -> None:
        self.heard.append((self.now, "ACK"))

    def server_failed(self, transaction: Any, reason: str, now: float) -> None:
        self.heard.append((self.now, reason))

    def local_tag(self) -> str:
        return "local"

    # --- time

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while (deadline := self.timers.next_deadline()) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            self.timers.fire_due(self.now)
        self.now = end

    # --- the machines

    def client(self, method: str, flow: Flow, **options: Any) -> Any:
        """A client transaction that has just sent its request."""
        data = request(method, branch="z9hG4bKours", **options)
        message = parse_message(data)
        transaction = self.layer.open_client("z9hG4bKours", message, data, flow, self)
        transaction.start(self.now)
        return transaction

    def server(self, method: str, flow: Flow) -> Any:
        """A server transaction for a request just received."""
        return self.layer.open_server("key", method, flow, self)

    def receive(self, transaction: Any, status: int) -> None:
        """A response from the network for a client transaction."""
        self.layer.response_received(transaction, response(status, transaction.method), self.now)

    def respond(self, transaction: Any, status: int) -> None:
        """The user of a server transaction answers."""
        transaction.respond(response(status, transaction.method), self.now)

    def feed(self, transaction: Any, given: str, argument: Any = None) -> None:
        transaction.feed(given, argument, self.now)

    @property
    def user(self) -> list[Any]:
        """The results that the user heard, without the times."""
        return [what for _, what in self.heard if what != "forgotten"]

    def times(self, word: str) -> list[float]:
        return [time for time, sent in self.sent if sent == word]


def response(status: int, method: str) -> Response:
    text = (
        f"SIP/2.0 {status} Because\r\nVia: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bKours\r\n"
        f"From: <sip:alice@biloxi.test>;tag=alice\r\nTo: <sip:bob@biloxi.test>;tag=bob\r\n"
        f"Call-ID: call@192.0.2.1\r\nCSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n"
    )
    message = parse_message(text.encode())
    assert isinstance(message, Response)
    return message


@pytest.fixture
def bench() -> Iterator[Bench]:
    """A bench on which, at the end of any test, time runs out and nothing is left."""
    bench = Bench()
    yield bench
    bench.wait(1000)
    assert len(bench.layer) == 0
    assert len(bench.timers) == 0
