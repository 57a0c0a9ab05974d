"""Outer halves: found by name, bounded, and closed; a broken one is named."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from sansip_server import parts
from sansip_server.faults import OperatorError
from sansip_server.parts import Part, Parts, has_part


class Question:
    pass


class Whole(Part):
    parallel, waiting = 3, 5
    closed = False

    def handlers(self) -> dict[type, Any]:
        return {Question: lambda question: (self.settings, question)}

    def health(self) -> str:
        return "" if self.settings == "well" else "it is not well"

    def figures(self) -> dict[str, float]:
        return {"asked": 7}

    def close(self) -> None:
        Whole.closed = True


class Single(Part):
    parallel = 1

    def handlers(self) -> dict[type, Any]:
        return {Question: lambda question: question}


class Failing(Part):
    def health(self) -> str:
        raise ValueError("a slip")


class Hanging(Part):
    asked, goes = threading.Event(), threading.Event()

    def health(self) -> str:
        self.asked.set()
        self.goes.wait(30)
        return ""


@pytest.fixture
def points(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [
        EntryPoint("whole", "tests.server.test_parts:Whole", parts.GROUP),
        EntryPoint("single", "tests.server.test_parts:Single", parts.GROUP),
        EntryPoint("failing", "tests.server.test_parts:Failing", parts.GROUP),
        EntryPoint("hanging", "tests.server.test_parts:Hanging", parts.GROUP),
        EntryPoint("none", "json:JSONDecoder", parts.GROUP),
    ]
    monkeypatch.setattr(parts, "entry_points", lambda group: found)


def made(*uses: tuple[str, Any], clock: Callable[[], float] = time.monotonic) -> Parts:
    parts = Parts(clock)
    parts.take({name: parts.make(name, settings) for name, settings in uses})
    return parts


@pytest.mark.usefixtures("points")
def test_its_life() -> None:
    """Those of the modules that run, and no others; each handler with its bounds."""
    found = made(("whole", "well"), ("keepalive", None))
    ((kind, answers),) = found.handlers.items()
    assert kind is Question
    assert answers("x") == ("well", "x")
    marked: Any = answers
    assert (marked.sansip_handler, marked.sansip_waiting) == ((False, 3, None), (5, "Whole.waiting"))
    assert {name: state() for name, state in found.health.items()} == {"whole.part": {"ok": True, "asked": 7}}
    assert found.figures() == {"whole": {"asked": 7}}
    found.close()
    assert Whole.closed
    assert found.handlers == {}


@pytest.mark.usefixtures("points")
def test_one_thread_means_one() -> None:
    """A library that is not thread-safe says ``parallel = 1``, and no second thread enters it."""
    (answers,) = made(("single", None)).handlers.values()
    marked: Any = answers
    assert marked.sansip_handler == (False, 1, None)


@pytest.mark.usefixtures("points")
def test_what_is_wrong() -> None:
    """Its own words, or its exception: ``health`` itself never fails."""
    found = made(("whole", "ill"), ("failing", None))
    states = {name: state() for name, state in found.health.items()}
    assert states["whole.part"] == {"ok": False, "error": "it is not well", "asked": 7}
    assert states["failing.part"] == {"ok": False, "error": "ValueError: a slip"}


@pytest.mark.usefixtures("points")
def test_one_that_hangs() -> None:
    """The caller waits a moment and never again; after some seconds the part is not well."""
    now = [0.0]
    found = made(("hanging", None), clock=lambda: now[0])
    (state,) = found.health.values()
    assert state() == {"ok": True}
    assert Hanging.asked.wait(5)
    now[0] = 6.0
    assert state() == {"ok": False, "error": "it has not told its state for 6 s"}
    assert found.figures() == {}
    Hanging.goes.set()


@pytest.mark.usefixtures("points")
def test_one_is_replaced() -> None:
    """By a part with other settings, or by none: the caller gets the former ones, and closes them."""
    found = made(("whole", "well"))
    before = found.handlers
    assert found.handlers == before, "those that stay are not made anew"
    (replaced,) = found.take({"whole": found.make("whole", "other")})
    assert replaced.settings == "well"
    assert found.handlers != before
    (gone,) = found.give_up(["whole", "keepalive"])
    assert gone.settings == "other"
    assert (has_part("whole"), has_part("keepalive")) == (True, False)


@pytest.mark.usefixtures("points")
def test_one_that_is_none() -> None:
    """The module is named."""
    with pytest.raises(OperatorError, match=r"outer half of the module none cannot be made: TypeError"):
        Parts().make("none", None)
