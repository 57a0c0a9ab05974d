"""Counts of calls by key, derived from the calls.

Theory of operation: each key has the set of its calls that go on. A call is in the set of each of its keys
from ``limit`` until it ends; so a count is the size of a set of calls that exist, and cannot be wrong by one
for ever, as a counter can that was raised and not lowered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sansip.modules.calls.call import Call

__all__ = ["Counts"]


class Counts:
    """Calls by key."""

    __slots__ = ("_calls",)

    def __init__(self) -> None:
        self._calls: dict[str, set[Call]] = {}

    def of(self, key: str) -> int:
        """Return how many calls count for ``key``."""
        calls = self._calls.get(key)
        return 0 if calls is None else len(calls)

    def add(self, call: Call, key: str, most: int | None = None) -> bool:
        """Count ``call`` for ``key``, where fewer than ``most`` others are; return whether it counts."""
        if key in call.keys:
            return True
        if most is not None and self.of(key) >= most:
            return False
        call.keys.add(key)
        self._calls.setdefault(key, set()).add(call)
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

    def forget(self, call: Call) -> None:
        """Count ``call`` for nothing any more."""
        for key in tuple(call.keys):
            self.drop(call, key)

    def __len__(self) -> int:
        """Return how many keys have a call."""
        return len(self._calls)

    def all(self) -> dict[str, int]:
        """Return how many calls each key has."""
        return {key: len(calls) for key, calls in self._calls.items()}
