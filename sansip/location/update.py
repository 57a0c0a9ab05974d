"""An update: the change that one REGISTER makes to one address-of-record, as a value.

Theory of operation: the registrar plans, the location service commits. The registrar passes this value to the
location service. It holds the bindings that the planner saw, and the new ones. It can be applied to the
memory here in the same step, or be sent to a store elsewhere; either way it is applied whole or not at all
(RFC 3261 10.3), and if another writer was quicker, the store answers ``CONFLICT``, and the caller looks up
and plans again.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from .binding import Binding

__all__ = ["LocationUpdate", "Outcome"]


class Outcome(Enum):
    """The result of an update."""

    DONE = "done"
    # The present bindings are not those that the planner saw: look up and plan again.
    CONFLICT = "conflict"
    # A limit of the location service is reached; nothing was changed.
    FULL = "full"


@dataclass(slots=True, init=False)
class LocationUpdate:
    """Replace ``before`` by ``after`` for ``aor``.

    ``before`` holds the live bindings that the planner saw, ``after`` all new bindings, in the order of
    ``Binding.rank``. A binding that is left alone is the same object in both.
    """

    aor: str
    before: tuple[Binding, ...]
    after: tuple[Binding, ...]

    # Written out, as in ``sansip.actions``.
    def __init__(self, aor: str, before: tuple[Binding, ...], after: tuple[Binding, ...]) -> None:
        self.aor = aor
        self.before = before
        self.after = after

    @property
    def stored(self) -> tuple[Binding, ...]:
        """Bindings to write: new ones, and new states of old ones."""
        kept = set(map(id, self.before))
        return tuple(b for b in self.after if id(b) not in kept)

    @property
    def removed(self) -> tuple[Binding, ...]:
        """Bindings to delete: gone, or replaced by one of ``stored``."""
        kept = set(map(id, self.after))
        return tuple(b for b in self.before if id(b) not in kept)
