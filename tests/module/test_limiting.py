"""How many of something may happen in a while, and which node does what one does for all."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.errors import LocalProtocolError
from sansip.limits import Limits
from sansip.location import NodeState
from sansip.module import Module, Use, command
from sansip.module.limiting import Rates
from sansip.testing import ModuleBench
from tests.rig import Rig


class Gate(Module):
    name = "gate"

    @command("gate.try")
    async def attempt(self, key: str, count: int = 2, per: float = 10.0) -> bool:
        return await self.core.limit(key, count, per)


def test_so_many_in_a_while() -> None:
    """Each key by itself; it fills again evenly."""
    bench = ModuleBench(Gate)
    assert [bench.command("gate.try", key="a") for _ in range(3)] == [True, True, False]
    assert bench.command("gate.try", key="b") is True
    bench.wait(5)
    assert [bench.command("gate.try", key="a") for _ in range(2)] == [True, False]
    bench.wait(100)
    assert [bench.command("gate.try", key="a") for _ in range(3)] == [True, True, False]


def test_keys_are_bounded() -> None:
    """``limits.module_keys``: the one counted least lately goes, so a stranger's keys fill nothing."""
    assert Limits().module_keys == 100_000
    rates = Rates(2)
    for key in ("a", "b", "a", "c"):
        rates.allow(key, 1, 10, 0.0)
    assert len(rates) == 2
    assert [rates.allow(key, 1, 10, 0.0) for key in ("a", "b")] == [False, True]


def test_a_clock_that_stands() -> None:
    """Nothing is given back for time that did not pass."""
    rates = Rates(10)
    assert [rates.allow("a", 1, 1, now) for now in (5.0, 4.0, 5.0, 6.0)] == [True, False, False, True]


def test_limits_that_are_none() -> None:
    """A rate of nothing, or in no time, is a slip of the module."""
    core = ModuleBench(Gate).module.core
    for count, per in ((0, 1.0), (1, 0.0)):
        with pytest.raises(LocalProtocolError, match="a limit is at least 1"):
            core.limit("a", count, per)


class _Nodes:
    """The knowledge of a stack about the nodes that share its location."""

    def __init__(self, name: str, *others: NodeState) -> None:
        self.me = NodeState(name, "life", "x")
        self.others = list(others)


def test_one_node_of_several() -> None:
    """All of them choose the same one, another when that is gone, and each has its share of the work."""

    def chosen(name: str, alive: dict[str, bool]) -> list[str]:
        yes = []
        for node in alive:
            rig = Rig(modules=[Use(Gate)], secret=b"a secret of all the nodes here")
            others = [NodeState(one, "life", "x", draining) for one, draining in alive.items() if one != node]
            stack: Any = rig.stack
            stack.nodes = _Nodes(node, *others)
            if not alive[node] and rig.stack.modules.get(Gate).core.once(name):
                yes.append(node)
        return yes

    nodes = dict.fromkeys(("one", "two", "three"), False)
    work = {f"job {number}": chosen(f"job {number}", nodes) for number in range(30)}
    assert all(len(who) == 1 for who in work.values())
    assert {who[0] for who in work.values()} == set(nodes)
    (before,) = work["job 0"]
    assert chosen("job 0", {**nodes, before: True}) != [before]
    del nodes[before]
    (after,) = chosen("job 0", nodes)
    assert after != before


def test_a_server_alone() -> None:
    """It does everything."""
    assert ModuleBench(Gate).module.core.once("probe")
