"""Who of the nodes lives, as far as this one knows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sansip.clock import Timers
from sansip.location import Heartbeat, NodeConfig, Nodes, NodeState

A = NodeState("a", "1", "192.0.2.10:5060")
B = NodeState("b", "1", "192.0.2.20:5060")


class Bench:
    """Nodes of b, whose questions the test answers."""

    def __init__(self, linger: float = 0.0) -> None:
        self.timers = Timers()
        self.asked: list[Heartbeat] = []
        self.told: list[tuple[str, str]] = []
        config = NodeConfig("192.0.2.20:5060", heartbeat=2.0, linger=linger)
        self.nodes = Nodes(
            "b",
            "1",
            config,
            self.timers,
            self._ask,
            lambda name, what, now: self.told.append((name, what)),
            lambda text: f"proof of {text}",
        )
        self._answer: Callable[[Any, float], None] | None = None

    def _ask(self, question: Any, callback: Callable[[Any, float], None], now: float) -> None:
        self.asked.append(question)
        self._answer = callback

    def beat(self, now: float, answer: Any) -> None:
        self.timers.fire_due(now)
        assert self._answer is not None
        answered, self._answer = self._answer, None
        answered(answer, now)


def test_beats() -> None:
    """At once, and then every ``heartbeat`` seconds after an answer; three may be missed."""
    bench = Bench()
    bench.nodes.join([], 10.0)
    assert bench.timers.next_deadline() == 10.0
    bench.beat(10.0, [B])
    assert bench.asked == [Heartbeat(B, 6.0)]
    bench.beat(12.0, [B])
    assert len(bench.asked) == 2


def test_others_come_and_go() -> None:
    """A node is known from the answer that names it to the one that does not."""
    bench = Bench()
    bench.nodes.join([A], 0.0)
    assert bench.nodes.get("a") == A
    assert bench.nodes.get("b") == bench.nodes.me
    bench.beat(0.0, [A, B])
    again = NodeState("a", "2", A.address)
    bench.beat(2.0, [again, B])
    draining = NodeState("a", "2", A.address, True)
    bench.beat(4.0, [draining, B])
    bench.beat(6.0, [B])
    assert bench.nodes.get("a") is None
    assert bench.told == [("a", "lives"), ("a", "lives"), ("a", "drains"), ("a", "gone")]


def test_silence_of_the_store_proves_nothing() -> None:
    """While it fails, and for three beats after, who is missing may only be late."""
    bench = Bench()
    bench.nodes.join([A], 0.0)
    bench.beat(0.0, OSError("gone"))
    bench.beat(2.0, OSError("gone"))
    bench.beat(4.0, [B])
    assert bench.nodes.get("a") == A
    bench.beat(6.0, [B])
    assert bench.nodes.get("a") == A
    bench.beat(8.0, [B])
    assert bench.nodes.get("a") is None


def test_draining_is_told_and_lingers() -> None:
    """The next beat says so; whom it alone can reach is served for ``linger`` seconds."""
    bench = Bench(linger=30.0)
    bench.nodes.join([], 0.0)
    bench.beat(0.0, [B])
    bench.nodes.drain(1.0)
    assert bench.nodes.lingering
    bench.beat(2.0, [B])
    assert bench.asked[-1].node.draining
    bench.timers.fire_due(31.0)
    assert not bench.nodes.lingering
