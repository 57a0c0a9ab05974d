"""A server that requests are sent to, as it is now."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sansip.modules.failover.health import Health
from sansip.transport.transports import DEFAULT_PORTS, UDP
from sansip.wire import SipUri
from sansip.wire.host import is_address, plain_host

if TYPE_CHECKING:
    from sansip.transport import Flow

__all__ = ["Server"]


@dataclass(slots=True, eq=False)
class Server:
    """One server.

    Attributes:
        uri: where it listens.
        health: lasts over reloads.
        requests, failed: how many it got, and failed at, since this process began.
        asked_at: when the OPTIONS that waits for its answer left, None where none does.
        addresses: IP addresses that it is known by: requests from there come from it.
    """

    uri: SipUri
    health: Health = field(default_factory=Health)
    requests: int = 0
    failed: int = 0
    asked_at: float | None = None
    addresses: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if is_address(self.uri.host):
            self.addresses = frozenset((plain_host(self.uri.host),))

    @property
    def port(self) -> int:
        """Where it listens for UDP (RFC 3261 18.1.1: it sends from there, too)."""
        return self.uri.port or DEFAULT_PORTS[UDP]

    def sent(self, flow: Flow) -> bool:
        """Whether a request over ``flow`` comes from it, by its address.

        Over UDP by its port as well: a phone may live on the same machine.
        """
        return flow.host in self.addresses and (bool(flow.conn) or flow.port == self.port)
