"""A destination as it is now: its row of the table, the operator's changes, its health."""

from __future__ import annotations

from dataclasses import dataclass, field

from sansip.modules.dispatcher.settings import Destination
from sansip.modules.failover.server import Server

__all__ = ["Member"]


@dataclass(slots=True, eq=False)
class Member(Server):
    """One destination.

    Attributes:
        destination: of the table; replaced whole.
        turn: rises with each request that it gets; the longest without one is first among equals.
    """

    destination: Destination = field(kw_only=True)
    turn: int = 0

    @property
    def weight(self) -> int:
        return self.destination.weight

    @property
    def key(self) -> str:
        """The key that its calls count for (``Calls.count``)."""
        return f"dispatcher {self.destination.group} {self.destination.uri}"
