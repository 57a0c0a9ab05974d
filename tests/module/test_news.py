"""What changed at one process reaches the others, each key once, also after a long silence or a new start."""

from __future__ import annotations

import json
from typing import Any

from sansip.module import Module, Use
from sansip.module.news import News, news_table
from tests.modules.events.test_nodes import Nodes as Sharing

NEWS = news_table("listener")


class Listener(Module):
    """Notes what it is to read again."""

    name = "listener"

    def start(self, core: Any, now: float) -> None:
        self.read: list[tuple[str, ...]] = []
        self.whole = 0
        self.news = News(core, NEWS, self._reread, self._everything, now)

    async def _reread(self, key: tuple[str, ...]) -> None:
        self.read.append(key)

    async def _everything(self) -> None:
        self.whole += 1


class Nodes(Sharing):
    """Nodes that share values."""

    MODULES = (Use(Listener),)

    def of(self, name: str) -> Listener:
        return self.rigs[name].stack.modules.get(Listener)

    def tell(self, name: str, *key: str) -> None:
        self.of(name).news.tell(key, self.rigs[name].now)

    def meet(self, seconds: float = 2.0) -> None:
        for _ in range(2):
            for name in self.rigs:
                self.wait(name, seconds / 2)


def test_each_key_once() -> None:
    """The others read what changed, and the process that told it does not."""
    nodes = Nodes("n1", "n2", "n3")
    nodes.meet()
    nodes.tell("n1", "a", "b")
    nodes.tell("n1", "c")
    nodes.tell("n1", "c")
    nodes.meet()
    assert nodes.of("n1").read == []
    assert nodes.of("n2").read == nodes.of("n3").read == [("a", "b"), ("c",)]
    nodes.tell("n2", "d")
    nodes.meet()
    assert nodes.of("n1").read == [("d",)]
    assert nodes.of("n3").read[2:] == [("d",)]


def test_more_than_a_value_holds() -> None:
    """A process that missed more than the value has reads everything, once."""
    nodes = Nodes("n1", "n2")
    nodes.meet()
    before = nodes.of("n2").whole
    for number in range(600):
        nodes.tell("n1", str(number))
    nodes.meet()
    assert (nodes.of("n2").whole, nodes.of("n2").read) == (before + 1, [])


def test_a_new_start() -> None:
    """A process that began anew is known by its number, and finds the directory as it was."""
    nodes = Nodes("n1", "n2")
    nodes.meet()
    nodes.die("n1")
    nodes.start("n1")
    nodes.meet(6.0)
    nodes.of("n2").read.clear()
    nodes.tell("n1", "a")
    nodes.meet()
    assert nodes.of("n2").read == [("a",)]


def test_the_values_are_away() -> None:
    """What cannot be told, or read, is told and read later."""
    nodes = Nodes("n1", "n2")
    nodes.meet()
    nodes.values_down = True
    nodes.tell("n1", "a")
    nodes.of("n2").news.reread_soon(("b",))
    nodes.meet(4.0)
    nodes.values_down = False
    nodes.meet(6.0)
    assert nodes.of("n2").read == [("b",), ("a",)]


def directory(nodes: Nodes) -> list[str]:
    """The names of the processes that have news, as the live value has them."""
    place = (NEWS.name, ("",))
    names: list[str] = json.loads(nodes.values._values[place][0][2])
    return names


def go_on(nodes: Nodes, *names: str) -> None:
    """Let a hundred seconds pass at these alone."""
    for _ in range(50):
        for name in names:
            nodes.wait(name, 2.0)


def test_a_process_that_is_gone_leaves() -> None:
    """Names of processes without a node's name are new ones at each start: they must not pile up for days."""
    nodes = Nodes("n1", "n2", "n3")
    nodes.meet()
    assert sorted(directory(nodes)) == ["n1", "n2", "n3"]
    go_on(nodes, "n1", "n2")
    assert sorted(directory(nodes)) == ["n1", "n2"]
    assert "n3" not in nodes.of("n1").news._heard
    # Those that say nothing for long are heard all the same, and nobody reads everything for it.
    before = nodes.of("n2").whole
    nodes.tell("n1", "a")
    nodes.meet()
    assert (nodes.of("n2").whole, nodes.of("n2").read) == (before, [("a",)])


def test_one_that_was_only_away() -> None:
    """It is in the directory again, and nothing of it is missed."""
    nodes = Nodes("n1", "n2")
    nodes.meet()
    # It was stopped: its value has ended, and n2 took its name away.
    go_on(nodes, "n2")
    assert directory(nodes) == ["n2"]
    before = nodes.of("n2").whole
    nodes.rigs["n1"].now = nodes.rigs["n2"].now
    nodes.meet(6.0)
    nodes.tell("n1", "a")
    nodes.meet(6.0)
    assert sorted(directory(nodes)) == ["n1", "n2"]
    assert nodes.of("n2").whole > before or ("a",) in nodes.of("n2").read


def test_all_values_are_lost() -> None:
    """Redis began anew without its data: everybody is there again, and hears of the others."""
    nodes = Nodes("n1", "n2")
    nodes.meet()
    nodes.values._values.clear()
    nodes.meet(60.0)
    assert sorted(directory(nodes)) == ["n1", "n2"]
    nodes.tell("n1", "a")
    nodes.meet()
    assert nodes.of("n2").read[-1:] == [("a",)] or nodes.of("n2").whole
