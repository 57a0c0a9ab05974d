"""The copy of a request for one target: its URI, Path, one hop less (RFC 3261 16.6 steps 1 to 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sansip.proxy.assertions import keep_private
from sansip.proxy.credentials import withhold_credentials
from sansip.proxy.returning import is_trusted
from sansip.proxy.secure import retargeted

if TYPE_CHECKING:
    from sansip.proxy.proxy import Proxy
    from sansip.proxy.target import Target
    from sansip.transport.flow import Flow
    from sansip.wire import OtherUri, Request, SipUri, TelUri

__all__ = ["as_request_uri", "copy_for", "keep_back"]


def copy_for(request: Request, target: Target, breadth: int) -> Request:
    """Return the copy of ``request`` for ``target``, without Via and Record-Route.

    RFC 3261 16.6 steps 1 to 3 and 5. ``breadth``: its share of Max-Breadth (RFC 5393 5.3.3.2).
    """
    copy = request.copy()
    if target.uri is not None:
        uri = target.uri
        copy.set_uri(as_request_uri(retargeted(request.uri, uri) if uri.scheme == "sips" else uri))
    elif copy.uri_text != str(copy.uri):
        # Fields that were read liberally leave in canonical form.
        copy.set_uri(copy.uri)
    for value in reversed(target.path):
        # RFC 3327 5.3: the Path of a binding becomes the first Route values.
        copy.prepend("Route", value)
    # RFC 3261 16.6 step 3: one hop less; 70 where there was none.
    hops = request.max_forwards
    copy.set_line("max-forwards", "Max-Forwards: 70" if hops is None else f"Max-Forwards: {hops - 1}")
    copy.set_line("max-breadth", f"Max-Breadth: {breadth}")
    return copy


def as_request_uri(uri: SipUri | TelUri | OtherUri) -> SipUri | TelUri | OtherUri:
    """Return ``uri`` without header fields and method: RFC 3261 16.6 step 2 with 19.1.1."""
    headers = getattr(uri, "headers", None)
    params = getattr(uri, "params", None) or {}
    if not headers and "method" not in params:
        return uri
    kept = {name: value for name, value in params.items() if name != "method"}
    return uri.replace(headers=[], params=kept)  # type: ignore[union-attr]  # its kind is known here


def keep_back(proxy: Proxy, copy: Request, flow: Flow) -> None:
    """Remove from ``copy`` the fields that its receiver, the peer of ``flow``, may not see."""
    if not is_trusted(proxy, flow):
        withhold_credentials(copy, proxy.trust)
        keep_private(copy)
