"""An administrator removes the bindings of an address-of-record, from the store too.

Theory of operation: as with a REGISTER, memory and store change together or not
at all. A shared location is told under the version it was last seen with, and
asked again where another node was quicker.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from sansip.errors import LocalProtocolError
from sansip.location import LocationUpdate, SharedLocation, SharedRead, SharedRecord, SharedWrite

if TYPE_CHECKING:
    from sansip.stack import Stack

__all__ = ["Removed", "unbind"]

# Called with how many bindings were removed, or with what went wrong.
Removed: TypeAlias = Callable[[int | Exception], None]

# Writes to a shared location before giving up: each failure is another node's change.
ATTEMPTS = 8


def unbind(stack: Stack, aor: str, now: float, done: Removed) -> None:
    """Remove every binding of ``aor``; ``done`` is called once, maybe later."""
    location = stack.location
    if isinstance(location, SharedLocation):
        _Shared(stack, location, aor, done).read(now)
        return
    before = tuple(location.lookup(aor, now))
    location.remove(aor, now)
    if not before or not stack.durable:
        _finish(stack, aor, len(before), done)
        return

    def stored(result: Any, then: float) -> None:
        if isinstance(result, Exception):
            # Nothing was removed; where a REGISTER came between, its bindings stay.
            location.apply(LocationUpdate(aor, (), before), then)
            done(result)
        else:
            _finish(stack, aor, len(before), done)

    stack.ask(LocationUpdate(aor, before, ()), stored, now)


def _finish(stack: Stack, aor: str, count: int, done: Removed) -> None:
    if count:
        stack.removed(aor)
    done(count)


class _Shared:
    """One removal from a shared location."""

    def __init__(self, stack: Stack, location: SharedLocation, aor: str, done: Removed) -> None:
        self._stack = stack
        self._location = location
        self._aor = aor
        self._done = done
        self._attempts = 0

    def read(self, now: float) -> None:
        self._stack.ask(SharedRead(self._aor), self._answered, now)

    def _answered(self, result: Any, now: float) -> None:
        """A read's answer, or what stands instead of what a write expected."""
        if isinstance(result, Exception):
            self._done(result)
            return
        live = [one for one in result.bindings if one.expires_at > now]
        if not live:
            _finish(self._stack, self._aor, 0, self._done)
            return
        self._attempts += 1
        if self._attempts > ATTEMPTS:
            self._done(LocalProtocolError("other nodes keep changing it; try again"))
            return
        version = self._stack.entropy.token()

        def written(answer: Any, then: float) -> None:
            if answer is None:
                self._location.mirror(self._aor, SharedRecord(version, ()), then)
                _finish(self._stack, self._aor, len(live), self._done)
            else:
                self._answered(answer, then)

        self._stack.ask(SharedWrite(self._aor, result.version, version, ()), written, now)
