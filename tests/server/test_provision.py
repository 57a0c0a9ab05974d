"""Tables and outer halves of modules: made ready aside, taken whole, closed when their last user has gone."""

from __future__ import annotations

import time
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from sansip.module import Module
from sansip.rows import Table
from sansip_server import parts
from sansip_server.faults import OperatorError
from sansip_server.parts import Part
from sansip_server.provision import Provision, needs
from sansip_server.rows import RowService, open_rows


@dataclass
class Row:
    key: str


class Half(Part):
    closed = 0

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        if settings == "broken":
            raise ValueError("no database")

    def handlers(self) -> dict[type, Any]:
        return {Row: lambda question: self.settings}

    def close(self) -> None:
        Half.closed += 1


class Whole(Module):
    name = "whole"
    tables = (Table("whole", Row, key=("key",)),)


class Second(Module):
    name = "second"


class Plain(Module):
    name = "plain"


@pytest.fixture
def provision(monkeypatch: pytest.MonkeyPatch) -> Provision:
    found = [
        EntryPoint(name, "tests.server.test_provision:Half", parts.GROUP) for name in ("whole", "second")
    ]
    monkeypatch.setattr(parts, "entry_points", lambda group: found)
    monkeypatch.setattr(Half, "closed", 0)
    return Provision(lambda: RowService(open_rows(None)))


def test_what_is_needed(provision: Provision) -> None:
    """The rows are opened where the first table is, and not for a module that needs nothing."""
    assert [needs(kind) for kind in (Whole, Second, Plain)] == [True, True, False]
    provision.start({Plain: None})
    assert (provision.handlers, provision.health) == ({}, {})
    provision.start({Whole: "settings"})
    assert {"rows", "whole.part"} == set(provision.health)
    assert provision.handlers[Row]("x") == "settings"
    provision.close()
    assert Half.closed == 1


def test_what_is_not_taken_is_closed(provision: Provision) -> None:
    """A part that cannot be made closes those before it; unwanted ones are closed, too."""
    with pytest.raises(OperatorError, match="the outer half of the module second cannot be made: ValueError"):
        provision.prepare({Whole: None, Second: "broken"})
    assert Half.closed == 1
    provision.prepare({Whole: None}).drop()
    assert Half.closed == 2
    assert "whole.part" not in provision.health


def test_what_is_replaced_lives_as_long_as_it_may_be_asked(provision: Provision) -> None:
    """It answers the earlier questions; then it is closed, in a thread."""
    from sansip.clock import Timers
    from sansip.limits import Limits

    class Driver:
        timers, limits = Timers(), Limits(answer_time=10, retire_time=300)

    class Hub:
        driver, now, taken = Driver(), 0.0, ({},)

        @property
        def answering(self) -> Hub:
            return self

        def clock(self) -> float:
            return self.now

        def settle(self, now: float) -> None: ...

        def answer_with(self, handlers: Any, anew: bool = False) -> None:
            self.taken = (handlers,)

        def ask_by(self, question: type, asked: Any) -> None: ...

    def closed() -> int:
        deadline = time.monotonic() + 0.2
        while time.monotonic() < deadline and not Half.closed:
            time.sleep(0.01)
        return Half.closed

    hub: Any = Hub()
    provision.start({Whole: "first"})
    provision.take(provision.prepare({Whole: "second"}), [], hub)
    assert hub.taken[0][Row]("x") == "second"
    assert Half.closed == 0
    hub.driver.timers.fire_due(11.0)
    assert closed() == 1
    Half.closed = 0
    hub.now = 20.0
    provision.take(provision.prepare({}), [Whole], hub)
    hub.driver.timers.fire_due(320.0)
    assert Half.closed == 0
    hub.driver.timers.fire_due(331.0)
    assert closed() == 1
