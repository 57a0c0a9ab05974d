"""A module's own, typed state of a request.

Theory of operation: ``chosen: Slot[Destination] = Slot()`` in a module's class, then
``self.chosen.set(request, x)`` and ``self.chosen.get(request)`` in any hook or function. A request has no
room for it until the first is set.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from sansip.routing import IncomingRequest

__all__ = ["Slot"]

Value = TypeVar("Value")


class Slot(Generic[Value]):
    """State of one kind, for each request."""

    __slots__ = ()

    def get(self, request: IncomingRequest) -> Value | None:
        """Return the value set for ``request``, or None."""
        slots = request.slots
        return None if slots is None else slots.get(self)

    def set(self, request: IncomingRequest, value: Value) -> None:
        """Keep ``value`` as long as ``request`` is kept."""
        if request.slots is None:
            request.slots = {}
        request.slots[self] = value
