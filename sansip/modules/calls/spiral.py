"""An INVITE that comes back here as a branch of itself (a spiral, RFC 3261 16.6 step 8) is the same call.

Theory of operation: our own Via in it has the branch of a client transaction that still waits, and that knows
the request it was made for. A callee knows this branch, too: so only the very INVITE of a call that is not
answered yet is taken for it, and another one that the callee makes up is a call of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from sansip.client.given_up import GivenUp

if TYPE_CHECKING:
    from sansip.module import Slot
    from sansip.modules.calls.call import Call
    from sansip.routing import IncomingRequest
    from sansip.transport import Listeners

__all__ = ["earlier", "parent_of"]


def parent_of(
    request: IncomingRequest, listeners: Listeners, clients: Mapping[str, Any], calls: Slot[Call]
) -> Call | None:
    """Return the call that ``request`` is a branch of; ``calls`` has the call of a request."""
    for relay in _relays(request, listeners, clients):
        handle = getattr(relay, "handle", None)
        # The record of a call that left as octets (``riding``) has it.
        record = getattr(relay, "call", None)
        call = getattr(record, "call", None) if handle is None else calls.get(handle)
        if call is not None and _is_it(call, request):
            return call
    return None


def earlier(
    request: IncomingRequest, listeners: Listeners, clients: Mapping[str, Any]
) -> Iterator[IncomingRequest]:
    """Return the requests that went out from here and have come back as ``request``, the last first."""
    for relay in _relays(request, listeners, clients):
        handle = getattr(relay, "handle", None)
        if handle is not None:
            yield handle


def _relays(request: IncomingRequest, listeners: Listeners, clients: Mapping[str, Any]) -> Iterator[Any]:
    if not request.returned:
        return
    for via in request.message.vias:
        if listeners.is_own_sent_by(via.sent_by):
            # No stranger can guess a branch of ours (``proxy.budget``).
            client = clients.get(f"{via.branch} INVITE")
            user = None if client is None else client.user
            branch = user.attempt if isinstance(user, GivenUp) else user
            yield getattr(branch, "forwarding", branch)


def _is_it(call: Call, request: IncomingRequest) -> bool:
    first = call.request
    return (
        first is not None
        and not call.over
        and call.answered is None
        and request.message.identity() == first.message.identity()
    )
