"""Subscriptions of several nodes on one store: one owner each, and another one when that node is gone."""

from __future__ import annotations

from typing import Any, ClassVar

from sansip.actions import Ask
from sansip.limits import DEFAULT
from sansip.module import Use
from sansip.module.sharing import Count, Get, MemoryValues, Swap
from sansip.modules.events import Events, EventsSettings
from sansip.rows import MemoryRows, Read, Scan, Write
from tests.modules.events.weather import RESOURCE, Reports
from tests.modules.watching import Watcher
from tests.rig import ALICE, Out, reply
from tests.shelf import Cluster


class Nodes(Cluster):
    """Nodes that share rows and values."""

    MODULES: ClassVar[Any] = (Use(Events, EventsSettings(open=True)), Use(Reports))
    TRUSTED: ClassVar[Any] = ()

    def __init__(self, *names: str) -> None:
        # Whether the values cannot be reached.
        self.values_down = False
        self.rows = MemoryRows()
        self.values = MemoryValues(DEFAULT)
        super().__init__(
            *names,
            modules=list(self.MODULES),
            shares_values=True,
            trusted=list(self.TRUSTED),
            wall_offset=1_000_000.0,
        )

    def settle(self, name: str) -> list[Out]:
        rig = self.rigs[name]
        outs: list[Out] = []
        while rig.asks:
            ask: Ask = rig.asks.pop(0)
            question = ask.question
            if isinstance(question, Read | Scan | Write):
                answer: Any = self.rows.answer(question)
            elif isinstance(question, Get | Swap | Count):
                answer = OSError("down") if self.values_down else self.values.answer(question, rig.now)
            else:
                answer = self.shelf.answer(question)
            outs += rig.answer(answer, ask)
        return outs


class Follower(Watcher):
    """A watcher at one of the nodes."""

    def __init__(self, nodes: Nodes, name: str, **options: Any) -> None:
        self.nodes, self.node = nodes, name
        super().__init__(nodes.rigs[name], event="weather", **options)

    def subscribe(self, *given: Any, **options: Any) -> int:
        super().subscribe(*given, **options)
        self.take(self.nodes.settle(self.node))
        return self.status

    def at(self, name: str) -> None:
        self.node, self.rig = name, self.nodes.rigs[name]

    def hear(self, name: str, seconds: float) -> int:
        """Take what node ``name`` sends meanwhile; return how many NOTIFYs came."""
        before = len(self.notifies)
        self.at(name)
        self.take(self.nodes.wait(name, seconds))
        return len(self.notifies) - before


def engine(nodes: Nodes, name: str) -> Events:
    found = nodes.rigs[name].stack.modules.get(Events)
    assert found is not None
    return found


def change(nodes: Nodes, name: str) -> None:
    """The weather changes, as node ``name`` sees it."""
    rig = nodes.rigs[name]
    engine(nodes, name).changed("weather", RESOURCE, rig.now)


def test_one_owner() -> None:
    """A node that starts leaves alone what another one serves."""
    nodes = Nodes("n1")
    watcher = Follower(nodes, "n1")
    assert watcher.subscribe() == 200
    nodes.start("n2")
    nodes.wait("n2", 30.0)
    assert (len(engine(nodes, "n1")), len(engine(nodes, "n2"))) == (1, 0)


def test_taken_over() -> None:
    """When a node is gone exactly one of the others goes on, with higher numbers and its own Contact."""
    nodes = Nodes("n1", "n2", "n3")
    watcher = Follower(nodes, "n1")
    assert watcher.subscribe() == 200
    last = watcher.last.cseq.number
    nodes.die("n1")
    told = [watcher.hear(name, 8.0) for name in ("n2", "n3")]
    assert sorted(told) == [0, 1]
    taker = ("n2", "n3")[told.index(1)]
    assert watcher.last.cseq.number > last
    assert watcher.state.startswith("active")
    assert nodes.address(taker)[0] in str(watcher.last.contacts[0].uri)  # type: ignore[index]  # it has one
    assert [len(engine(nodes, name)) for name in ("n2", "n3")] == told
    # RFC 3261 12.2.1.2: the watcher's refresh goes there, and is served.
    watcher.at(taker)
    watcher.target = str(watcher.last.contacts[0].uri)  # type: ignore[index]  # it has one
    assert watcher.subscribe() == 200
    (row,) = nodes.rows.scan(Scan(Events.tables[0]))
    assert Events.tables[0].row_of(row).owner == taker


def test_versions_rise() -> None:
    """A watcher that compares versions takes no older one for newer."""
    nodes = Nodes("n1", "n2")
    watcher = Follower(nodes, "n1")
    watcher.subscribe()
    before = int(watcher.last.body.split()[0])
    nodes.die("n1")
    assert watcher.hear("n2", 8.0) == 1
    assert int(watcher.last.body.split()[0]) > before


def test_back_with_its_old_subscriptions() -> None:
    """A node that was only cut off lets go of what another took over, and sends nothing more."""
    nodes = Nodes("n1", "n2")
    watcher = Follower(nodes, "n1")
    watcher.subscribe()
    nodes.die("n1")
    assert watcher.hear("n2", 8.0) == 1
    # It beats again.
    nodes.deaf.clear()
    watcher.hear("n1", 8.0)
    watcher.hear("n2", 4.0)
    change(nodes, "n1")
    # What it still sends is refused (RFC 3261 12.2.2), and it looks at the row then.
    old = nodes.rigs["n1"].take(nodes.rigs["n1"].stack._take(nodes.rigs["n1"].now))
    for out in old:
        nodes.rigs["n1"].udp(reply(out.message, 500, tag=None), ALICE)
    nodes.wait("n1", 1.0)
    assert len(engine(nodes, "n1")) == 0
    assert len(engine(nodes, "n2")) == 1
    (row,) = nodes.rows.scan(Scan(Events.tables[0]))
    assert Events.tables[0].row_of(row).owner == "n2"


def test_a_refresh_elsewhere() -> None:
    """A refresh that reaches another node moves the subscription; the first owner does not end it."""
    nodes = Nodes("n1", "n2")
    watcher = Follower(nodes, "n1")
    assert watcher.subscribe(60) == 200
    watcher.at("n2")
    assert watcher.subscribe(600) == 200
    nodes.wait("n1", 100.0)
    assert len(engine(nodes, "n1")) == 0
    (row,) = nodes.rows.scan(Scan(Events.tables[0]))
    assert Events.tables[0].row_of(row).owner == "n2"
