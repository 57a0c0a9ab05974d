"""The cost of a message: microseconds and memory for each octet, with the collector off.

Theory of operation: one server lives through all inputs, as a real one does. An input goes
in by the way that its first octet says; what is forwarded of it is answered with the same
octets in the answer's fields; then time passes until nothing waits. Only the calls
that take the octets are timed. An input that seems too dear is tried again on
a new server, and the least counts, for other programs use the processor as well.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from time import process_time
from typing import Any

from sansip.actions import Action, Ask, Connect, Disconnect, SendDatagram
from sansip.auth import AuthConfig
from sansip.errors import RemoteProtocolError
from sansip.transport.filter import OpenConnection
from sansip.wire import Request, parse_message, response_to
from tests.rig import ALICE, BOB, BOB_URI, HOST, TCP, UDP, Rig

__all__ = ["MEMORY_PER_OCTET", "MICROSECONDS_PER_OCTET", "Price", "price", "price_of"]

# Bounds, each with what an empty message may have. Ordinary messages cost 0.01 to 0.1 us an octet.
MICROSECONDS_PER_OCTET = 3.0
MICROSECONDS_AT_LEAST = 6_000.0
MEMORY_PER_OCTET = 120.0
MEMORY_AT_LEAST = 400_000.0
TRIES = 4
# One in so many inputs is looked at for its peak of memory, which takes five times as long.
LOOKS = 8
WAYS = 6


class Price:
    """The cost of one input: seconds of the processor, octets of memory at the most (0: not looked at)."""

    __slots__ = ("memory", "octets", "seconds")

    def __init__(self, octets: int) -> None:
        self.octets = octets
        self.seconds = 0.0
        self.memory = 0

    @property
    def microseconds(self) -> float:
        """For each octet, beyond the allowance of an empty message."""
        return max(0.0, 1e6 * self.seconds - MICROSECONDS_AT_LEAST) / max(1, self.octets)

    @property
    def weight(self) -> float:
        """Octets of memory for each octet, the same way."""
        return max(0.0, self.memory - MEMORY_AT_LEAST) / max(1, self.octets)


class Server:
    """A server with a phone that is registered, and its answers."""

    def __init__(self, password: bool) -> None:
        rig = Rig()
        if password:
            rig = Rig(auth=AuthConfig(), users=lambda lookup: None)
        else:
            rig.register(BOB_URI)
        self.core = rig.stack
        self.now = rig.now
        self.spent = 0.0

    def feed(self, way: int, data: bytes) -> None:
        """Take ``data`` by one of the ways; answer the forwarded message; let everything end."""
        if way < 2:
            self._follow(self._timed(self.core.datagram_received, UDP, data, ALICE), data)
        else:
            core = self.core
            conn = core.new_connection()
            boundary = way == 2
            info = OpenConnection(TCP, "ws" if boundary else "tcp", (HOST, 5060), ("192.0.2.1", 40_000), True)
            core.connection_opened(conn, info, self.now)
            piece = len(data) if way < 5 else 97
            for at in range(0, len(data), max(1, piece)):
                part = data[at : at + piece]
                actions = self._timed(core.data_received, conn, part, boundary=boundary)
                self._follow(actions, data)
                if any(isinstance(one, Disconnect) for one in actions):
                    break
            core.connection_closed(conn, "closed", self.now)
        for _ in range(3_000):
            deadline = self.core.next_deadline()
            if deadline is None or deadline > self.now + 400:
                break
            self.now = max(self.now, deadline)
            self._end(self.core.time_passed(self.now))
        self.now += 1.0

    def _timed(self, call: Any, *arguments: Any, **options: Any) -> list[Action]:
        began = process_time()
        actions: list[Action] = call(*arguments, self.now, **options)
        self.spent += process_time() - began
        return actions

    def _follow(self, actions: list[Action], data: bytes) -> None:
        """Answer a few of the requests that left, with ``data`` in the answer's header fields."""
        for action in actions[:4]:
            if not isinstance(action, SendDatagram) or action.address[0] != BOB[0]:
                self._end([action])
                continue
            try:
                request = parse_message(action.data)
            except RemoteProtocolError:
                continue
            if isinstance(request, Request) and request.method != "ACK":
                status = (200, 180, 302, 407)[len(data) % 4]
                head, end, _ = response_to(request, status, to_tag="bob").to_bytes().partition(b"\r\n\r\n")
                fields = data.partition(b"\r\n")[2].partition(b"\r\n\r\n")[0]
                answer = head + b"\r\n" + fields[:30_000] + end
                self._end(self._timed(self.core.datagram_received, UDP, answer, BOB))

    def _end(self, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, Connect):
                self._end(self.core.connection_closed(action.conn, "refused", self.now))
            elif isinstance(action, Ask):
                self._end(self.core.answer(action.id, LookupError("nobody"), self.now))


_servers: dict[bool, Server] = {}


def _way(data: bytes) -> int:
    return data[0] % WAYS if data else 0


def price_of(data: bytes, *, new: bool = False, look: bool = False) -> Price:
    """Return what ``data`` cost at the server that lives, or a ``new`` one; ``look`` at its memory, too."""
    way = _way(data)
    password = way == 1
    server = Server(password) if new else _servers.get(password)
    if server is None:
        server = _servers[password] = Server(password)
    found = Price(len(data))
    if look:
        tracemalloc.start()
    server.spent = 0.0
    try:
        server.feed(way, data)
        found.seconds = server.spent
        if look:
            found.memory = tracemalloc.get_traced_memory()[1]
    finally:
        if look:
            tracemalloc.stop()
    return found


def _again(data: bytes) -> Iterator[Price]:
    for _ in range(TRIES):
        yield price_of(data, new=True)


def price(data: bytes) -> None:
    """No octet takes more than so many microseconds, or so many octets of memory at any moment."""
    found = price_of(data)
    if found.microseconds > MICROSECONDS_PER_OCTET:
        dear = min(one.microseconds for one in _again(data))
        assert dear <= MICROSECONDS_PER_OCTET, f"{dear:.1f} microseconds an octet"
    if data and sum(data[-8:]) % LOOKS == 0:
        weight = price_of(data, look=True).weight
        assert weight <= MEMORY_PER_OCTET, f"{weight:.0f} octets of memory an octet"
