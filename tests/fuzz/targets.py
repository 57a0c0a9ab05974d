"""What is fuzzed, each as a function of octets, with its contract in one sentence.

Any octets, cut anywhere, give a message or ``RemoteProtocolError``; a stack
raises nothing, answers each datagram with a bounded number of actions, and is
empty again when all its timers have run.
"""

from __future__ import annotations

from dataclasses import dataclass

from sansip import ListenerConfig, StackConfig
from sansip.actions import Address, Connect, Disconnect
from sansip.errors import RemoteProtocolError
from sansip.stack import Stack
from sansip.transport.framing import PING, StreamFramer
from sansip.wire import check_headers, parse_message

__all__ = ["TARGETS", "framing", "parser", "stack"]


@dataclass
class Opened:
    """What an adapter tells of a connection."""

    listener: int
    transport: str
    local: Address
    remote: Address
    incoming: bool


def parser(data: bytes) -> None:
    """A message or RemoteProtocolError; what was parsed can be written and read again."""
    for datagram in (True, False):
        try:
            message = parse_message(data, datagram=datagram)
        except RemoteProtocolError as error:
            # What could be understood must be enough to answer with.
            if error.message is not None:
                str(error.message)
            continue
        check_headers(message)
        again = parse_message(message.to_bytes())
        assert again.to_bytes() == message.to_bytes()
        assert again.keys == message.keys


def framing(data: bytes) -> None:
    """Whole or in pieces, the same messages come out; memory is bounded by what went in."""
    whole = _feed([data])
    step = data[0] % 17 + 1 if data else 1
    pieces = _feed([data[at : at + step] for at in range(0, len(data), step)])
    assert whole == pieces
    assert sum(map(len, whole)) <= len(data) + len(whole) * 8


def _feed(pieces: list[bytes]) -> list[bytes]:
    framer = StreamFramer()
    out = []
    for piece in pieces:
        for framed in framer.feed(piece):
            if isinstance(framed, RemoteProtocolError):
                out.append(b"error")
            else:
                out.append(b"ping" if framed is PING else framed)
    return out


def stack(data: bytes) -> None:
    """Nothing raises, whatever is received over UDP and TCP; in the end nothing is left."""
    config = StackConfig(
        [ListenerConfig(0, "udp", "192.0.2.1", 5060), ListenerConfig(1, "tcp", "192.0.2.1", 5060)],
        ["example.com", "biloxi.test"],
    )
    core = Stack(config, b"fuzz".ljust(16, b"."))
    now = 1.0
    peer = ("192.0.2.9", 5060)
    # A second datagram stands after a separator, so that a fuzzer can make them meet.
    for datagram in data.split(b"\xff\xfe\xfd")[:8]:
        actions = core.datagram_received(0, datagram, peer, now)
        assert len(actions) < 200
        now += 0.1
    conn = core.new_connection()
    core.connection_opened(conn, Opened(1, "tcp", ("192.0.2.1", 5060), peer, True), now)
    for at in range(0, min(len(data), 4000), 97):
        for action in core.data_received(conn, data[at : at + 97], now):
            if isinstance(action, Disconnect):
                core.connection_closed(action.conn, action.reason, now)
            elif isinstance(action, Connect):
                core.connection_closed(action.conn, "refused", now)
    core.connection_closed(conn, "closed by the peer", now)
    for _ in range(5000):
        deadline = core.next_deadline()
        if deadline is None:
            break
        for action in core.time_passed(deadline):
            if isinstance(action, Connect):
                core.connection_closed(action.conn, "refused", deadline)
    left = core.snapshot()
    assert {name: count for name, count in left.items() if count and name != "timers"} == {}


TARGETS = {"parser": parser, "framing": framing, "stack": stack}
