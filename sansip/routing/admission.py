"""Limits on the requests that strangers may have under way, so that there is room for known users.

Theory of operation: there are three bounds, checked when a request is about to be relayed.
``pending_per_source`` bounds the waiting requests of one source. ``pending_per_callee`` bounds the waiting
requests of strangers for one of our users. ``transactions_reserved`` keeps the last part of the table of
transactions for requests within dialogs set up through here, of users who have proved who they are, and of
trusted peers. In that part a stranger still gets an answer, usually a challenge, but this node keeps no
transaction for it (RFC 3261 8.2.7).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sansip.routing.room import is_exempt

if TYPE_CHECKING:
    from sansip.routing.incoming import Incoming

__all__ = ["too_many"]


def too_many(request: Incoming, source: str, callee: str) -> bool:
    """Whether ``request`` is one too many to be relayed; it has been answered then."""
    core = request.core
    limits = core.limits
    pending = core.proxy.pending
    most = limits.pending_per_source
    if most and pending.sources.get(source, 0) >= most and not is_exempt(core, request.flow):
        return _refuse(request, "pending_per_source", source, 503)
    most = limits.pending_per_callee
    if most and callee and pending.callees.get(callee, 0) >= most and request.is_stranger:
        # RFC 3261 21.4.18, and no 503: that would be taken for the state of the whole server.
        return _refuse(request, "pending_per_callee", callee, 480)
    if core.proxy.transactions.crowded and request.is_stranger:
        return _refuse(request, "transactions_reserved", source, 503)
    return False


def _refuse(request: Incoming, limit: str, whose: str, status: int) -> bool:
    request.core.proxy.notices.reached(limit, whose[:80], request.now)
    request.refuse(status, "Too Many Requests Waiting", [("Retry-After", "5")])
    return True
