"""A module that fails in ``usage_received`` disturbs nobody else."""

from __future__ import annotations

from typing import Any

from sansip.module.taking import Taker


class _Arrived:
    def __init__(self) -> None:
        self.failed: list[float] = []

    def fail(self, now: float) -> None:
        self.failed.append(now)


def _broken(*given: Any) -> Any:
    raise ValueError("broken")


def test_what_fails_before_and_after() -> None:
    """Before it is taken the request goes the long way; afterwards it gets a 500. Both are told."""
    told: list[Any] = []
    taker = Taker("module", _broken, lambda *given: told.append(given))
    arrived = _Arrived()
    assert taker.take(arrived, 1.0) is None
    assert arrived.failed == []
    taker.act(_broken, arrived, 2.0)
    assert arrived.failed == [2.0]
    assert [(module, hook, str(error)) for module, hook, error in told] == [
        ("module", "usage_received", "broken")
    ] * 2


def test_what_is_taken() -> None:
    """It is done when the stack says so."""
    done: list[Any] = []
    taker = Taker("module", lambda arrived, now: lambda *given: done.append(given), _broken)
    taken = taker.take("request", 1.0)
    assert done == []
    taker.act(taken, "request", 1.0)
    assert done == [("request", 1.0)]
