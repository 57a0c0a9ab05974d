"""How many branches one received request may have, in all generations that it has here.

Theory of operation: a request may come back here as one of its own branches (a spiral, RFC 3261 16.3), by a
Contact that names this server or by way of another proxy, and then fork again. Max-Breadth (RFC 5393 5.3)
bounds the branches under way at once, and Max-Forwards bounds the depth. Together they still allow a huge
number of branches, one after the other. So all generations of one request share one ``Budget``. Our own Via
values in a request that comes back name the first request: each has the branch of a client transaction that
still waits, and that transaction has the budget. A stranger cannot guess such a branch. A server that was
sent one can only use up the rest of that call's budget.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sansip.client.given_up import GivenUp

if TYPE_CHECKING:
    from sansip.transaction import TransactionLayer
    from sansip.transport import Listeners
    from sansip.wire import Request

__all__ = ["Budget", "inherited"]


@dataclass(slots=True)
class Budget:
    """``left`` branches may still be made."""

    left: int


def inherited(request: Request, listeners: Listeners, transactions: TransactionLayer) -> Budget | None:
    """Return the budget of the request that ``request`` is a branch of, None where it is no branch of ours.

    Raises ``RemoteProtocolError`` for a Via that cannot be read.
    """
    clients = transactions.clients
    for via in request.vias:
        if listeners.is_own_sent_by(via.sent_by):
            client = clients.get(f"{via.branch} {request.method}")
            if client is None:
                continue
            user = client.user
            # For a place that was given up, the attempt has the budget.
            budget = getattr(user.attempt if isinstance(user, GivenUp) else user, "budget", None)
            if isinstance(budget, Budget):
                return budget
    return None
