"""Live values and counts that are alike on all nodes: nothing lost, nothing left, bounded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from sansip import LocalProtocolError, Stack, StackConfig
from sansip.limits import Limits
from sansip.module import Module, Use, command
from sansip.module.sharing import Count, Get, MemoryValues, Swap
from sansip.rows import Table
from sansip.testing import ModuleBench
from tests.rig import LISTENERS


@dataclass
class Load:
    trunk: str
    calls: int


LOADS = Table("lines_load", Load, key=("trunk",))


class Lines(Module):
    """Counts calls of trunks, on all nodes together."""

    name = "lines"

    @command("lines.add")
    async def add(self, trunk: str, by: int, ttl: float = 60.0) -> int:
        def changed(load: Load | None) -> Load | None:
            calls = by + (0 if load is None else load.calls)
            return Load(trunk, calls) if calls else None

        load = await self.core.shared(LOADS).change((trunk,), changed, ttl=ttl)
        return 0 if load is None else load.calls

    @command("lines.show")
    async def show(self, trunk: str) -> Load | None:
        return await self.core.shared(LOADS).get(trunk)

    @command("lines.put")
    async def put(self, trunk: str, calls: int) -> None:
        await self.core.shared(LOADS).put(Load(trunk, calls), ttl=60.0)

    @command("lines.drop")
    async def drop(self, trunk: str) -> None:
        await self.core.shared(LOADS).delete(trunk)

    @command("lines.allow")
    async def allow(self, key: str) -> bool:
        return await self.core.limit(key, 2, per=10.0)

    @command("lines.slip")
    async def slip(self) -> None:
        await self.core.shared(LOADS).change(("a",), lambda load: Load("b", 1), ttl=60.0)


def test_two_nodes_have_the_same() -> None:
    """A value that one node puts is there for the other; it ends by itself, as if its node had died."""
    one = ModuleBench(Lines)
    two = one.beside()
    assert one.command("lines.add", trunk="a", by=2) == 2
    assert two.command("lines.add", trunk="a", by=3) == 5
    assert one.command("lines.show", trunk="a") == {"trunk": "a", "calls": 5}
    two.command("lines.put", trunk="a", calls=9)
    assert one.command("lines.show", trunk="a") == {"trunk": "a", "calls": 9}
    assert one.command("lines.add", trunk="a", by=-9) == 0
    assert two.command("lines.show", trunk="a") is None
    one.command("lines.add", trunk="b", by=1)
    one.command("lines.drop", trunk="b")
    assert two.command("lines.show", trunk="b") is None
    one.command("lines.add", trunk="c", by=1, ttl=5)
    one.wait(5)
    two.wait(5)
    assert two.command("lines.show", trunk="c") is None


def test_counts_are_of_all_nodes() -> None:
    """Two of a key in ten seconds, whichever node is asked; each for itself while the outside fails."""
    one = ModuleBench(Lines)
    two = one.beside()
    asked = [node.command("lines.allow", key="k") for node in (one, two, one, two)]
    assert asked == [True, True, False, False]
    assert one.command("lines.allow", key="other") is True
    one.broken = two.broken = True
    asked = [node.command("lines.allow", key="k") for node in (one, two, one, two, one)]
    assert asked == [True, True, True, True, False]
    assert isinstance(one.command("lines.show", trunk="a"), OSError)


def test_nobodys_change_is_lost() -> None:
    """Where another changed it between reading and putting, it is read again; not for ever."""

    class Meddling(MemoryValues):
        """Another node is always quicker, ``most`` times."""

        most, done = 1, 0

        def answer(self, question: Get | Swap | Count, now: float) -> Any:
            if isinstance(question, Swap) and self.done < self.most:
                self.done += 1
                super().answer(Swap(LOADS, ("a",), None, ("a", 100 * self.done), 60.0, False), now)
            return super().answer(question, now)

    values = Meddling(Limits())
    bench = ModuleBench(Lines, values=values)
    assert bench.command("lines.add", trunk="a", by=1) == 101
    values.most = 1_000
    found = bench.command("lines.add", trunk="a", by=1)
    assert isinstance(found, OSError)
    assert "limits.change_attempts" in str(found)


def test_a_server_alone() -> None:
    """It needs no other node, and is answered at once; its values are bounded, and ended ones make room."""
    config = StackConfig(list(LISTENERS), modules=[Use(Lines)], limits=Limits(shared_values=2))
    stack = Stack(config, b"s" * 16)
    stack.time_passed(0.0)
    results: list[Any] = []

    def given(name: str, now: float, **arguments: Any) -> Any:
        assert stack.command(name, arguments, now, lambda result, now: results.append(result)) == []
        return results.pop()

    assert given("lines.add", 0.0, trunk="a", by=1, ttl=5) == 1
    assert given("lines.add", 0.0, trunk="b", by=1) == 1
    full = given("lines.add", 1.0, trunk="c", by=1)
    assert isinstance(full, OSError)
    assert "limits.shared_values" in str(full)
    assert given("lines.add", 6.0, trunk="c", by=1) == 1
    assert given("lines.add", 6.0, trunk="b", by=1) == 2
    assert [given("lines.allow", now, key="k") for now in (6.0, 6.0, 6.0, 11.0)] == [True, True, False, True]
    assert len(stack.values) == 2


def test_slips_of_its_author() -> None:
    """Another module's table, a row that becomes another key's, and a time that is none."""
    bench = ModuleBench(Lines)
    with pytest.raises(LocalProtocolError, match="must begin with lines_"):
        bench.module.core.shared(Table("other", Load, key=("trunk",)))
    assert "cannot become" in str(bench.command("lines.slip"))
    assert "more than 0 seconds" in str(bench.command("lines.add", trunk="a", by=1, ttl=0))
    with pytest.raises(LocalProtocolError, match="at least 1"):
        bench.module.core.limit("k", 0)
