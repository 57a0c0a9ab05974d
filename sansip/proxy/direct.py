"""A way that needs no copy of the request: to one address, by the Request-URI or a flow alone.

Theory of operation: nearly every request leads to a sip URI with a numeric host, or over the flow of a
phone, and nothing in it has to be taken away on the way out. Then the copy that leaves is the request with a
few other lines (``octets``). Whatever else there is to consider, this has no answer, and the long way has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sansip.errors import RemoteProtocolError
from sansip.proxy.copying import as_request_uri
from sansip.proxy.destination import flow_for, hop_for
from sansip.transport.flow import Flow
from sansip.wire import SipUri

if TYPE_CHECKING:
    from sansip.proxy.proxy import Proxy
    from sansip.proxy.target import Target
    from sansip.transport import Listener, NextHop
    from sansip.wire import Request

__all__ = ["Direct", "direct_way"]

# Fields that a copy may have to lose (``copying.keep_back``).
_KEPT_BACK: Final = frozenset(("authorization", "proxy-authorization", "p-asserted-identity"))


class Direct:
    """Where a request goes.

    Attributes:
        uri: the URI that leads there.
        text: the Request-URI that it gets.
        alive: the flow of the phone; None where ``flow`` was made for it.
    """

    __slots__ = ("alive", "flow", "hop", "listener", "text", "uri")

    def __init__(
        self, uri: SipUri, text: str, hop: NextHop, listener: Listener, flow: Flow, alive: Flow | None
    ) -> None:
        self.uri = uri
        self.text = text
        self.hop = hop
        self.listener = listener
        self.flow = flow
        self.alive = alive


def direct_way(proxy: Proxy, request: Request, target: Target, leaves: int) -> Direct | None:
    """Return the way of ``request`` to ``target``, None where it is not as simple as that.

    ``leaves``: the listener to send from, where the target does not say.
    """
    asked = request.uri
    uri = target.uri
    if uri is None:
        uri = asked
    keys = request.keys
    if (
        type(uri) is not SipUri
        or uri.scheme != "sip"
        or asked.scheme == "sips"
        or "route" in keys
        or target.path
        or (proxy.trust.exists and not _KEPT_BACK.isdisjoint(keys))
    ):
        return None
    client = proxy.client
    alive = None
    try:
        hop = hop_for(client, request, uri, target)
    except RemoteProtocolError:
        return None
    if not hop.numeric:
        return None
    transport = hop.transport
    text = str(uri)
    if target.uri is not None and ("?" in text or ";" in text):
        text = str(as_request_uri(uri))
    if target.flow is not None and (alive := flow_for(client, request, target)) is not None:
        return Direct(uri, text, hop, proxy.listeners[alive.listener], alive, alive)
    listener = proxy.listeners.reach(
        transport, hop.host, leaves if target.listener is None else target.listener
    )
    if listener is None:
        return None
    flow = Flow(transport, listener.id, (hop.host, hop.port), name=hop.proves(transport))
    return Direct(uri, text, hop, listener, flow, None)
