"""One change of the bindings of an address-of-record: planned, committed, stored.

Theory of operation: each source of changes to bindings (a REGISTER, an operator, a lost connection) gives a
plan: a function from the present bindings to the new ones. Only this file commits plans. Without a store that
is one step. If bindings are durable (``StackConfig.durable``), the update goes to the store as well, and the
waiting caller gets the result when the store has the update. If the store fails, memory goes back to the
bindings of the store, unless another change came between. In a location that nodes share, this node runs the
plan again if another node was quicker (``changes``).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from sansip.inside import Inside
from sansip.location import LocationUpdate, Outcome
from sansip.routing.awaitables import Question

if TYPE_CHECKING:
    from sansip.location import Binding
    from sansip.routing.core import Core

__all__ = ["Change", "Done", "LocationFull", "NotStored", "Plan"]

# Given the present bindings, best first, and the time, returns the new ones; None: no change.
Plan: TypeAlias = "Callable[[Sequence[Binding], float], tuple[Binding, ...] | None]"
# Gets None once the change is made, else an exception: ``NotStored`` if the store did not take it,
# ``LocationFull``, or the exception of the plan.
Done: TypeAlias = "Callable[[Exception | None, float], None]"


class NotStored(Exception):
    """The store did not take a change, or could not be asked; nothing was changed."""


class LocationFull(Exception):
    """A limit of the location service is reached (``limits.aors``, ``limits.bindings_per_aor``)."""


class Change(Inside):
    """A change of the bindings of ``aor``: awaited by a route, or put with a callback.

    Attributes:
        aor: an address-of-record.
        plan: may be called several times, each time with the bindings of that moment.
        owner: returns the source of the change; if a queue is full, the owner of most changes in it loses
            one.
        at_once: it is so in any case, and memory need not wait for the store: a lost flow does not come back.
    """

    __slots__ = ("_core", "_now", "aor", "at_once", "owner", "plan")

    def __init__(
        self,
        core: Core,
        aor: str,
        plan: Plan,
        owner: Callable[[], str],
        now: float,
        *,
        at_once: bool = False,
    ) -> None:
        self._core = core
        self._now = now
        self.aor = aor
        self.plan = plan
        self.owner = owner
        self.at_once = at_once

    def __await__(self) -> Generator[Question, Any, None]:
        """Return once it stands; raise what ``Done`` gets otherwise."""
        if self._core.durable or self._core.changes is not None:
            yield from Question(self).__await__()
        else:
            # Memory takes it in this step, and the route need not be left.
            self._commit(self._now)

    def put(self, callback: Done, now: float) -> None:
        """Make the change; ``callback`` is called once, maybe later."""
        core = self._core
        if core.changes is not None:
            core.changes.put(self, callback, now)
            return
        try:
            update = self._commit(now)
        except Exception as error:
            callback(error, now)
            return
        if update is None or not core.durable:
            callback(None, now)
        elif self.at_once:
            callback(None, now)
            # Should the store fail, it is back after a restart, and found out again.
            core.ask(update, _ignore, now)
        else:
            core.ask(update, lambda result, then: self._stored(update, callback, result, then), now)

    def _commit(self, now: float) -> LocationUpdate | None:
        """Change the bindings in memory; return the update for the store, None for no update."""
        location = self._core.location
        before = tuple(location.lookup(self.aor, now))
        after = self.plan(before, now)
        if after is None:
            return None
        update = LocationUpdate(self.aor, before, after)
        if location.apply(update, now) is Outcome.FULL:
            raise LocationFull("a limit of the location service is reached")
        return update

    def _stored(self, update: LocationUpdate, callback: Done, result: Any, now: float) -> None:
        if not isinstance(result, Exception):
            callback(None, now)
            return
        # The change that came between stays: it was planned upon this one.
        self._core.location.apply(LocationUpdate(update.aor, update.after, update.before), now)
        callback(NotStored(str(result) or type(result).__name__), now)


def _ignore(_answer: Any, _now: float) -> None:
    """No caller waits for the answer."""
