"""Hooks that take long are named, not too often, also inside of what waits."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.module import Module, Use
from sansip.routing import ask
from sansip_server.slowness import Slowness
from tests.rig import Rig, request, what


class Ticking(Module):
    name = "ticking"
    clock = 0.0

    def message_arrived(self, message: Any, flow: Any, now: float) -> Any:
        Ticking.clock += 0.051 if message.get("x-slow") == "at once" else 0.049
        return super().message_arrived(message, flow, now)

    async def request_received(self, request: Any) -> bool:
        if request.message.get("x-slow") == "waiting":
            try:
                await ask("first")
            except ValueError:
                Ticking.clock += 0.06
        return False

    def time_passed(self, now: float) -> None:
        """The stack calls ``next_due`` only of modules that have this method."""

    def next_due(self) -> float | None:
        return None


def bench() -> Rig:
    Ticking.clock = 0.0
    rig = Rig(modules=[Use(Ticking)])
    Slowness(rig.stack.modules, lambda: Ticking.clock)
    return rig


def test_named_once_in_a_while(caplog: pytest.LogCaptureFixture) -> None:
    """With its time; ten seconds later again, with how often it was."""
    rig = bench()
    rig.udp(request("OPTIONS", "sip:biloxi.test"))
    assert not caplog.records
    for number in range(3):
        slow = [("X-Slow", "at once")]
        rig.udp(request("OPTIONS", "sip:biloxi.test", branch=f"z9hG4bK{number}", headers=slow))
    (told,) = [one.getMessage() for one in caplog.records]
    assert told.startswith("the module ticking took 51 ms in message_arrived; all calls wait meanwhile")
    Ticking.clock += 10
    rig.udp(request("OPTIONS", "sip:biloxi.test", branch="z9hG4bKa", headers=[("X-Slow", "at once")]))
    assert "(2 times more since it was told last)" in caplog.records[-1].getMessage()


def test_inside_of_what_waits(caplog: pytest.LogCaptureFixture) -> None:
    """Its steps count, the wait between them does not; a thrown exception arrives."""
    rig = bench()
    assert what(rig.udp(request("OPTIONS", "sip:biloxi.test", headers=[("X-Slow", "waiting")]))) == []
    Ticking.clock += 100
    assert what(rig.answer(ValueError("no"))) == ["200"]
    assert ["took 60 ms in request_received" in one.getMessage() for one in caplog.records] == [True]


def test_next_due_costs_no_clock() -> None:
    """It is asked after each datagram: the wrapper cost a live call more than the hook, each time."""
    hooks = bench().stack.modules.stack_hooks
    asked = {type(module): hook for module, hook in hooks._next_due}
    module = next(module for module, _ in hooks._next_due if type(module) is Ticking)
    assert asked[Ticking] == module.next_due
    assert (
        next(hook for owner, hook in hooks.message_arrived if type(owner) is Ticking)
        != module.message_arrived
    )
