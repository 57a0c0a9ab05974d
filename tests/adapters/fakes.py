"""A stack that only echoes and remembers, for tests of the adapters.

Theory of operation: it has the signature of ``sansip.Stack`` and no SIP in it.
What it is told goes into a queue that the test reads, with a timeout, from
another thread; what it answers is set by the test. So the same tests run on
every runtime, each with its server in a thread of its own.
"""

from __future__ import annotations

import queue
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sansip.actions import Action, SendData, SendDatagram

# How long a test waits for something that must happen. Reached only by failures.
PATIENCE = 10.0


@dataclass
class Listen:
    """The configuration of one listener."""

    id: int
    transport: str
    host: str
    port: int = 0
    shares: int | None = None
    accepts: bool = True
    proxies: tuple[str, ...] = ()
    http: bool = False


@dataclass
class Question:
    text: str


def bug() -> Any:
    """Stand for a mistake in the stack."""
    raise ZeroDivisionError


class FakeStack:
    """Echoes by default. ``on_…`` replace the answers; ``deadlines`` are timers (time, name)."""

    def __init__(self) -> None:
        self.wall_offset: Any = None
        self.idle = True
        self.seen: queue.Queue[tuple[Any, ...]] = queue.Queue()
        self.on_datagram: Callable[..., list[Action]] = lambda listener, data, source: [
            SendDatagram(listener, data, source)
        ]
        self.on_opened: Callable[..., list[Action]] = lambda conn, info: []
        self.on_data: Callable[..., list[Action]] = lambda conn, data: [SendData(conn, data)]
        self.on_closed: Callable[..., list[Action]] = lambda conn, reason: []
        self.on_timer: Callable[[Any], list[Action]] = lambda name: []
        self.on_drain: Callable[[], list[Action]] = list
        self.deadlines: list[tuple[float, Any]] = []
        self._next = 0
        self._put_aside: list[tuple[Any, ...]] = []

    def expect(self, kind: str) -> tuple[Any, ...]:
        """Return what follows ``kind`` in the next thing of that kind the stack was told."""
        for index, one in enumerate(self._put_aside):
            if one[0] == kind:
                return self._put_aside.pop(index)[1:]
        while True:
            try:
                one = self.seen.get(timeout=PATIENCE)
            except queue.Empty:
                raise AssertionError(f"{kind} did not happen; {self._put_aside!r:.500} did") from None
            if one[0] == kind:
                return one[1:]
            self._put_aside.append(one)

    def told(self, kind: str) -> list[tuple[Any, ...]]:
        """Return everything of ``kind`` so far that was not expected yet."""
        while not self.seen.empty():
            self._put_aside.append(self.seen.get())
        return [one[1:] for one in self._put_aside if one[0] == kind]

    # --- the signature of Stack

    def datagram_received(self, listener: int, data: bytes, source: Any, now: float) -> list[Action]:
        self.seen.put(("datagram", listener, data, source))
        return self.on_datagram(listener, data, source)

    def connection_opened(self, conn: int, flow: Any, now: float) -> list[Action]:
        self.seen.put(("opened", conn, flow))
        return self.on_opened(conn, flow)

    def connection_writable(self, conn: int, writable: bool, now: float) -> list[Action]:
        return []

    def protocol_agreed(self, conn: int, protocol: str, now: float) -> list[Action]:
        return []

    def data_received(self, conn: int, data: bytes, now: float, *, boundary: bool = False) -> list[Action]:
        self.seen.put(("data", conn, data, boundary))
        return self.on_data(conn, data)

    def connection_closed(self, conn: int, reason: str, now: float) -> list[Action]:
        self.seen.put(("closed", conn, reason))
        return self.on_closed(conn, reason)

    def send_failed(self, owner: int, reason: str, now: float) -> list[Action]:
        self.seen.put(("send_failed", owner, reason))
        return []

    def answer(self, id: int, result: Any, now: float) -> list[Action]:
        self.seen.put(("answer", id, result))
        return []

    def time_passed(self, now: float) -> list[Action]:
        actions: list[Action] = []
        self.deadlines.sort(key=lambda one: one[0])
        while self.deadlines and self.deadlines[0][0] <= now:
            deadline, name = self.deadlines.pop(0)
            self.seen.put(("timer", name, now - deadline))
            actions += self.on_timer(name)
        return actions

    def next_deadline(self) -> float | None:
        return min((one[0] for one in self.deadlines), default=None)

    def is_crowd(self, listener: int, source: Any) -> bool:
        return False

    def new_connection(self) -> int:
        self._next += 1
        return self._next

    def drain(self, now: float) -> list[Action]:
        self.seen.put(("drain",))
        return self.on_drain()
