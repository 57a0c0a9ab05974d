"""Which senders reach a guarded server by their Request-URI, although no module chose it.

Theory of operation: ``client.guarded`` has the gateways that only modules send to. Three kinds of requests go
there as they ask: those of a dialog that was set up with the gateway, those of a dialog that begin nothing,
and those of peers that the operator lets send anywhere, or of a gateway itself. That holds for the
Request-URI alone: a Contact that a user registered, or named in a redirection, never leads there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sansip.client.guarded import BEGIN_NOTHING

if TYPE_CHECKING:
    from sansip.routing.incoming import Incoming

__all__ = ["may_reach"]


def may_reach(request: Incoming) -> bool:
    """Whether ``request`` may go to a guarded server that its Request-URI names."""
    if request.to_guarded:
        return True
    if request.method in BEGIN_NOTHING and (request.from_dialog or request.reading):
        # A call that runs since before the server was guarded must be hung up.
        return True
    peer = request.trusted
    if peer is not None and peer.relay:
        return True
    if request.authenticated:
        # A user of ours, whose connection comes from the machine of a gateway.
        return False
    return request.core.proxy.client.guarded.sent(request.flow)
