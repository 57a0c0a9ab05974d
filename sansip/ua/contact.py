"""Our Contact: the URI by which the other side of a dialog comes back to us (RFC 3261 8.1.1.8, 12.1.1).

Theory of operation: the Contact names the listener that reaches the peer. Of our own user it has the user
part only. So it hides the other side of a back-to-back user agent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sansip.transport.transports import PARAMETERS, SECURE, TLS
from sansip.wire import SipUri, parse_uri

if TYPE_CHECKING:
    from sansip.transport import Listener

__all__ = ["contact_of"]


def contact_of(listener: Listener, user: str = "", *, secure: bool = False) -> SipUri:
    """Return the URI that leads to ``listener``; a SIPS one where the dialog needs that and the listener
    can."""
    at = listener.record_route.partition("<sip:")[2].removesuffix(";lr")
    scheme = "sips" if secure and listener.transport in SECURE else "sip"
    if scheme == "sips":
        # RFC 3261 26.2.2: transport=tls adds no information to the scheme.
        at = at.replace(PARAMETERS[TLS], "")
    uri = parse_uri(f"{scheme}:{user}@{at}" if user else f"{scheme}:{at}")
    assert isinstance(uri, SipUri)
    return uri
