"""One change of bindings: memory and the store agree on it, however it ends."""

from __future__ import annotations

from typing import Any

import pytest

from sansip import Ask, ListenerConfig, Stack, StackConfig
from sansip.limits import Limits
from sansip.location import Binding, LocationUpdate
from sansip.routing.change import Change, LocationFull, NotStored

AOR = "sip:bob@biloxi.test"
DESK = Binding(AOR, "sip:bob@192.0.2.7", 3_600.0, "one", 1)
CAR = Binding(AOR, "sip:bob@192.0.2.8", 3_600.0, "two", 1)


class Bench:
    """A stack, the changes that were heard, and the questions to its store."""

    def __init__(self, durable: bool = True, **limits: Any) -> None:
        listeners = [ListenerConfig(0, "udp", "192.0.2.1", 5060)]
        config = StackConfig(listeners, ["biloxi.test"], durable=durable, limits=Limits(**limits))
        self.stack = Stack(config, b"s" * 16)
        self.heard: list[Exception | None] = []

    def put(self, *after: Binding, at_once: bool = False) -> None:
        change = Change(self.stack, AOR, lambda stands, now: after, str, 1.0, at_once=at_once)
        self.stack.ask(change, lambda result, then: self.heard.append(result), 1.0)

    def asked(self) -> list[Ask]:
        return [one for one in self.stack.time_passed(1.0) if isinstance(one, Ask)]

    @property
    def stands(self) -> list[Binding]:
        return self.stack.location.lookup(AOR, 1.0)


def test_memory_alone_takes_it_in_one_step() -> None:
    """Without a store no request waits."""
    bench = Bench(durable=False)
    bench.put(DESK)
    assert (bench.heard, bench.stands, bench.asked()) == ([None], [DESK], [])


def test_the_store_is_told_what_changed() -> None:
    """The waiting request hears of the change once the store has it, and not before."""
    bench = Bench()
    bench.put(DESK)
    (ask,) = bench.asked()
    assert ask.question == LocationUpdate(AOR, (), (DESK,))
    assert bench.heard == []
    bench.stack.answer(ask.id, None, 1.0)
    assert (bench.heard, bench.stands) == ([None], [DESK])


def test_a_store_that_fails_takes_memory_back() -> None:
    """A change that no phone was told of does not stand, and the error names the reason."""
    bench = Bench()
    bench.put(DESK)
    (ask,) = bench.asked()
    bench.stack.answer(ask.id, OSError("disk full"), 1.0)
    (error,) = bench.heard
    assert (type(error), str(error), bench.stands) == (NotStored, "disk full", [])


def test_what_came_between_stays() -> None:
    """The second was planned upon the first: undoing the first would undo an acknowledged change."""
    bench = Bench()
    bench.put(DESK)
    bench.put(DESK, CAR)
    first, second = bench.asked()
    bench.stack.answer(first.id, OSError("locked"), 1.0)
    bench.stack.answer(second.id, None, 1.0)
    assert [type(one) for one in bench.heard] == [NotStored, type(None)]
    assert CAR in bench.stands


def test_a_fact_is_not_undone() -> None:
    """A connection that is lost does not come back because a disk is full."""
    bench = Bench()
    bench.put(DESK)
    bench.stack.answer(bench.asked()[0].id, None, 1.0)
    bench.put(at_once=True)
    assert (bench.heard, bench.stands) == ([None, None], [])
    (ask,) = bench.asked()
    bench.stack.answer(ask.id, OSError("disk full"), 1.0)
    assert (bench.heard, bench.stands) == ([None, None], [])


@pytest.mark.parametrize("durable", [False, True])
def test_as_it_is(durable: bool) -> None:
    """A plan that changes nothing asks no store."""
    bench = Bench(durable)
    change = Change(bench.stack, AOR, lambda stands, now: None, str, 1.0)
    bench.stack.ask(change, lambda result, then: bench.heard.append(result), 1.0)
    assert (bench.heard, bench.asked()) == ([None], [])


def test_a_full_location() -> None:
    """limits.aors: nothing is changed, nothing is stored."""
    bench = Bench(aors=0)
    bench.put(DESK)
    assert [type(one) for one in bench.heard] == [LocationFull]
    assert (bench.stands, bench.asked()) == ([], [])
