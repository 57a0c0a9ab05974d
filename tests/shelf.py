"""A shared location in the test's own hands: what Redis does, in a dictionary.

Theory of operation: ``Cluster`` has several ``Rig``s and answers their questions
from one ``Shelf``, when the test says so, in the order that it wants. The shelf
compares and swaps as the script in Redis does. What nodes ask each other over SIP,
whether they live, is carried between them, unless one is in ``deaf``.
"""

from __future__ import annotations

from typing import Any

from sansip import ListenerConfig
from sansip.actions import Ask
from sansip.location import Heartbeat, NodeConfig, NodeState, SharedRead, SharedRecord, SharedWrite
from tests.rig import Out, Rig

__all__ = ["KEY", "Cluster", "Shelf"]

KEY = b"one key for all nodes, 32 octets"


class Shelf:
    """Records by address-of-record, and the nodes that live."""

    def __init__(self) -> None:
        self.records: dict[str, SharedRecord] = {}
        self.nodes: dict[str, NodeState] = {}
        self.down = False
        self.trips = 0

    def answer(self, question: Any) -> Any:
        self.trips += not isinstance(question, Heartbeat)
        if self.down:
            return ConnectionError("refused")
        match question:
            case SharedRead(aor):
                return self.records.get(aor, SharedRecord("", ()))
            case SharedWrite(aor, expected, version, bindings):
                stands = self.records.get(aor, SharedRecord("", ()))
                if stands.version != expected:
                    return None if stands.version == version else stands
                if bindings:
                    self.records[aor] = SharedRecord(version, bindings)
                else:
                    self.records.pop(aor, None)
                return None
            case Heartbeat(node, seconds):
                if seconds > 0:
                    self.nodes[node.life] = node
                else:
                    self.nodes.pop(node.life, None)
                return list(self.nodes.values())
        raise AssertionError(question)

    def forget(self, name: str) -> None:
        """The signs of life of node ``name`` run out."""
        self.nodes = {life: state for life, state in self.nodes.items() if state.name != name}


class Cluster:
    """Nodes ``names``; node number n, from 1, listens on 192.0.2.(10 n) on UDP, TCP and WebSocket."""

    def __init__(self, *names: str, linger: float = 0.0, **options: Any) -> None:
        self.shelf = Shelf()
        self.rigs: dict[str, Rig] = {}
        # Nodes that cannot be reached over SIP.
        self.deaf: set[str] = set()
        self._started = 0
        self._linger = linger
        self._options = options
        for name in names:
            self.start(name)
        # Once more, so that the first hear of the last.
        for name in names:
            self.wait(name, 2.0)

    def start(self, name: str) -> Rig:
        """Start node ``name``, or start it again after it died."""
        number = len(self.rigs) + 1 if name not in self.rigs else list(self.rigs).index(name) + 1
        address = f"192.0.2.{10 * number}"
        listeners = [
            ListenerConfig(0, "udp", address, 5060),
            ListenerConfig(1, "tcp", address, 5060),
            ListenerConfig(2, "ws", address, 80),
        ]
        self.deaf.discard(name)
        self._started += 1
        life = self._started
        rig = self.rigs[name] = Rig(
            listeners=listeners,
            seed=f"seed of {name} in life {life}, long enough".encode(),
            secret=KEY,
            node=name,
            shared=NodeConfig(f"{address}:5060", 2.0, self._linger),
            **self._options,
        )
        rig.stack.join(rig.now)
        self.wait(name, 0.0)
        return rig

    def die(self, name: str) -> None:
        """Node ``name`` dies, and the others hear of it."""
        self.deaf.add(name)
        self.shelf.forget(name)
        for other in self.rigs:
            if other != name:
                self.wait(other, 4.0)

    def wait(self, name: str, seconds: float) -> list[Out]:
        """Let time pass at one node, its questions answered."""
        outs: list[Out] = []
        rig = self.rigs[name]
        end = rig.now + seconds
        while True:
            outs += rig.wait(min(0.5, end - rig.now))
            outs += self.settle(name)
            outs = self._carry(name, outs)
            if rig.now >= end:
                return outs

    def _carry(self, name: str, outs: list[Out]) -> list[Out]:
        """Have the nodes answer their messages; return the rest."""
        rest = []
        for out in outs:
            if out.what != "OPTIONS" or not out.message.uri_text.startswith("sip:n-"):
                rest.append(out)
                continue
            for other in self.rigs.keys() - self.deaf - {name}:
                if out.to == self.address(other):
                    for answer in self.udp(other, out.data, self.address(name)):
                        rest += self.rigs[name].udp(answer.data, out.to)
        return rest

    def address(self, name: str) -> tuple[str, int]:
        """Where node ``name`` listens."""
        return f"192.0.2.{10 * (1 + list(self.rigs).index(name))}", 5060

    def settle(self, name: str) -> list[Out]:
        """Answer all questions of node ``name``; return its actions."""
        rig = self.rigs[name]
        outs: list[Out] = []
        while rig.asks:
            ask: Ask = rig.asks.pop(0)
            outs += rig.answer(self.shelf.answer(ask.question), ask)
        return outs

    def udp(self, name: str, data: bytes, source: Any) -> list[Out]:
        """One datagram to node ``name``, and its actions until all its questions were answered."""
        return [*self.rigs[name].udp(data, source), *self.settle(name)]
