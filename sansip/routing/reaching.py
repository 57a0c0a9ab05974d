"""Which senders reach a guarded server by their Request-URI, although no module chose it.

Theory of operation: ``client.guarded`` has the gateways that only modules send to. Three kinds of requests go
there as they ask: those of a dialog that was set up with that very gateway, those of a dialog that begin
nothing, and those of peers that the operator lets send anywhere, or of a gateway itself. That holds for the
Request-URI alone: a Contact that a user registered, or named in a redirection, never leads there. A REFER has
the gateway call somebody (RFC 3515), so it needs the setting ``refer`` as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sansip.client.guarded import BEGIN_NOTHING
from sansip.errors import RemoteProtocolError
from sansip.proxy.destination import hop_for
from sansip.proxy.target import Target

if TYPE_CHECKING:
    from sansip.routing.incoming import Incoming

__all__ = ["may_reach"]


def may_reach(request: Incoming) -> bool:
    """Whether ``request`` may go to a guarded server that its Request-URI names."""
    if request.method == "REFER" and not _takes_refer(request):
        return False
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
    if request.reading:
        # A call between a gateway and a phone, whose Contact names another gateway, with any number.
        return False
    return request.core.proxy.client.guarded.sent(request.flow)


def _takes_refer(request: Incoming) -> bool:
    """Whether the server that the Request-URI names takes REFER, or the peer may send what it likes."""
    peer = request.trusted
    if peer is not None and peer.relay:
        return True
    client = request.core.proxy.client
    try:
        hop = hop_for(client, request.message, request.uri, Target())
    except RemoteProtocolError:
        return False
    guard = client.guarded.bars(hop.host, hop.port) if hop.numeric else client.guarded.names(hop)
    return guard is not None and guard.refer
