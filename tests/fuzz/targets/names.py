"""Octets from a host that claims to be a name server (RFC 1035, RFC 3263)."""

from __future__ import annotations

from sansip import ListenerConfig, StackConfig
from sansip.actions import Connect, Disconnect, SendData, SendDatagram
from sansip.routing import IncomingRequest
from sansip.stack import Stack
from sansip.transport.dns import DnsConfig
from sansip.transport.filter import OpenConnection

__all__ = ["dns"]

SERVER = ("192.0.2.53", 53)
HOME = ("192.0.2.9", 5060)
INVITE = (
    b"INVITE sip:bob@biloxi.test SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKdns\r\n"
    b"Max-Forwards: 70\r\n"
    b"From: <sip:a@biloxi.test>;tag=1\r\nTo: <sip:bob@biloxi.test>\r\nCall-ID: dns\r\nCSeq: 1 INVITE\r\n"
    b"Contact: <sip:a@192.0.2.9>\r\nContent-Length: 0\r\n\r\n"
)
SEPARATOR = b"\xff\xfe\xfd"


async def _away(request: IncomingRequest) -> None:
    await request.relay("sip:bob@far.test")


def dns(data: bytes) -> None:
    """For any reply of name servers the caller gets one final response, and nothing is left behind."""
    core = Stack(
        StackConfig(
            [ListenerConfig(0, "udp", "192.0.2.1", 5060), ListenerConfig(1, "tcp", "192.0.2.1", 5060)],
            ["biloxi.test"],
            route=_away,
            dns=DnsConfig(servers=[SERVER]),
        ),
        b"fuzz".ljust(16, b"."),
    )
    replies = data.split(SEPARATOR)[:32]
    finals: set[bytes] = set()
    now = 1.0
    waiting = list(core.datagram_received(0, INVITE, HOME, now))
    sent = 0
    for _ in range(4000):
        while waiting:
            action = waiting.pop(0)
            sent += 1
            assert sent < 20_000
            if isinstance(action, SendDatagram) and action.listener < 0:
                if replies:
                    reply = _reply(replies.pop(0), action.data)
                    waiting += core.datagram_received(action.listener, reply, SERVER, now)
            elif isinstance(action, SendDatagram):
                if (
                    action.address[:2] == HOME
                    and action.data.startswith(b"SIP/2.0 ")
                    and action.data[8:9] > b"1"
                ):
                    finals.add(action.data)
            elif isinstance(action, Connect):
                if action.transport == "dns" and replies:
                    flow = OpenConnection(-1, "dns", ("192.0.2.1", 1), SERVER, False)
                    waiting += core.connection_opened(action.conn, flow, now)
                else:
                    waiting += core.connection_closed(action.conn, "refused", now)
            elif isinstance(action, SendData):
                if replies:
                    reply = _reply(replies.pop(0), action.data[2:])
                    prefix = len(reply).to_bytes(2, "big") if len(reply) < 65_536 else b""
                    waiting += core.data_received(action.conn, prefix + reply, now)
            elif isinstance(action, Disconnect):
                waiting += core.connection_closed(action.conn, action.reason, now)
        deadline = core.next_deadline()
        if deadline is None:
            break
        now = max(now, deadline)
        waiting += core.time_passed(now)
    assert len(finals) == 1
    left = core.snapshot()
    assert {name: count for name, count in left.items() if count and name != "timers"} == {}


def _reply(given: bytes, query: bytes) -> bytes:
    """Return ``given`` as an answer to ``query``: an odd first octet keeps the query's question before it."""
    if len(given) < 9 or not given[0] & 1:
        return query[:2] + given[1:]
    # The question ends after the root label, type and class; EDNS follows it.
    end = query.index(b"\0", 12) + 5
    counts = b"\0\1" + bytes((0, given[1] & 7, 0, given[2] & 3, 0, given[3] & 1))
    flags = bytes((0x80 | given[4] & 0x07, given[5]))
    return query[:2] + flags + counts + query[12:end] + given[6:]
