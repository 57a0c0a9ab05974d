"""A whole stack and all its inputs: octets, silence, failures, answers.

Theory of operation: an input is a story, cut into events at a separator. The
first octet of an event says what happens, the second how much time passes
before it, the rest is what is said. A reply is written for the last request
that the stack sent, for no fuzzer would guess its branch.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from sansip import ListenerConfig, StackConfig
from sansip.actions import Action, Ask, Connect, Disconnect, SendData, SendDatagram
from sansip.auth import AuthConfig, Lookup
from sansip.errors import RemoteProtocolError
from sansip.journal import JournaledStack
from sansip.location import LocationUpdate, Outcome
from sansip.stack import Stack
from sansip.transport.filter import OpenConnection
from sansip.transport.next_hop import Resolve
from sansip.wire import Request, Response, parse_message, response_to

__all__ = ["SEPARATOR", "Peers", "play", "stack", "story"]

SEPARATOR = b"\xff\xfe\xfd"
HERE = "192.0.2.1"
PEERS = [("192.0.2.9", 5060), ("192.0.2.10", 5062), ("192.0.2.11", 40_000)]
# Seconds that may pass before an event: T1, T2, Timer B, Timer C, a registration.
PAUSES = (0.0, 0.0, 0.1, 0.5, 1.5, 4.0, 33.0, 181.0, 3601.0)
STATUSES = (100, 180, 183, 199, 200, 202, 302, 401, 404, 408, 486, 487, 500, 503, 600, 699)
# The packets that the stack may send for one event, retransmissions after a long pause included.
MOST_ACTIONS = 2_000


class Peers:
    """One stack and its peers."""

    def __init__(self, auth: bool, journal: Callable[[str], object] | None = None) -> None:
        listeners = [
            ListenerConfig(number, transport, HERE, port)
            for number, (transport, port) in enumerate(
                (("udp", 5060), ("tcp", 5060), ("tls", 5061), ("ws", 8080))
            )
        ]
        self.config = StackConfig(
            listeners,
            ["example.com", "biloxi.test"],
            auth=AuthConfig() if auth else None,
            durable=auth,
        )
        seed = b"fuzz".ljust(16, b".")
        self.core = Stack(self.config, seed)
        if journal is not None:
            self.core = JournaledStack(self.config, seed, journal, {})
        self.now = 1.0
        self.conns: dict[int, str] = {}
        self.sent: SendDatagram | SendData | None = None
        self.request: Request | None = None
        self.said = b""

    # --- what the stack does

    def take(self, actions: list[Action]) -> None:
        """Perform actions as an adapter would."""
        waiting = list(actions)
        done = 0
        while waiting:
            action = waiting.pop(0)
            done += 1
            assert done < MOST_ACTIONS
            waiting += self._perform(action)

    def _perform(self, action: Action) -> list[Action]:
        core, now = self.core, self.now
        if isinstance(action, SendDatagram | SendData):
            self._note(action)
        elif isinstance(action, Connect):
            # Every second peer can be reached.
            if action.conn & 1:
                return core.connection_closed(action.conn, "refused", now)
            self.conns[action.conn] = action.transport
            info = OpenConnection(action.listener, action.transport, (HERE, 1), action.address, False)
            return core.connection_opened(action.conn, info, now)
        elif isinstance(action, Disconnect):
            self.conns.pop(action.conn, None)
            return core.connection_closed(action.conn, action.reason, now)
        elif isinstance(action, Ask):
            return core.answer(action.id, self._answer(action.question), now)
        return []

    def _answer(self, question: Any) -> Any:
        if isinstance(question, Resolve):
            return [("192.0.2.77", 5060)] if len(question.host) & 1 else LookupError("no such host")
        if isinstance(question, Lookup):
            return {"MD5": "0" * 32} if question.username == "alice" else None
        if isinstance(question, LocationUpdate):
            return Outcome.DONE if len(question.aor) & 1 else OSError("the store is gone")
        return None

    def _note(self, action: SendDatagram | SendData) -> None:
        """RFC 3261 7: all output is SIP; an answer to an incomplete request lacks the same fields."""
        # RFC 5626 8: a Binding request is told where it came from, and by its first two bits from SIP.
        if not action.data.strip(b"\r\n") or action.data[0] < 4:
            return
        try:
            message = parse_message(action.data)
        except RemoteProtocolError:
            assert re.match(rb"SIP/2\.0 [2-6]\d\d ", action.data)
            return
        self.sent = action
        if isinstance(message, Request) and message.method != "ACK":
            self.request = message

    # --- what happens to it

    def happen(self, event: bytes) -> None:
        """One event of a story."""
        kind, pause, rest = event[0], event[1], event[2:]
        self._pass(PAUSES[pause % len(PAUSES)])
        core, now = self.core, self.now
        peer = PEERS[kind // 16 % len(PEERS)]
        match kind % 9:
            case 0 | 1:
                self.said = rest
                self.take(core.datagram_received(0, rest, peer, now))
            case 2:
                # The same once more, as a network does.
                self.take(core.datagram_received(0, self.said, peer, now))
            case 3:
                self._stream(1, "tcp", rest)
            case 4:
                self._stream(3, "ws", rest)
            case 5:
                for conn in list(self.conns)[:1]:
                    del self.conns[conn]
                    self.take(core.connection_closed(conn, "closed by the peer", now))
            case 6 if self.sent is not None:
                self.take(core.send_failed(self.sent.owner, "unreachable", now))
            case 7 if self.request is not None:
                self._reply(rest)
            case 8 if self.sent is not None:
                # Our own words come back: a spiral, or a stray response.
                self.take(core.datagram_received(0, self.sent.data, (HERE, 5060), now))

    def _stream(self, listener: int, transport: str, data: bytes) -> None:
        conn = next((one for one, kind in self.conns.items() if kind == transport), None)
        if conn is None:
            conn = self.core.new_connection()
            self.conns[conn] = transport
            info = OpenConnection(listener, transport, (HERE, 5060), PEERS[0], True)
            self.take(self.core.connection_opened(conn, info, self.now))
        if conn in self.conns:
            self.take(self.core.data_received(conn, data, self.now, boundary=transport == "ws"))

    def _reply(self, rest: bytes) -> None:
        assert self.request is not None
        status = STATUSES[rest[0] % len(STATUSES)] if rest else 200
        reply: Response = response_to(self.request, status, to_tag="peer")
        # The fields that a peer adds, well-formed or not, a body among them.
        head, end, _ = reply.to_bytes().partition(b"\r\n\r\n")
        data = head + b"\r\n" + rest[1:].lstrip(b"\r\n") + end if len(rest) > 1 else head + end
        self.take(self.core.datagram_received(0, data, PEERS[0], self.now))

    def _pass(self, seconds: float) -> None:
        until = self.now + seconds
        for _ in range(5_000):
            deadline = self.core.next_deadline()
            if deadline is None or deadline > until:
                break
            # RFC 3261 17: a timer that fires must have been waited for.
            self.now = max(self.now, deadline)
            self.take(self.core.time_passed(self.now))
        else:
            raise AssertionError("timers without end")
        self.now = until

    def end(self) -> None:
        """Everybody falls silent: in a day nothing is left."""
        for conn in list(self.conns):
            del self.conns[conn]
            self.take(self.core.connection_closed(conn, "closed by the peer", self.now))
        self._pass(200_000.0)
        left = self.core.snapshot()
        assert {name: count for name, count in left.items() if count} == {}


def story(data: bytes) -> None:
    """Nothing raises, all output is SIP, an event has bounded consequences, in the end nothing is left."""
    play(data)


def play(data: bytes, journal: Callable[[str], object] | None = None) -> Peers:
    """Let a story happen, kept in ``journal``; return its peers."""
    peers = Peers(bool(data) and data[0] >= 0x80, journal)
    for event in data.split(SEPARATOR)[:24]:
        if len(event) >= 2:
            peers.happen(event)
    peers.end()
    return peers


def stack(data: bytes) -> None:
    """The same for octets as they come: up to eight datagrams, then all of it over a stream in pieces."""
    peers = Peers(auth=False)
    for datagram in data.split(SEPARATOR)[:8]:
        peers.take(peers.core.datagram_received(0, datagram, PEERS[0], peers.now))
        peers.now += 0.1
    conn = peers.core.new_connection()
    peers.conns[conn] = "tcp"
    info = OpenConnection(1, "tcp", (HERE, 5060), PEERS[0], True)
    peers.take(peers.core.connection_opened(conn, info, peers.now))
    for at in range(0, min(len(data), 4000), 97):
        peers.take(peers.core.data_received(conn, data[at : at + 97], peers.now))
    peers.end()
