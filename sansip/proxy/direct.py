"""A way that needs no copy of the request: to one address, by the Request-URI or a flow alone.

Theory of operation: nearly every request leads to a sip URI with a numeric host, or over the flow of a
phone, and nothing in it has to be taken away on the way out. Then the copy that leaves is the request with a
few other lines (``octets``). Whatever else there is to consider, this has no answer, and the long way has.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sansip.errors import RemoteProtocolError
from sansip.proxy.copying import as_request_uri
from sansip.proxy.destination import flow_for, hop_for
from sansip.transport.flow import Flow
from sansip.transport.transports import DEFAULT_PORT, UDP
from sansip.wire import SipUri

if TYPE_CHECKING:
    from sansip.proxy.proxy import Proxy
    from sansip.proxy.target import Target
    from sansip.transport import Listener
    from sansip.wire import Request

__all__ = ["Direct", "direct_way"]

# Fields that a copy may have to lose (``copying.keep_back``).
_KEPT_BACK: Final = frozenset(("authorization", "proxy-authorization", "p-asserted-identity"))

# A URI of a user at an IPv4 address, without parameters: RFC 3263 4.1 has no choice there.
_PLAIN: Final = re.compile(r"sip:(?:[^;?]*@)?[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?::[0-9]++)?")


class Direct:
    """Where a request goes.

    Attributes:
        uri: the URI that leads there.
        text: the Request-URI that it gets.
        host: where it goes, an IP address.
        listener: the one that it leaves by.
        flow: the flow that it goes over.
        alive: that of the phone; None where ``flow`` was made for the request.
    """

    __slots__ = ("alive", "flow", "host", "listener", "text", "uri")

    def __init__(
        self, uri: SipUri, text: str, host: str, listener: Listener, flow: Flow, alive: Flow | None
    ) -> None:
        self.uri = uri
        self.text = text
        self.host = host
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
    text = str(uri)
    transport, host = UDP, uri.host
    guarded = proxy.client.guarded
    closed = guarded.active and not target.chosen
    name = ""
    if target.flow is None and not target.only and _PLAIN.fullmatch(text) is not None:
        # By UDP, to an IPv4 address (``next_hop``).
        port = uri.port or DEFAULT_PORT
        if target.address is not None:
            host, port = target.address
        if closed and guarded.bars(host, port) is not None:
            return None
    else:
        client = proxy.client
        try:
            hop = hop_for(client, request, uri, target)
        except RemoteProtocolError:
            return None
        if not hop.numeric:
            return None
        if target.uri is not None and ("?" in text or ";" in text):
            text = str(as_request_uri(uri))
        transport, host, port = hop.transport, hop.host, hop.port
        alive = None if target.flow is None else flow_for(client, request, target)
        if closed and not (alive is not None and alive.reliable) and guarded.bars(host, port) is not None:
            # No phone has it; the long way refuses it.
            return None
        if alive is not None:
            return Direct(uri, text, host, proxy.listeners[alive.listener], alive, alive)
        name = hop.proves(transport)
    listener = proxy.listeners.reach(transport, host, leaves if target.listener is None else target.listener)
    if listener is None:
        return None
    return Direct(uri, text, host, listener, Flow(transport, listener.id, (host, port), name=name), None)
