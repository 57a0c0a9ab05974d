"""The parts of a stack that are asked for at every message, and what is asked after each.

Theory of operation: a stack is an ordinary class, which programs may derive from; this base of it is
compiled, so compiled ways of messages read what is declared here without a look-up by name.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, Final

from sansip.native import mypyc_attr

if TYPE_CHECKING:
    from sansip.actions import Action
    from sansip.clock import Timers
    from sansip.limits import Limits
    from sansip.location import Addresses
    from sansip.transport.connections import Connections

__all__ = ["Parts"]

_NEVER: Final = inf


@mypyc_attr(allow_interpreted_subclasses=True)
class Parts:
    """A stack, as a message on its way through meets it.

    Attributes:
        out: the actions of the input that is being taken.
        modules: a set of them, which never changes (``core.ModuleTable``); a reload puts in another.
        route: what decides on requests.
        draining: whether new requests are refused.
        unstarted: whether modules wait for the first input, when everything is restored.
        durable, changes, addresses, server_name: as ``core.Core``.
        authenticator, nodes, siblings: None where passwords are not asked for, where the location is not
            shared, and where this is the only worker (``core.Core``).
    """

    limits: Limits
    timers: Timers
    settlement: Any
    connections: Connections
    out: list[Action]
    modules: Any
    route: Any
    draining: bool
    unstarted: bool
    durable: bool
    changes: Any
    addresses: Addresses
    server_name: str
    authenticator: Any
    nodes: Any
    siblings: Any

    def next_deadline(self) -> float | None:
        """Return when to call ``time_passed`` next, or None when nothing waits."""
        if self.unstarted:
            return 0.0
        # That of timers, bindings and the user agent's calls.
        earliest = self.timers.earliest
        hooks = self.modules.stack_hooks
        if hooks.has_clocks:
            due: float | None = hooks.next_due()
            if due is not None and due < earliest:
                return due
        return None if earliest == _NEVER else earliest

    def _take(self, now: float) -> list[Action]:
        """Return the actions of one input."""
        if self.connections.failed:
            self.settlement.settle(now)
        out = self.out
        actions = out[:]
        out.clear()
        return actions
