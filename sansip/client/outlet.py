"""The needs of every request that leaves: our listeners, transactions, names, accounts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sansip.client.places import Places, ResolveFunction

if TYPE_CHECKING:
    from sansip.auth import ClientAuth
    from sansip.client.guarded import Guarded
    from sansip.clock import Timers
    from sansip.entropy import Entropy
    from sansip.limits import Limits
    from sansip.transaction import TransactionLayer
    from sansip.transport import Flow, Listeners, Sender

__all__ = ["Outlet"]


class Outlet:
    """The way out of one stack.

    Attributes:
        auth: the accounts that challenges are answered with.
        guarded: places that only modules send requests to.
        places: where names lead, and which of those places failed lately.
        failover_time: seconds of silence after which another place is tried (``ProxyConfig``).
        departed: the requests that left as octets last: a ``Departed``, which is above this file.
        tcp_above: octets from which TCP is used instead of UDP (``ProxyConfig``).
    """

    __slots__ = (
        "auth",
        "departed",
        "entropy",
        "failover_time",
        "guarded",
        "limits",
        "listeners",
        "places",
        "sender",
        "tcp_above",
        "timers",
        "transactions",
    )

    def __init__(
        self,
        listeners: Listeners,
        transactions: TransactionLayer,
        entropy: Entropy,
        limits: Limits,
        resolve: ResolveFunction,
        auth: ClientAuth,
        guarded: Guarded,
        failover_time: float,
        tcp_above: int,
    ) -> None:
        self.listeners = listeners
        self.transactions = transactions
        self.sender: Sender = transactions.sender
        self.timers: Timers = transactions.timers
        self.entropy = entropy
        self.limits = limits
        self.places = Places(resolve, limits)
        self.auth = auth
        self.guarded = guarded
        self.failover_time = failover_time
        self.tcp_above = tcp_above
        self.departed: Any = None

    def configure(self, failover_time: float, tcp_above: int) -> None:
        """Go by these from now on."""
        self.failover_time = failover_time
        self.tcp_above = tcp_above

    def is_alive(self, flow: Flow) -> bool:
        """Whether ``flow`` is datagrams, or a connection that still exists."""
        return not flow.reliable or (bool(flow.conn) and self.sender.connections.get(flow.conn) is not None)
