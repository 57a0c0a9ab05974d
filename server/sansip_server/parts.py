"""Outer halves of modules: code that blocks (SQL, an HTTP client), run in threads beside the core.

Theory of operation: a module asks a question of a type of its own, ``await core.ask(Price(x), within=2)``;
its ``Part`` answers it with a plain function, in worker threads, on every runtime. So a library that hangs
holds up only the callers that ask it, and only for their own ``within``. While the threads are busy,
``waiting`` questions queue; one more fails at once. The entry-point group ``sansip.parts`` names the part of
each module.

The state of a part (``health``, ``figures``) is asked in a thread as well. The server waits a moment for
it; if the part takes longer, the server uses the state that it told last.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import entry_points
from typing import Any, Literal, TypeAlias

from sansip_server.faults import OperatorError

__all__ = ["GROUP", "Held", "Part", "Parts", "Side", "has_part", "part_faults"]

GROUP = "sansip.parts"
# Seconds that the server waits for the state of a part: all calls wait meanwhile.
_MOMENT = 0.01
# Seconds after which a part that has not told its state is not well.
_SILENT = 5.0

Function = Callable[[Any], Any]
# The process: that of a server that is alone, one of several workers, or the parent of these.
Side: TypeAlias = Literal["alone", "worker", "parent"]


class Part:
    """The outer half of a module. ``settings`` are the module's; if they change, a reload makes another part.

    Attributes:
        parallel: threads that may run each handler at once.
        waiting: questions that may wait for them; one more is refused.
        each: each of several workers of a server has one of its own, for it writes nothing and its answers
            are large, or many. Else their parent has one for all, and questions and answers are pickled.
    """

    parallel = 4
    waiting = 1_000
    each = False

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    def handlers(self) -> Mapping[type, Function]:
        """Return a plain function for each type of question; the ``await`` raises its exceptions."""
        return {}

    @classmethod
    def faults(cls, settings: Any) -> list[str]:
        """Return the faults of files that ``settings`` name, for `sansip check`; nothing is changed."""
        return []

    @classmethod
    def prepare(cls, settings: Any) -> None:
        """Make ready what the parts of all workers use together, once, before the first of them is made."""

    def health(self) -> str:
        """Return what is wrong, for `sansip ctl health`; "" while all is well."""
        return ""

    def figures(self) -> dict[str, float]:
        """Return numbers for `sansip ctl stats` and /metrics."""
        return {}

    def close(self) -> None:
        """The server ends, or gives the part up: no more questions come."""


class Held:
    """A part, and the state that it told last."""

    def __init__(self, part: Part, clock: Callable[[], float]) -> None:
        self.part = part
        self.handlers = {kind: _bounded(function, part) for kind, function in part.handlers().items()}
        self._clock = clock
        self._lock = threading.Lock()
        self._since: float | None = None
        self._told = threading.Event()
        self._trouble = ""
        self._figures: dict[str, float] = {}

    def ask(self) -> None:
        """Ask the part for its state, and wait a moment for it."""
        with self._lock:
            if self._since is not None:
                # The part was asked already, and may hang: do not wait for it again.
                return
            self._since = self._clock()
            self._told.clear()
        threading.Thread(target=self._tell, name="sansip-part", daemon=True).start()
        self._told.wait(_MOMENT)

    def _tell(self) -> None:
        figures = self._figures
        try:
            trouble = str(self.part.health())
            figures = {str(name): float(value) for name, value in self.part.figures().items()}
        except Exception as error:
            trouble = f"{type(error).__name__}: {error}"
        with self._lock:
            self._trouble, self._figures = trouble, figures
            self._since = None
        self._told.set()

    def state(self) -> dict[str, Any]:
        self.ask()
        since, trouble = self._since, self._trouble
        if since is not None and self._clock() - since >= _SILENT:
            trouble = f"it has not told its state for {self._clock() - since:.0f} s"
        return {"ok": not trouble, **({"error": trouble} if trouble else {}), **self._figures}

    def figures(self) -> dict[str, float]:
        self.ask()
        return dict(self._figures)


def part_faults(modules: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the faults of files that the settings of ``modules`` name, each with its module's name."""
    found: list[tuple[str, str]] = []
    for point in entry_points(group=GROUP):
        if point.name in modules:
            try:
                found += [(point.name, fault) for fault in point.load().faults(modules[point.name])]
            except Exception as error:
                found.append((point.name, f"{type(error).__name__}: {error}"))
    return found


def has_part(name: str) -> bool:
    """Whether the module ``name`` has an outer half."""
    return any(point.name == name for point in entry_points(group=GROUP))


class Parts:
    """The parts of modules, by the names of these. ``clock`` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._held: dict[str, Held] = {}

    def make(self, name: str, settings: Any, side: Side = "alone") -> Held | None:
        """Return the part of module ``name``, or None; may take long. Raises ``OperatorError``.

        ``side``: of a server with workers it is the other side that has it, or this one.
        """
        points = [point for point in entry_points(group=GROUP) if point.name == name]
        if not points:
            return None
        try:
            kind = points[0].load()
            if not (isinstance(kind, type) and issubclass(kind, Part)):
                raise TypeError(f"{points[0].value} is no sansip_server.parts.Part")
            if side == "parent" and kind.each:
                kind.prepare(settings)
                return None
            return None if side == "worker" and not kind.each else Held(kind(settings), self._clock)
        except OperatorError:
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise OperatorError(f"the outer half of the module {name} cannot be made: {reason}") from error

    def take(self, parts: Mapping[str, Held | None]) -> list[Part]:
        """Use ``parts`` from now on; return those that they replace, which the caller closes."""
        replaced = self.give_up(parts)
        self._held |= {name: held for name, held in parts.items() if held is not None}
        return replaced

    def give_up(self, names: Iterable[str]) -> list[Part]:
        """Give up the parts of modules ``names``; return them, for the caller to close."""
        found = [self._held.pop(name, None) for name in names]
        return [one.part for one in found if one is not None]

    @property
    def handlers(self) -> dict[type, Function]:
        """The functions that answer the questions of all parts."""
        return {kind: answers for held in self._held.values() for kind, answers in held.handlers.items()}

    @property
    def health(self) -> dict[str, Callable[[], dict[str, Any]]]:
        """The functions that tell the state of each part, by its name."""
        return {f"{name}.part": held.state for name, held in self._held.items()}

    def figures(self) -> dict[str, dict[str, float]]:
        """Return the numbers of each part, by the name of its module."""
        return {name: found for name, held in self._held.items() if (found := held.figures())}

    def close(self) -> None:
        """Let all of them end."""
        for part in self.give_up(list(self._held)):
            part.close()


def _bounded(function: Function, part: Part) -> Function:
    def answers(question: Any) -> Any:
        return function(question)

    # The marks of ``sansip_sockets.handler``, with room for so many questions that wait.
    answers.sansip_handler = (False, part.parallel, None)  # type: ignore[attr-defined]  # a mark that functions carry
    answers.sansip_waiting = (part.waiting, f"{type(part).__name__}.waiting")  # type: ignore[attr-defined]  # a mark that functions carry
    return answers
