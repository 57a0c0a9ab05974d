"""The calls that strangers have here, and how many more each may have.

Theory of operation: a call of a stranger counts for the address that it came from until it is over. While it
has our 2xx and no ACK it counts once more: nothing has proved yet that the caller is where it says, and the
2xx is repeated to that address.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from sansip.limits import Limits

__all__ = ["Strangers"]


class Counted(Protocol):
    """A call (``sansip.ua.Call``): its stranger's address, and whether it waits for the ACK of our 2xx."""

    source: Any
    owes_ack: bool


class Strangers:
    """Counts the calls of strangers by source address."""

    __slots__ = ("_limits", "_sources", "_unacknowledged")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._sources: dict[Any, int] = {}
        self._unacknowledged: dict[Any, int] = {}

    def take(self, source: Any) -> str:
        """Count a call from ``source``, or return the name of the limit that it would exceed."""
        count = self._sources.get(source, 0)
        if count >= self._limits.calls_per_source:
            return "calls_per_source"
        if self._unacknowledged.get(source, 0) >= self._limits.calls_unacknowledged:
            return "calls_unacknowledged"
        self._sources[source] = count + 1
        return ""

    def leaves(self, source: Any) -> None:
        """A call from ``source`` was not made, or is over; None: no stranger made it."""
        if source is not None:
            _lower(self._sources, source)

    def forget(self, call: Counted) -> None:
        """``call`` is over."""
        self.has_ack(call)
        self.leaves(call.source)
        call.source = None

    def owes_ack(self, call: Counted) -> None:
        """``call`` has our 2xx: until its ACK comes, nothing proves that the caller is where it says."""
        source = call.source
        if source is not None and not call.owes_ack:
            call.owes_ack = True
            self._unacknowledged[source] = self._unacknowledged.get(source, 0) + 1

    def has_ack(self, call: Counted) -> None:
        """The ACK came, or never will."""
        if call.owes_ack:
            call.owes_ack = False
            _lower(self._unacknowledged, call.source)


def _lower(counts: dict[Any, int], source: Any) -> None:
    """Take one from the count of ``source``."""
    left = counts.get(source, 0) - 1
    if left > 0:
        counts[source] = left
    else:
        counts.pop(source, None)
