"""An administrator removes the bindings of an address-of-record, from the store too.

Theory of operation: it is a change like that of a REGISTER (``change``): memory and store change together or
not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from sansip.routing.change import Change

if TYPE_CHECKING:
    from sansip.location import Binding
    from sansip.routing.core import Core

__all__ = ["Removed", "unbind"]

# Called with how many bindings were removed, or with what went wrong.
Removed: TypeAlias = Callable[[int | Exception], None]


def unbind(core: Core, aor: str, now: float, done: Removed) -> None:
    """Remove every binding of ``aor``; ``done`` is called once, maybe later."""
    count = 0

    def plan(stands: Sequence[Binding], _now: float) -> tuple[Binding, ...] | None:
        nonlocal count
        count = len(stands)
        return () if count else None

    def finished(error: Exception | None, _then: float) -> None:
        if error is not None:
            done(error)
            return
        if count:
            core.removed(aor)
        done(count)

    Change(core, aor, plan, lambda: "removed", now).put(finished, now)
