"""Counts of calls by key, derived from the calls.

Theory of operation: each key has the set of its calls that go on. A call is in the set of each of its keys
from ``limit`` until it ends; so a count is the size of a set of calls that exist, and cannot be wrong by one
for ever, as a counter can that was raised and not lowered. Of several workers of one server each has its own
sets, and hears how many the others have (``sansip.module.tally``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sansip.module.tally import Tally
    from sansip.modules.calls.call import Call

__all__ = ["Counts"]


class Counts:
    """Calls by key. ``tally``: the counts of the other workers, None where there are none."""

    __slots__ = ("_calls", "tally")

    def __init__(self) -> None:
        self._calls: dict[str, set[Call]] = {}
        self.tally: Tally | None = None

    def of(self, key: str) -> int:
        """Return how many calls count for ``key``, at all workers of this server."""
        calls = self._calls.get(key)
        mine = 0 if calls is None else len(calls)
        return mine if self.tally is None else mine + self.tally.elsewhere(key)

    async def admit(self, call: Call, key: str, most: int) -> bool:
        """Do what ``add`` does, where calls that come to other workers at the same time count as well."""
        if self.tally is None or key in call.keys:
            return self.add(call, key, most)
        if self.of(key) >= most or not await self.tally.admit(key, most):
            return False
        if call.over or key in call.keys:
            # It ended meanwhile, or another step counted it.
            self.tally.drop(key)
            return not call.over
        call.keys.add(key)
        self._calls.setdefault(key, set()).add(call)
        return True

    def add(self, call: Call, key: str, most: int | None = None) -> bool:
        """Count ``call`` for ``key``, where fewer than ``most`` others are; return whether it counts."""
        if key in call.keys:
            return True
        if most is not None and self.of(key) >= most:
            return False
        call.keys.add(key)
        calls = self._calls.get(key)
        if calls is None:
            calls = self._calls[key] = set()
        calls.add(call)
        if self.tally is not None:
            self.tally.add(key)
        return True

    def drop(self, call: Call, key: str) -> None:
        """Count ``call`` for ``key`` no longer."""
        if key not in call.keys:
            return
        call.keys.discard(key)
        calls = self._calls[key]
        calls.discard(call)
        if not calls:
            del self._calls[key]
        if self.tally is not None:
            self.tally.drop(key)

    def forget(self, call: Call) -> None:
        """Count ``call`` for nothing any more."""
        for key in tuple(call.keys):
            self.drop(call, key)

    def __len__(self) -> int:
        """Return how many keys have a call."""
        return len(self._calls)

    def all(self) -> dict[str, int]:
        """Return how many calls each key has."""
        found = {key: len(calls) for key, calls in self._calls.items()}
        for key, number in () if self.tally is None else self.tally.all():
            found[key] = found.get(key, 0) + number
        return found
