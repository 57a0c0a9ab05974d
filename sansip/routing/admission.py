"""What strangers may have under way, so that there is room for whom we know.

Theory of operation: three bounds, looked at when a request is about to be relayed. Of one
source so many requests may wait (``pending_per_source``); for one of our users so many
of strangers (``pending_per_callee``); and the last part of the table of transactions
(``transactions_reserved``) is for requests within dialogs set up through here, of users who
have proved who they are, and of peers that are trusted. In that part a stranger still
gets an answer, a challenge most of all, but nothing is remembered of it (RFC 3261 8.2.7).

A trusted peer may be a carrier with hundreds of calls a second, a sender on this very
machine a proxy that hides its clients: what is counted by source does not hold for
them. Who they are is looked up only once a limit is reached.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sansip.routing.core import Core
    from sansip.routing.request import IncomingRequest
    from sansip.transport import Flow

__all__ = ["is_crowded", "is_exempt", "is_stranger", "too_many"]


def is_exempt(core: Core, flow: Flow) -> bool:
    """Whether the limits by source do not hold for who sends by ``flow``."""
    host = flow.host
    if host.startswith("127.") or host == "::1":
        if not core.limits.limit_loopback:
            return True
    elif core.listeners.is_bound(host):
        # A spiral: it was counted where it came from first.
        return True
    if core.nodes is not None and core.nodes.is_at(host):
        # Another node counts its callers itself.
        return True
    return core.trusted.of(flow) is not None


def is_stranger(request: IncomingRequest) -> bool:
    """Whether nothing is known of the sender: no password, no dialog through here, no trust by address."""
    return not (
        request.authenticated
        or request.from_dialog
        or request.over_flow
        or request.from_node
        or is_exempt(request.core, request.flow)
    )


def is_crowded(core: Core) -> bool:
    """Whether only the part of the table that strangers have no share of is left."""
    most = core.limits.transactions
    return len(core.proxy.transactions) >= most - most * core.limits.transactions_reserved // 100


def too_many(request: IncomingRequest, source: str, callee: str) -> bool:
    """Whether ``request`` is one too many to be relayed; it has been answered then."""
    core = request.core
    limits = core.limits
    pending = core.proxy.pending
    most = limits.pending_per_source
    if most and pending.sources.get(source, 0) >= most and not is_exempt(core, request.flow):
        return _refuse(request, "pending_per_source", source, 503)
    most = limits.pending_per_callee
    if most and callee and pending.callees.get(callee, 0) >= most and is_stranger(request):
        # RFC 3261 21.4.18, and no 503: that would be taken for the state of the whole server.
        return _refuse(request, "pending_per_callee", callee, 480)
    if is_crowded(core) and is_stranger(request):
        return _refuse(request, "transactions_reserved", source, 503)
    return False


def _refuse(request: IncomingRequest, limit: str, whose: str, status: int) -> bool:
    request.core.proxy.notices.reached(limit, whose[:80], request.now)
    request.refuse(status, "Too Many Requests Waiting", [("Retry-After", "5")])
    return True
