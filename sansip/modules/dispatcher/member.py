"""A destination as it is now: its row of the table, the operator's changes, its health."""

from __future__ import annotations

from dataclasses import dataclass, field

from sansip.modules.dispatcher.health import Health
from sansip.modules.dispatcher.settings import Destination
from sansip.transport.transports import DEFAULT_PORTS, UDP
from sansip.wire import SipUri

__all__ = ["Member"]


@dataclass(slots=True, eq=False)
class Member:
    """One destination.

    Attributes:
        destination: of the table; replaced whole.
        uri: the same, parsed.
        health: lasts over reloads.
        requests, failed: how many it got, and failed at, since this process began.
        turn: rises with each request that it gets; the longest without one is first among equals.
        asked_at: when the OPTIONS that waits for its answer left, None where none does.
        addresses: IP addresses that it is known by: requests from there come from it.
    """

    destination: Destination
    uri: SipUri
    health: Health = field(default_factory=Health)
    requests: int = 0
    failed: int = 0
    turn: int = 0
    asked_at: float | None = None
    addresses: frozenset[str] = frozenset()

    @property
    def weight(self) -> int:
        return self.destination.weight

    @property
    def port(self) -> int:
        """Where it listens for UDP (RFC 3261 18.1.1: it sends from there, too)."""
        return self.uri.port or DEFAULT_PORTS[UDP]

    @property
    def key(self) -> str:
        """The key that its calls count for (``Calls.count``)."""
        return f"dispatcher {self.destination.group} {self.destination.uri}"
