"""Outer halves: found by name, bounded, and closed; a broken one is named."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any

import pytest

from sansip_server import parts
from sansip_server.faults import OperatorError
from sansip_server.parts import Part, Parts


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


class Failing(Part):
    def health(self) -> str:
        raise ValueError("a slip")


@pytest.fixture
def points(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [
        EntryPoint("whole", "tests.server.test_parts:Whole", parts.GROUP),
        EntryPoint("failing", "tests.server.test_parts:Failing", parts.GROUP),
        EntryPoint("none", "json:JSONDecoder", parts.GROUP),
    ]
    monkeypatch.setattr(parts, "entry_points", lambda group: found)


@pytest.mark.usefixtures("points")
def test_its_life() -> None:
    """Those of the modules that run, and no others; each handler with its bounds."""
    made = Parts([("whole", "well"), ("keepalive", None)])
    ((kind, answers),) = made.handlers.items()
    assert kind is Question
    assert answers("x") == ("well", "x")
    marked: Any = answers
    assert (marked.sansip_handler, marked.sansip_waiting) == ((False, 3, None), 5)
    assert {name: state() for name, state in made.health.items()} == {"whole.part": {"ok": True, "asked": 7}}
    made.close()
    assert Whole.closed


@pytest.mark.usefixtures("points")
def test_what_is_wrong() -> None:
    """Its own words, or what it raised as it was asked: ``health`` itself never fails."""
    made = Parts([("whole", "ill"), ("failing", None)])
    states = {name: state() for name, state in made.health.items()}
    assert states["whole.part"] == {"ok": False, "error": "it is not well", "asked": 7}
    assert states["failing.part"] == {"ok": False, "error": "ValueError: a slip"}


@pytest.mark.usefixtures("points")
def test_one_that_is_none() -> None:
    """The module is named, and those made before are closed."""
    Whole.closed = False
    with pytest.raises(OperatorError, match=r"outer half of the module none cannot be made: TypeError"):
        Parts([("whole", "well"), ("none", None)])
    assert Whole.closed
