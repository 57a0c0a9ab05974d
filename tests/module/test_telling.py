"""Events told to modules: in order, to those that name the class, and in chains that end."""

from __future__ import annotations

from typing import Any

from sansip.module.telling import Telling


class One:
    """A module that wants to hear of numbers."""

    events = (int,)


class Other(One):
    events = (int, str)  # type: ignore[assignment]  # as modules have it


def test_only_those_that_name_its_class() -> None:
    """In the order of the modules; a failing one is told of, and keeps nothing from the next."""
    told: list[Any] = []
    failures: list[Any] = []
    one, other = One(), Other()

    def fails(event: Any, now: float) -> None:
        told.append(("one", event, now))
        raise ValueError("one")

    hooks: Any = ((one, fails), (other, lambda event, now: told.append(("other", event, now))))
    telling = Telling(hooks, lambda module, hook, error: failures.append((module, hook, str(error))))
    telling.tell(7, 1.0)
    telling.tell("word", 2.0)
    telling.tell(3.5, 3.0)
    assert told == [("one", 7, 1.0), ("other", 7, 1.0), ("other", "word", 2.0)]
    assert failures == [(one, "event_received", "one")]


def test_a_chain_ends() -> None:
    """Each of two modules tells two events for one: without a bound they double for ever."""
    told, failures = 0, []

    def again(event: Any, now: float) -> None:
        nonlocal told
        told += 1
        telling.tell(event, now)
        telling.tell(event, now)

    telling = Telling(((One(), again),), lambda module, hook, error: failures.append(type(error)))
    for _ in range(2):
        telling.tell(1, 0.0)
        assert (told, failures) == (100, [RecursionError])
        told, failures[:] = 0, []


def test_wrapped() -> None:
    """A program that measures hooks puts others in their place."""
    told: list[str] = []
    module: Any = One()
    telling = Telling(((module, lambda event, now: told.append("before")),), lambda *_: None)
    telling.replace(((module, lambda event, now: told.append("after")),))
    telling.tell(1, 0.0)
    assert told == ["after"]
