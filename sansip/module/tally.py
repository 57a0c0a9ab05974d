"""Counts that the workers of one server keep together: calls of a user, calls at a gateway.

Theory of operation: each worker tells the others when it counts one more of a key, or one less. So each
knows at once how many the others have. Where a count has a limit, one place counts (``Admit``, the parent of
the workers): of calls that come to two workers at the same moment exactly as many pass as there is room
for. The counts of a worker that dies are taken back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sansip.routing.awaitables import Question

if TYPE_CHECKING:
    from sansip.routing.core import OtherWorkers

__all__ = ["Admit", "Tally"]


@dataclass(slots=True)
class Admit:
    """Count one more of ``key`` for this worker, if all of them have fewer than ``most``. Answer: whether."""

    key: str
    most: int


class Tally:
    """The counts of one module. ``name`` is its name."""

    __slots__ = ("_name", "_siblings")

    def __init__(self, name: str, siblings: OtherWorkers) -> None:
        self._name = name
        self._siblings = siblings

    def elsewhere(self, key: str) -> int:
        """Return how many of ``key`` the other workers count."""
        return self._siblings.held.get(f"{self._name} {key}", 0)

    def all(self) -> Iterator[tuple[str, int]]:
        """Yield each key of the module that other workers count, and how many."""
        begin = f"{self._name} "
        for name, number in self._siblings.held.items():
            if name.startswith(begin):
                yield name.removeprefix(begin), number

    def add(self, key: str) -> None:
        """This worker counts one more."""
        self._siblings.tell("held", f"{self._name} {key}", 1)

    def drop(self, key: str) -> None:
        """This worker counts one less."""
        self._siblings.tell("held", f"{self._name} {key}", -1)

    async def admit(self, key: str, most: int) -> bool:
        """Whether all workers have fewer than ``most``; then this one counts one more, as by ``add``."""
        try:
            allowed: bool = await Question(Admit(f"{self._name} {key}", most))
        except Exception:
            # The parent does not answer: without it nobody can say that there is room.
            return False
        return allowed
