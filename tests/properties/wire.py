"""A simulated wire between stacks and phones: it loses, repeats, delays and reorders datagrams.

Theory of operation: one heap of events, one seeded generator, a clock that jumps.
Datagrams are lost, doubled and delayed each on its own, so they overtake each
other; streams deliver in order, in pieces. Stacks are the real ones; any party that has
an address and a ``datagram`` method may take part.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from sansip import Stack, StackConfig
from sansip.actions import Ask, Connect, Disconnect, Notify, SendData, SendDatagram
from tests.rig import Flow

__all__ = ["Faults", "Server", "Stream", "Wire"]

Address = tuple[str, int]


class Party(Protocol):
    """A party with an address on the wire."""

    def datagram(self, data: bytes, source: Address) -> None: ...


@dataclass(frozen=True)
class Faults:
    """Shares of datagrams that are lost, doubled, and late; delays in seconds."""

    loss: float = 0.1
    double: float = 0.1
    late: float = 0.05
    delay: float = 0.05
    lateness: float = 1.5


class Wire:
    """Time, and the packets under way."""

    def __init__(self, seed: object, faults: Faults) -> None:
        self.chance = random.Random(f"wire {seed}")
        self.faults = faults
        self.now = 1000.0
        self.parties: dict[Address, Party] = {}
        self.servers: list[Server] = []
        self.carried = self.lost = 0
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        """Do something later."""
        heapq.heappush(self._heap, (self.now + seconds, next(self._count), act))

    def send(self, source: Address, destination: Address, data: bytes) -> None:
        """Carry one datagram, or not."""
        faults, chance = self.faults, self.chance
        copies = 2 if chance.random() < faults.double else 1
        for _ in range(copies):
            self.carried += 1
            if chance.random() < faults.loss:
                self.lost += 1
                continue
            delay = chance.uniform(0.001, faults.delay)
            if chance.random() < faults.late:
                delay += chance.uniform(0, faults.lateness)
            self.after(delay, lambda: self._arrive(source, destination, data))

    def _arrive(self, source: Address, destination: Address, data: bytes) -> None:
        party = self.parties.get(destination)
        if party is not None:
            party.datagram(data, source)

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        while self._heap and self._heap[0][0] <= end:
            time, _, act = heapq.heappop(self._heap)
            self.now = max(self.now, time)
            act()
        self.now = end


class Stream:
    """One connection: octets arrive in order, cut anywhere. Never lost."""

    def __init__(self, wire: Wire, server: Server, conn: int, taker: Callable[[bytes], None]) -> None:
        self.wire = wire
        self.server = server
        self.conn = conn
        self.taker = taker
        self._last = {"up": 0.0, "down": 0.0}

    def to_server(self, data: bytes) -> None:
        """From the phone."""
        for piece in self._pieces(data):
            self._later("up", partial(self.server.data, self.conn, piece))

    def to_phone(self, data: bytes) -> None:
        """From the stack."""
        for piece in self._pieces(data):
            self._later("down", partial(self.taker, piece))

    def _pieces(self, data: bytes) -> list[bytes]:
        cut = self.wire.chance.randrange(len(data) + 1)
        return [piece for piece in (data[:cut], data[cut:]) if piece]

    def _later(self, way: str, act: Callable[[], None]) -> None:
        wire = self.wire
        arrival = max(wire.now + wire.chance.uniform(0.001, wire.faults.delay), self._last[way])
        self._last[way] = arrival
        wire.after(arrival - wire.now, act)


class Server:
    """A stack on the wire."""

    def __init__(self, wire: Wire, config: StackConfig, seed: bytes) -> None:
        self.wire = wire
        self.stack = Stack(config, seed)
        self.config = config
        self.streams: dict[int, Stream] = {}
        self.failures: list[Any] = []
        self._addresses = {one.id: (one.host, one.port) for one in config.listeners}
        self._woken: set[float] = set()
        for one in config.listeners:
            if one.transport == "udp":
                wire.parties[one.host, one.port] = self
        wire.servers.append(self)

    def datagram(self, data: bytes, source: Address) -> None:
        self._perform(self.stack.datagram_received(0, data, source, self.wire.now))

    def connect(self, source: Address, taker: Callable[[bytes], None]) -> Stream:
        """A phone opens a connection."""
        conn = self.stack.new_connection()
        stream = self.streams[conn] = Stream(self.wire, self, conn, taker)
        self._perform(self.stack.connection_opened(conn, Flow(1, "tcp", source, True), self.wire.now))
        return stream

    def data(self, conn: int, data: bytes) -> None:
        if conn in self.streams:
            self._perform(self.stack.data_received(conn, data, self.wire.now))

    def close(self, conn: int) -> None:
        """The connection ends."""
        self.streams.pop(conn, None)
        self._perform(self.stack.connection_closed(conn, "closed", self.wire.now))

    def _perform(self, actions: list[Any]) -> None:
        wire = self.wire
        for action in actions:
            if isinstance(action, SendDatagram):
                wire.send(self._addresses[action.listener], action.address[:2], action.data)
            elif isinstance(action, SendData):
                if action.conn in self.streams:
                    self.streams[action.conn].to_phone(action.data)
            elif isinstance(action, Connect | Disconnect):
                # Phones connect to us; they do not listen.
                wire.after(0.01, partial(self.close, action.conn))
            elif isinstance(action, Ask):
                raise AssertionError(f"nobody here can answer {action.question}")
            elif isinstance(action, Notify) and hasattr(action.event, "error"):
                self.failures.append(action.event)
        deadline = self.stack.next_deadline()
        if deadline is not None and deadline not in self._woken:
            self._woken.add(deadline)
            wire.after(max(0.0, deadline - wire.now), lambda: self._wake(deadline))

    def _wake(self, deadline: float) -> None:
        self._woken.discard(deadline)
        self._perform(self.stack.time_passed(max(self.wire.now, deadline)))
