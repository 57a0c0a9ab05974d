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
        key: that its calls count for (``Calls.count``).
    """

    destination: Destination = field(kw_only=True)
    turn: int = 0
    key: str = field(init=False)

    def __post_init__(self) -> None:
        # Its slots make this another class than the one that ``super()`` would look up.
        Server.__post_init__(self)
        self.key = f"dispatcher {self.destination.group} {self.destination.uri}"

    @property
    def weight(self) -> int:
        return self.destination.weight
