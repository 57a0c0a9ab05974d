"""The stack's next deadline is one number, and after every input it is what all queues together say.

It is asked for after each message, so nothing is looked through: whatever changes the first of a queue
(timers, bindings, calls of the user agent) keeps the number true. A number that is too late is a
retransmission that never leaves, one that is too early a wake-up for nothing.
"""

from __future__ import annotations

import random
from math import inf
from typing import Any

import pytest

from sansip.journal import JournaledStack
from sansip.module import Module, Use
from sansip.routing.default import route as default
from tests.properties.test_hostile import asking, serial
from tests.properties.test_sessions import bridging
from tests.properties.traffic import Storm
from tests.rig import BOB, Out, Rig


async def answering(request: Any) -> None:
    """Take each call that comes in; do the rest as always."""
    incoming = request.incoming() if request.method == "INVITE" else None
    if incoming is None:
        await default(request)
    else:
        await incoming.accept(b"v=0\r\n")


ROUTES = [default, serial, asking, bridging, answering]


class Clocked(Module):
    """Has a clock of its own, and timers of the stack; both move with the requests that come."""

    name = "clocked"

    def start(self, core: Any, now: float) -> None:
        self.due: float | None = now + 7.0
        self.seen = 0

    def request_received(self, request: Any) -> bool:
        self.seen += 1
        now = request.now
        if self.seen % 3 == 0:
            self.due = now + self.seen % 5
        elif self.seen % 3 == 1:
            self.core.timers.start(now, 0.1 * (self.seen % 7), self, "soon")
        return False

    def timer_fired(self, name: Any, now: float) -> None:
        self.due = now + 0.25

    def next_due(self) -> float | None:
        return self.due

    def time_passed(self, now: float) -> None:
        self.due = None


def exact(stack: Any) -> tuple[float, float]:
    """Return the deadline as everything says that waits, each item looked at, and where timers live."""
    if stack.unstarted:
        return 0.0, 0.0
    others = [float(second) for second in stack.location._buckets._buckets]
    others += [due for due, _, _ in stack.ua._watch._heap]
    due = stack.modules.stack_hooks.next_due()
    if due is not None:
        others.append(due)
    live = [
        timer.deadline
        for queue in stack.timers._queues.values()
        for timer in queue
        if timer.owner is not None
    ]
    # A timer that was cancelled counts until the next look at what is due, as it did.
    heads = [at for at, *_ in stack.timers._heads]
    return min([*others, *heads, inf]), min([*others, *live, inf])


class Asked(Rig):
    """Asks for the next deadline after each input."""

    asked = 0

    def take(self, actions: list[Any]) -> list[Out]:
        found = self.stack.next_deadline()
        first, latest = exact(self.stack)
        assert (inf if found is None else found) == first
        assert first <= latest
        assert self.stack.timers.earliest == min(
            self.stack.timers._next, self.stack.location._buckets.earliest, self.stack.ua._watch._earliest
        )
        self.asked += 1
        return super().take(actions)


@pytest.mark.parametrize("modules", [(), (Use(Clocked),)], ids=["plain", "clocked"])
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.__name__)
@pytest.mark.parametrize("seed", range(6))
def test_after_every_input(route: Any, seed: int, modules: Any) -> None:
    """Random plays, with and without a module's clock, and a journal: never another number."""
    rig = Asked(route, modules=list(modules))
    if seed % 2:
        rig.stack = JournaledStack(rig.stack.config, b"seed for the rig", lambda line: None, {})
    storm = Storm(rig, random.Random(f"{route.__name__} {seed}").choice)
    for step in range(80):
        if step % 20 == 0 and route not in (serial, asking):
            # Phones come and go, an hour or a minute at a time.
            rig.register(f"sip:bob@192.0.2.2:{5060 + step}", BOB, params=f";expires={3600 - 59 * step}")
        storm.step()
    storm.end()
    assert rig.asked > 40
    assert rig.stack.next_deadline() is None
