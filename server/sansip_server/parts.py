"""Outer halves of modules: what blocks (SQL, an HTTP client), run in threads beside the core.

Theory of operation: a module asks a question of a type of its own, ``await core.ask(Price(x), within=2)``;
its ``Part`` answers it with a plain function, in worker threads, on every runtime. So a library that hangs
holds up only those who ask it, and those only as long as they said. Behind busy threads ``waiting`` questions
queue, and one more fails at once. The entry-point group ``sansip.parts`` names the part of each module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from importlib.metadata import entry_points
from typing import Any

from sansip_server.faults import OperatorError

__all__ = ["GROUP", "Part", "Parts"]

GROUP = "sansip.parts"

Function = Callable[[Any], Any]


class Part:
    """The outer half of a module. ``settings`` are the module's, as they were at the start.

    Attributes:
        parallel: threads that may run each handler at once.
        waiting: questions that wait for them; one more is refused.
    """

    parallel = 4
    waiting = 1_000

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    def handlers(self) -> Mapping[type, Function]:
        """Return a plain function for each type of question; what it raises, the ``await`` raises."""
        return {}

    def health(self) -> str:
        """Return what is wrong, for `sansip ctl health`; "" while all is well."""
        return ""

    def figures(self) -> dict[str, float]:
        """Return numbers for `sansip ctl stats`."""
        return {}

    def close(self) -> None:
        """The server ends."""


class Parts:
    """The parts of the modules in ``uses`` (name and settings). Raises ``OperatorError`` for a broken one."""

    def __init__(self, uses: Iterable[tuple[str, Any]]) -> None:
        self._parts: dict[str, Part] = {}
        points = {point.name: point for point in entry_points(group=GROUP)}
        for name, settings in uses:
            if (point := points.get(name)) is None:
                continue
            try:
                kind = point.load()
                if not (isinstance(kind, type) and issubclass(kind, Part)):
                    raise TypeError(f"{point.value} is no sansip_server.parts.Part")
                self._parts[name] = kind(settings)
            except Exception as error:
                self.close()
                reason = f"{type(error).__name__}: {error}".splitlines()[0]
                raise OperatorError(
                    f"the outer half of the module {name} cannot be made: {reason}"
                ) from error

    @property
    def handlers(self) -> dict[type, Function]:
        """What answers the questions of all parts."""
        return {
            kind: _bounded(function, part)
            for part in self._parts.values()
            for kind, function in part.handlers().items()
        }

    @property
    def health(self) -> dict[str, Callable[[], dict[str, Any]]]:
        """By the name of each part, what tells its state."""
        return {f"{name}.part": partial(_state, part) for name, part in self._parts.items()}

    def close(self) -> None:
        """Let all of them end."""
        for part in self._parts.values():
            part.close()
        self._parts = {}


def _state(part: Part) -> dict[str, Any]:
    try:
        trouble = part.health()
        figures = part.figures()
    except Exception as error:
        return {"ok": False, "error": f"{type(error).__name__}: {error}"}
    return {"ok": not trouble, **({"error": trouble} if trouble else {}), **figures}


def _bounded(function: Function, part: Part) -> Function:
    def answers(question: Any) -> Any:
        return function(question)

    # As ``sansip_sockets.handler`` marks one, with room for so many that wait.
    answers.sansip_handler = (False, max(part.parallel, 2), None)  # type: ignore[attr-defined]
    answers.sansip_waiting = part.waiting  # type: ignore[attr-defined]
    return answers
