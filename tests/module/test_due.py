"""A module that tells its deadline (``Module.tells_due``) is not asked for it after each message."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.module import Module
from sansip.testing import ModuleBench


class Alarm(Module):
    """Wants to be called ``due``, and counts how often it is asked."""

    name = "alarm"
    tells_due = True

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self.due: float | None = None
        self.asked = 0
        self.called: list[float] = []

    def next_due(self) -> float | None:
        self.asked += 1
        return self.due

    def time_passed(self, now: float) -> None:
        self.called.append(now)
        self.due = None if self.due is None or len(self.called) == 3 else self.due + 5.0


def test_asked_when_time_passes_alone() -> None:
    """The deadline is asked for after each message, and most messages change none."""
    bench = ModuleBench(Alarm)
    module, stack = bench.module, bench.stack
    bench.perform(stack.time_passed(bench.now))
    asked, begun = module.asked, bench.now
    for _ in range(5):
        bench.call("nobody")
    assert module.asked == asked
    # An earlier time counts, a later one is asked for in its turn.
    for after in (9.0, 7.0, 8.0):
        module.core.has_due(begun + after)
    module.due = begun + 7.0
    assert stack.next_deadline() is not None
    bench.wait(30.0)
    assert [round(at - begun) for at in module.called] == [7, 12, 17]


class Broken(Alarm):
    """Fails once when time passes, in ``where``."""

    where = ""

    def next_due(self) -> float | None:
        self._perhaps("next_due")
        return super().next_due()

    def time_passed(self, now: float) -> None:
        self._perhaps("time_passed")
        super().time_passed(now)

    def _perhaps(self, where: str) -> None:
        if self.where == where:
            self.where = ""
            raise ValueError(where)


@pytest.mark.parametrize("where", ["next_due", "time_passed"])
def test_a_fault_is_no_end(where: str) -> None:
    """What had been told is forgotten when time passes: after an exception it is asked for again, soon."""
    bench = ModuleBench(Broken)
    module, begun = bench.module, bench.now
    bench.perform(bench.stack.time_passed(bench.now))
    module.due = begun + 3.0
    module.core.has_due(begun + 3.0)
    module.where = where
    bench.wait(4.5)
    assert not module.where
    assert [round(at - begun) for at in module.called] == [4]


def test_a_reload_asks_once() -> None:
    """What a module has told is not lost with the set of modules that heard of it."""
    bench = ModuleBench(Alarm)
    module, begun = bench.module, bench.now
    bench.perform(bench.stack.time_passed(bench.now))
    module.due = begun + 3.0
    module.core.has_due(begun + 3.0)
    bench.stack.modules.stack_hooks.replace(bench.stack.modules._overriding())
    bench.wait(5.0)
    assert [round(at - begun) for at in module.called] == [3]
    module.due = None
    bench.wait(5.0)
    found = bench.stack.next_deadline()
    assert found is None or found > bench.now


class Hurry(Module):
    """Names a time, and has no ``time_passed``."""

    name = "hurry"
    asked = 0

    def next_due(self) -> float | None:
        Hurry.asked += 1
        return 0.0


def test_who_does_nothing_then_is_not_asked_when() -> None:
    """The stack does not ask such a module: its deadline would stay in the past, and the loop would spin."""
    bench = ModuleBench(Hurry)
    bench.perform(bench.stack.time_passed(bench.now))
    assert bench.stack.next_deadline() is None
    assert Hurry.asked == 0
