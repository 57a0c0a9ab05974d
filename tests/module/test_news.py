"""What changed at one process reaches the others, each key once, also after a long silence or a new start."""

from __future__ import annotations

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
