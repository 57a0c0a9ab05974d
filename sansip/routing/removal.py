"""An administrator removes the bindings of an address-of-record, from the store too.

Theory of operation: as with a REGISTER, memory and store change together or not
at all. In a shared location it is a change like any other (``changes``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from sansip.location import LocationUpdate, SharedLocation
from sansip.routing.changes import SharedChange

if TYPE_CHECKING:
    from sansip.location import Binding
    from sansip.routing.core import Core

__all__ = ["Removed", "unbind"]

# Called with how many bindings were removed, or with what went wrong.
Removed: TypeAlias = Callable[[int | Exception], None]


def unbind(core: Core, aor: str, now: float, done: Removed) -> None:
    """Remove every binding of ``aor``; ``done`` is called once, maybe later."""
    location = core.location
    if isinstance(location, SharedLocation):
        _unbind_shared(core, aor, now, done)
        return
    before = tuple(location.lookup(aor, now))
    location.remove(aor, now)
    if not before or not core.durable:
        _finish(core, aor, len(before), done)
        return

    def stored(result: Any, then: float) -> None:
        if isinstance(result, Exception):
            # Nothing was removed; where a REGISTER came between, its bindings stay.
            location.apply(LocationUpdate(aor, (), before), then)
            done(result)
        else:
            _finish(core, aor, len(before), done)

    core.ask(LocationUpdate(aor, before, ()), stored, now)


def _finish(core: Core, aor: str, count: int, done: Removed) -> None:
    if count:
        core.removed(aor)
    done(count)


def _unbind_shared(core: Core, aor: str, now: float, done: Removed) -> None:
    count = 0

    def plan(stands: Sequence[Binding], _now: float) -> tuple[Binding, ...] | None:
        nonlocal count
        count = len(stands)
        return () if count else None

    def finished(error: Exception | None, _then: float) -> None:
        if error is None:
            _finish(core, aor, count, done)
        else:
            done(error)

    core.ask(SharedChange(aor, plan, lambda: "removed"), finished, now)
