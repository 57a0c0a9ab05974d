"""sansip.modules.quotas.others: a user's calls at all workers use up one limit."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from sansip.modules.calls import Call
from sansip.modules.calls.tariff import UNIT, Tariff
from sansip.modules.quotas.others import Others
from sansip.modules.quotas.use import Limits, Use

USER = "sip:alice@example.com"


def ends() -> tuple[Others, Others, list[Any]]:
    """Return the module's parts of two workers; what the first says the second hears."""
    said: list[Any] = []
    quiet: Any = SimpleNamespace(seat=SimpleNamespace(digit="1"))
    second = Others(quiet)

    def announce(key: str, word: Any, own: bool) -> None:
        assert own
        said.append(word)
        assert second.heard(key, word) == USER

    core: Any = SimpleNamespace(seat=SimpleNamespace(digit="0"), announce=announce)
    return Others(core), second, said


def call(answered: float, tariff: Tariff | None = None) -> Call:
    made = Call("x", "c", "t", USER, "sip:4711@example.com", "", "192.0.2.1", 0.0)
    made.answered, made.tariff = answered, tariff
    return made


def test_calls_that_go_on_elsewhere_use_up_the_limit() -> None:
    """A thief who calls from many ports would have the limit once at each worker."""
    first, second, said = ends()
    use = Use(0)
    use.running = {"a": call(100.0, Tariff(2 * UNIT))}
    first.share(USER, use)
    assert second.at(USER, 0, 130.0) == (30.0, UNIT)
    limits = Limits(0, 2.0, 0.0)
    mine = Use(0)
    mine.running = {"b": call(100.0)}
    seconds, spent = second.at(USER, 0, 130.0)
    # Two calls: what is left of 120 seconds is used up twice as fast.
    assert mine.due(limits, 130.0, seconds, spent, second.running(USER)) == 160.0
    assert mine.reached(limits, 159.0, *second.at(USER, 0, 159.0)) == ""
    assert mine.reached(limits, 160.0, *second.at(USER, 0, 160.0)) == "2 minutes"
    # It ends: what it used stays, and does not grow.
    ended = use.running.pop("a")
    ended.ended = 160.0
    use.add(ended)
    first.share(USER, use)
    assert second.at(USER, 0, 500.0) == (60.0, 2 * UNIT)
    assert second.users() == [USER]
    # In another period it counts no more.
    assert second.at(USER, 86_400, 500.0) == (0.0, 0)
    assert len(said) == 2


def test_what_a_dead_worker_said_is_forgotten() -> None:
    """Its calls are not known any more: they must not use up a limit for ever."""
    first, second, _ = ends()
    use = Use(0)
    use.running = {"a": call(0.0)}
    first.share(USER, use)
    second.heard(f"0 {USER}", None)
    assert second.at(USER, 0, 1e6) == (0.0, 0)
    assert second.users() == []
    # A user without any use costs no word.
    first.share(USER, Use(0))
    assert second.users() == []


def test_one_process_says_nothing() -> None:
    """Without workers there is no other process to tell."""
    core: Any = SimpleNamespace(seat=None)
    Others(core).share(USER, Use(0))
