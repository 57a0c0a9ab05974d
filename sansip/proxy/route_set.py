"""Route header fields at a proxy: taking ours off, and reaching the next one.

Theory of operation: two pure steps on a message. ``preprocess`` runs when a
request arrives (RFC 3261 16.4): it undoes what a strict router did and removes
the Route values that name us. ``postprocess`` runs on a copy about to be
forwarded (16.6 step 6): it does what a strict router needs, and returns the URI
that decides the next hop (step 7).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sansip.errors import LocalProtocolError
from sansip.transport.transports import DEFAULT_PORT, DEFAULT_PORTS, UDP
from sansip.wire import OtherUri, SipUri, TelUri

if TYPE_CHECKING:
    from sansip.wire import Request

__all__ = ["postprocess", "preprocess"]


def preprocess(
    request: Request, is_own: Callable[[SipUri], bool], received_on: tuple[str, int] | None = None
) -> int:
    """Undo strict routing and remove our own Route values; return how many.

    ``is_own(uri)`` tells whether a URI is one that we put into Record-Route or
    that names this server as an element. ``received_on`` is the transport and
    port the request came in on, for ``maddr``.
    """
    uri = request.uri
    keys = request.keys
    if "route" in keys:
        # RFC 3261 16.4: a strict router put our Record-Route value into the
        # Request-URI; the last Route value is the real target.
        # The only user parts in there are flow tokens.
        named = isinstance(uri, SipUri) and uri.user and not uri.user.startswith("f-")
        if isinstance(uri, SipUri) and not named and uri.is_loose_router and is_own(uri):
            last = request.routes[-1]
            values = request.values("route")[:-1]
            request.remove("route")
            for value in values:
                request.append("Route", value)
            request.set_uri(last.uri)
    if isinstance(uri, SipUri) and "maddr" in uri.params and received_on is not None:
        _strip_maddr(request, uri, is_own, received_on)
    if "route" not in keys:
        return 0
    removed = 0
    # RFC 3261 16.4: the first value, where it is ours. RFC 5658 3: a proxy
    # between two transports recorded itself twice, so both go at once.
    for route in request.routes:
        if not isinstance(route.uri, SipUri) or not is_own(route.uri):
            break
        removed += 1
    request.drop_first_values("route", removed)
    return removed


def _strip_maddr(
    request: Request, uri: SipUri, is_own: Callable[[SipUri], bool], received_on: tuple[str, int]
) -> None:
    # RFC 3261 16.4: an maddr that names us, with the port and transport the
    # request came in on, goes, and so do a port and transport other than the
    # default. One for another port or transport of ours is forwarded there.
    transport, port = received_on
    named = uri.transport or UDP
    if named != transport or (uri.port or DEFAULT_PORTS.get(named, DEFAULT_PORT)) != port:
        return
    try:
        ours = SipUri.build((uri.params["maddr"] or "").strip("[]").lower(), port=port)
    except LocalProtocolError:
        # The grammar of parameters also accepts values that are no hosts.
        return
    if not is_own(ours):
        return
    params = {name: value for name, value in uri.params.items() if name not in ("maddr", "transport")}
    request.set_uri(uri.replace(params=params, port=None))


def postprocess(request: Request) -> SipUri | TelUri | OtherUri:
    """Prepare ``request`` for a strict router if the first Route is one.

    Returns the URI that decides the next hop (RFC 3261 16.6 steps 6 and 7).
    """
    if not request.has("route"):
        return request.uri
    first = request.routes[0].uri
    if not isinstance(first, SipUri) or first.is_loose_router:
        return first
    # RFC 3261 16.6 step 6: the Request-URI goes to the end of the Route, the
    # first value takes its place.
    request.pop_first_value("route")
    request.append("Route", f"<{request.uri_text}>")
    request.set_uri(first)
    return first
