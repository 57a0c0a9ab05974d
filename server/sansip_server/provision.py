"""Prepares modules outside of the core: their tables, and their outer halves, which it makes and closes.

Theory of operation: both may take long: a migration, or a database that does not answer. So a running
server does them in a thread (``prepare``), and takes the result in the stack's thread (``take``). Outer
halves that were prepared and not taken are closed again; a table that was made stays, and does no harm.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sansip.module import Module
from sansip_server.faults import OperatorError
from sansip_server.parts import Held, Part, Parts, Side, has_part
from sansip_server.rows import RowService

if TYPE_CHECKING:
    from sansip_sockets import Hub

__all__ = ["Prepared", "Provision", "needs"]


def needs(kind: type[Module]) -> bool:
    """Whether a module of ``kind`` needs anything outside of the core."""
    return bool(kind.tables) or has_part(kind.name)


@dataclass(slots=True)
class Prepared:
    """Outer halves that are ready to be taken, by the names of their modules; None: it has none."""

    parts: dict[str, Held | None]

    def drop(self) -> None:
        """Close them: they are not wanted."""
        for held in self.parts.values():
            if held is not None:
                held.part.close()


class Provision:
    """The tables and outer halves of the modules of one server. ``open_rows`` opens the store of rows.

    ``side``: which of them this process has; a worker has no rows.
    """

    def __init__(self, open_rows: Callable[[], RowService], side: Side = "alone") -> None:
        self._open_rows = open_rows
        self._side: Side = side
        self._rows: RowService | None = None
        self._opening = threading.Lock()
        self.parts = Parts()

    @property
    def handlers(self) -> dict[type, Callable[..., Any]]:
        """The functions that answer the questions of modules to the outside."""
        return ({} if self._rows is None else self._rows.handlers) | self.parts.handlers

    @property
    def health(self) -> dict[str, Callable[[], dict[str, Any]]]:
        """The functions that tell the state of each, by its name."""
        return ({} if self._rows is None else {"rows": self._rows.health}) | self.parts.health

    def figures(self) -> dict[str, dict[str, float]]:
        """Return the numbers of each outer half, by the name of its module."""
        return self.parts.figures()

    def prepare(self, modules: Mapping[type[Module], Any]) -> Prepared:
        """Make ready what ``modules`` need, by their settings. Raises ``OperatorError``; may take long."""
        tables = [table for kind in modules for table in kind.tables]
        if tables and self._side != "worker":
            with self._opening:
                if self._rows is None:
                    self._rows = self._open_rows()
            self._rows.prepare(tables)
        made = Prepared({})
        try:
            for kind, settings in modules.items():
                made.parts[kind.name] = self.parts.make(kind.name, settings, self._side)
        except OperatorError:
            made.drop()
            raise
        return made

    def start(self, modules: Mapping[type[Module], Any]) -> None:
        """Make ready what the first modules need. Raises ``OperatorError``."""
        self.parts.take(self.prepare(modules).parts)

    def attach(self, hub: Hub) -> None:
        """Answer from the loop of ``hub`` what needs no thread."""
        if self._rows is not None:
            self._rows.attach(hub)

    def take(self, prepared: Prepared, removed: Iterable[type[Module]], hub: Hub) -> None:
        """Answer questions by the prepared parts; close those that they replace after their last question."""
        limits = hub.driver.limits
        replaced = self.parts.take(prepared.parts)
        gone = self.parts.give_up(kind.name for kind in removed)
        hub.answering.answer_with(self.handlers, anew=True)
        self.attach(hub)
        _Late(hub, limits.answer_time + 1, replaced)
        # Running requests may still ask the halves of modules that went.
        _Late(hub, limits.retire_time + limits.answer_time, gone)

    def close(self) -> None:
        """The server ends."""
        self.parts.close()


class _Late:
    """Closes ``parts`` after ``seconds``, in a thread: a library may take its time. A timer of the hub."""

    def __init__(self, hub: Hub, seconds: float, parts: list[Part]) -> None:
        self._parts = parts
        if parts:
            now = hub.clock()
            hub.driver.timers.start(now, seconds, self, None)
            hub.settle(now)

    def timer_fired(self, name: None, now: float) -> None:
        def close() -> None:
            for part in self._parts:
                part.close()

        threading.Thread(target=close, name="sansip-part-end", daemon=True).start()
