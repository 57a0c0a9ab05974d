"""WebSockets of modules: a handshake, then questions and answers by their keys, in any order."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from sansip.module import Module, PeerFailed
from sansip.testing import ModuleBench
from sansip.transport.websocket.frames import BINARY, CLOSE, PING, MessageReader, close_payload, frame
from sansip.transport.websocket.handshake import accept_of

PLACE = ("192.0.2.50", 8080)


class Asks(Module):
    """Asks a peer over a WebSocket."""

    name = "asks"

    def start(self, core: Any, now: float) -> None:
        self.strays: list[bytes] = []
        self.results: list[Any] = []
        self.peer = core.websocket(
            PLACE, path="/x", protocol="test.example", key=lambda data: data[:1], received=self._stray
        )

    def _stray(self, data: bytes, now: float) -> None:
        self.strays.append(data)

    def ask_for(self, data: bytes, now: float) -> None:
        self.core.run(self._ask(data), now)

    ask_for.sansip_function = True  # type: ignore[attr-defined]  # a mark that functions carry

    async def _ask(self, data: bytes) -> None:
        try:
            self.results.append(await self.peer.ask(data, within=0.5, attempts=2))
        except PeerFailed as error:
            self.results.append(error)


class Peer:
    """The server side. ``answers(message)`` returns the messages that come back."""

    def __init__(self, answers: Any, protocol: bytes = b"test.example") -> None:
        self.answers = answers
        self.protocol = protocol
        self.reader = MessageReader(65_536)
        self.opened = False
        self.messages: list[tuple[int, bytes]] = []

    def __call__(self, data: bytes) -> list[bytes]:
        if not self.opened:
            self.opened = True
            assert data.startswith(b"GET /x HTTP/1.1\r\n")
            key = data.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0]
            assert len(base64.b64decode(key)) == 16
            return [
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: " + accept_of(key) + b"\r\nSec-WebSocket-Protocol: " + self.protocol
                + b"\r\n\r\n"
            ]  # fmt: skip
        found = list(self.reader.feed(data))
        self.messages += found
        return [one for opcode, payload in found if opcode == BINARY for one in self.answers(payload)]


def bench(peer: Any) -> ModuleBench[Asks]:
    made = ModuleBench(Asks)
    made.stream_peer(PLACE, peer)
    return made


def ask(made: ModuleBench[Asks], *questions: bytes) -> list[Any]:
    for each in questions:
        made.module.ask_for(each, made.now)
        made.perform(made.stack.time_passed(made.now))
    return made.module.results


def test_a_question() -> None:
    """RFC 6455 4.1, 5.3: the handshake, then masked frames; answers find their questions, out of order."""
    held: list[bytes] = []

    def answers(message: bytes) -> list[bytes]:
        held.append(frame(BINARY, message[:1] + b" answer"))
        return held[::-1] if len(held) == 2 else []

    made = bench(Peer(answers))
    assert ask(made, b"a?", b"b?") == [b"b answer", b"a answer"]


def test_control_frames() -> None:
    """RFC 6455 5.5: a ping is answered; a close ends the questions that wait, and the next opens it anew."""
    peer = Peer(lambda message: [frame(PING, b"p"), frame(CLOSE, close_payload(1000, "bye"))])
    made = bench(peer)
    (error,) = ask(made, b"a?")
    assert "closed the WebSocket" in str(error)
    assert (10, b"p") in peer.messages
    peer.opened = False
    peer.reader = MessageReader(65_536)
    peer.answers = lambda message: [frame(BINARY, message), frame(BINARY, b"z stray")]
    made.wait(2)
    assert ask(made, b"c?")[-1] == b"c?"
    assert made.module.strays == [b"z stray"]


@pytest.mark.parametrize(
    "peer",
    [
        Peer(None, protocol=b"other"),
        lambda data: [b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"],
        lambda data: [b"\xff" * 100],
        lambda data: [b"HTTP/1.1 101 x\r\n" + b"a: b\r\n" * 10_000],
        Peer(lambda message: [b"\xff\xff\xff"]),
        Peer(lambda message: [b"\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff"]),
    ],
)
def test_a_bad_peer(peer: Any) -> None:
    """Each fault ends the connection and the question, with its reason."""
    made = bench(peer)
    ask(made, b"a?")
    made.wait(1.1)
    (error,) = made.module.results
    assert isinstance(error, PeerFailed)


def test_silence_and_refusal() -> None:
    """No answer in its time, and nobody there."""
    made = bench(Peer(lambda message: []))
    ask(made, b"a?")
    made.wait(1.1)
    assert "does not answer" in str(made.module.results[0])
    made = ModuleBench(Asks)
    (error,) = ask(made, b"a?")
    assert "refused" in str(error)
