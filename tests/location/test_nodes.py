"""The nodes that live, as far as this node knows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sansip.clock import Timers
from sansip.location import Heartbeat, NodeConfig, Nodes, NodeState
from sansip.location.nodes import Answered


def prove(text: str) -> str:
    return f"proof of {text}"


def state(name: str, life: str, host: str, *, draining: bool = False) -> NodeState:
    made = NodeState(name, life, f"{host}:5060", draining)
    return replace(made, proof=prove(made.stated))


A = state("a", "a1", "192.0.2.10")
B = state("b", "b1", "192.0.2.20")


class Bench:
    """Nodes of b, whose questions the test answers."""

    def __init__(self, linger: float = 0.0) -> None:
        self.timers = Timers()
        self.asked: list[Heartbeat] = []
        self.told: list[tuple[str, str]] = []
        # The node that is asked over SIP, and how to answer.
        self.probed: list[tuple[NodeState, Answered]] = []
        config = NodeConfig("192.0.2.20:5060", heartbeat=2.0, linger=linger)
        self.nodes = Nodes(
            "b",
            "b1",
            config,
            self.timers,
            self._ask,
            lambda node, what, now: self.told.append((node.name, what)),
            prove,
            lambda node, answered, now: self.probed.append((node, answered)),
        )
        self._answer: Callable[[Any, float], None] | None = None

    def _ask(self, question: Any, callback: Callable[[Any, float], None], now: float) -> None:
        self.asked.append(question)
        if question.seconds > 0:
            self._answer = callback

    def beat(self, now: float, answer: Any) -> None:
        self.timers.fire_due(now)
        assert self._answer is not None
        answered, self._answer = self._answer, None
        answered(answer, now)

    def probe(self, lives: bool, now: float) -> NodeState:
        """Answer the node that is asked over SIP."""
        ((node, answered),) = self.probed
        self.probed.clear()
        answered(lives, now)
        return node


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
    """A node is known from the answer that names it until neither the store nor itself says that it lives."""
    bench = Bench()
    bench.nodes.join([A], 0.0)
    assert bench.nodes.get("a", "a1") == A
    assert bench.nodes.get("b", "b1") == bench.nodes.me
    bench.beat(0.0, [A, B])
    again = state("a", "a2", "192.0.2.10")
    bench.beat(2.0, [again, B])
    assert bench.nodes.others == [again]
    assert bench.nodes.get("a", "a1") == again
    draining = replace(again, draining=True)
    bench.beat(4.0, [draining, B])
    bench.beat(6.0, [B])
    assert bench.nodes.get("a", "a2") == draining
    assert bench.probe(False, 7.0) == draining
    assert bench.nodes.get("a", "a2") is None
    assert bench.told == [("a", "lives"), ("a", "lives"), ("a", "replaced"), ("a", "drains"), ("a", "gone")]


def test_a_node_that_lost_the_store_is_asked_itself() -> None:
    """As long as it answers it lives; it is asked once at a time, and reported once."""
    bench = Bench()
    bench.nodes.join([A], 0.0)
    for now in (0.0, 2.0, 4.0):
        bench.beat(now, [B])
        assert len(bench.probed) == 1
    bench.probe(True, 4.5)
    assert bench.nodes.cut_off == [A]
    bench.beat(6.0, [B])
    bench.probe(True, 6.1)
    bench.beat(8.0, [A, B])
    assert (bench.nodes.cut_off, bench.probed) == ([], [])
    assert bench.told == [("a", "lives"), ("a", "cut off"), ("a", "lives")]


def test_without_the_store_all_are_asked() -> None:
    """Its silence proves nothing, and that of a node does: a node that died meanwhile is not waited for."""
    bench = Bench()
    c = state("c", "c1", "192.0.2.30")
    bench.nodes.join([A, c], 0.0)
    bench.beat(0.0, OSError("gone"))
    answers = {node.name: answered for node, answered in bench.probed}
    answers["a"](True, 1.0)
    answers["c"](False, 2.0)
    assert bench.nodes.others == [A]
    # We are the ones who are cut off.
    assert bench.nodes.cut_off == []
    assert bench.told[2:] == [("c", "gone")]


def test_a_node_that_does_not_answer_here() -> None:
    """The store knows the node, but the way to it is broken: it is passed over until it answers."""
    bench = Bench()
    bench.nodes.join([A], 0.0)
    bench.beat(0.0, [A, B])
    bench.nodes.suspect("a1", 1.0)
    bench.nodes.suspect("a1", 1.0)
    bench.nodes.suspect("nobody", 1.0)
    bench.probe(False, 2.0)
    assert bench.nodes.get("a", "a1") is None
    bench.beat(2.0, [A, B])
    bench.probe(False, 3.0)
    bench.beat(4.0, [A, B])
    bench.probe(True, 5.0)
    assert bench.nodes.get("a", "a1") == A
    bench.beat(6.0, [A, B])
    assert bench.probed == []
    assert bench.told == [("a", "lives"), ("a", "unreachable"), ("a", "lives")]


def test_an_unreachable_node_that_goes() -> None:
    """It is gone once the store does not know of it either."""
    bench = Bench()
    bench.nodes.join([A], 0.0)
    bench.beat(0.0, [A, B])
    bench.nodes.suspect("a1", 1.0)
    bench.probe(False, 2.0)
    bench.beat(2.0, [B])
    bench.probe(False, 3.0)
    assert (bench.nodes.others, bench.nodes.unreachable) == ([], {})
    assert bench.told == [("a", "lives"), ("a", "unreachable"), ("a", "gone")]


def test_its_own_former_life() -> None:
    """It is taken out of the store at once; should it beat on, somebody else is there."""
    bench = Bench()
    former = state("b", "b0", "192.0.2.20")
    bench.nodes.join([], 0.0)
    bench.beat(0.0, [former, B])
    assert bench.asked[-1] == Heartbeat(former, 0.0)
    assert bench.nodes.others == []
    assert bench.nodes.get("b", "b0") == bench.nodes.me
    bench.beat(2.0, [former, B])
    assert bench.told == [("b", "twin"), ("b", "lives")]


def test_twins() -> None:
    """Two nodes of one name are two nodes: each is found by its life, and told of once."""
    bench = Bench()
    twin = state("b", "b7", "192.0.2.30")
    bench.nodes.join([], 0.0)
    bench.beat(0.0, [twin, B])
    bench.beat(2.0, [twin, B])
    assert bench.told == [("b", "twin"), ("b", "lives")]
    assert bench.nodes.get("b", "b7") == twin
    assert bench.nodes.get("b", "b1") == bench.nodes.me
    assert list(bench.nodes.twins.values()) == [twin]
    bench.beat(4.0, [B])
    assert bench.nodes.twins == {}


def test_strangers() -> None:
    """Without the key no host counts as a node, and a copied proof is of no use."""
    bench = Bench()
    stranger = NodeState("c", "c1", "192.0.2.30:5060", proof="other")
    copied = replace(A, address="192.0.2.66:5060")
    bench.nodes.join([], 0.0)
    for now in (0.0, 2.0):
        bench.beat(now, [stranger, copied, B])
    assert bench.nodes.others == []
    assert bench.told == [("c", "stranger"), ("a", "stranger")]
    assert not bench.nodes.is_at("192.0.2.66")


def test_where_nodes_are() -> None:
    """Their own limits by source do not hold among nodes, which is seen by address."""
    bench = Bench()
    bench.nodes.join([A, state("c", "c1", "[2001:db8::30]")], 0.0)
    assert bench.nodes.is_at("192.0.2.10")
    assert bench.nodes.is_at("2001:db8::30")
    assert not bench.nodes.is_at("192.0.2.11")


def test_draining_is_told_and_lingers() -> None:
    """The next beat says so; the phones that it alone can reach are served for ``linger`` seconds."""
    bench = Bench(linger=30.0)
    bench.nodes.join([], 0.0)
    bench.beat(0.0, [B])
    bench.nodes.drain(1.0)
    assert bench.nodes.lingering
    bench.beat(2.0, [B])
    assert bench.asked[-1].node.draining
    bench.timers.fire_due(31.0)
    assert not bench.nodes.lingering
