"""The needs of forwarding, for all requests of one stack: our addresses, transactions, secrets, policy.

Theory of operation: a stateful relay is a ``ResponseContext`` upon this (RFC 3261 16.6 to 16.10), and one
without state a single send (``proxy.stateless``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sansip.proxy.hooks import Hooks
from sansip.proxy.pending import Pending
from sansip.proxy.relayed import RelayedCalls
from sansip.transport.sender import ActionSender

if TYPE_CHECKING:
    from sansip.client import Client
    from sansip.clock import Timers
    from sansip.entropy import Entropy
    from sansip.limits import Limits
    from sansip.notices import LimitNotices
    from sansip.proxy.bodies import Bodies
    from sansip.proxy.config import ProxyConfig
    from sansip.proxy.dialog_mark import Marks
    from sansip.proxy.relayed import Records
    from sansip.proxy.sequence import Shifts
    from sansip.proxy.trust import TrustDomain
    from sansip.transaction import TimerValues, TransactionLayer
    from sansip.transport import Flow, Listeners
    from sansip.transport.flow_token import FlowTokens, Named
    from sansip.wire import Request

__all__ = ["Proxy"]


def _nobody(_life: str, _now: float) -> None:
    """There are no other nodes."""


class Proxy:
    """Forwards requests, and responses to what it forwarded."""

    __slots__ = (
        "bodies",
        "client",
        "config",
        "entropy",
        "flow_lost",
        "hooks",
        "limits",
        "listeners",
        "loop_secret",
        "marks",
        "named",
        "node_silent",
        "notices",
        "pending",
        "records",
        "sender",
        "shifts",
        "timers",
        "tokens",
        "transactions",
        "trust",
        "trying_after",
        "values",
    )

    def __init__(
        self,
        config: ProxyConfig,
        listeners: Listeners,
        transactions: TransactionLayer,
        entropy: Entropy,
        limits: Limits,
        tokens: FlowTokens,
        named: Callable[[Request, Flow], Named | None],
        flow_lost: Callable[[object, float], None],
        client: Client,
        shifts: Shifts,
        marks: Marks,
        trust: TrustDomain,
        notices: LimitNotices,
    ) -> None:
        self.config = config
        self.listeners = listeners
        self.transactions = transactions
        sender = transactions.sender
        # Its class is known, so compiled code calls it straight.
        assert isinstance(sender, ActionSender)
        self.sender = sender
        self.timers: Timers = transactions.timers
        self.values: TimerValues = transactions.values
        self.entropy = entropy
        self.tokens = tokens
        # Returns the name of the binding whose flow a request came over.
        self.named = named
        # Gets a binding whose flow was lost while a request was on its way over it.
        self.flow_lost = flow_lost
        # Gets the life of a node that does not answer a request for one of its phones.
        self.node_silent: Callable[[str, float], None] = _nobody
        self.client = client
        self.shifts = shifts
        self.marks = marks
        self.trust = trust
        self.notices = notices
        # Requests that wait for their final response, by source and callee.
        self.pending = Pending()
        # Calls on their way through here; the stack may put in another table (``proxy.relayed``).
        self.records: Records = RelayedCalls(limits)
        # What replaces bodies in calls that pass as octets; a module may put it in.
        self.bodies: Bodies | None = None
        # The functions that look at requests on their way; the stack puts them in.
        self.hooks = Hooks()
        # The value that the hashes of our branches start with (``loop_hash``).
        self.loop_secret = entropy.number(1 << 32)
        self.limits = limits
        self.trying_after = self._time_until_t2(self.values)

    def configure(self, config: ProxyConfig, values: TimerValues) -> None:
        """Go by these from now on."""
        self.config = config
        self.values = values
        self.trying_after = self._time_until_t2(values)
        self.marks.live(config.dialog_life)

    @staticmethod
    def _time_until_t2(values: TimerValues) -> float:
        # RFC 4320 4.1: how long a client's Timer E takes to be reset to T2.
        interval, elapsed = values.t1, 0.0
        while interval < values.t2:
            elapsed += interval
            interval *= 2
        return elapsed
