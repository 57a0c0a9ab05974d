"""An edge proxy: phones keep their connections to it, a registrar behind it knows the users.

It passes everything on to the registrar, puts itself into the Path of each REGISTER
(RFC 3327), and brings calls for a phone over the connection that the phone has to it,
by the flow token in that Path (RFC 5626 5). Several of them in front of one
registrar give a phone several ways to be reached.

    SANSIP_REGISTRAR=192.0.2.5:5060 sansip serve --route examples/routes/edge.py --config edge.toml

The registrar may be another ``sansip serve``, or Kamailio. It has to be in ``[[trusted]]``: a peer that is
not there may not use the tokens in our Path. ``secret_file`` keeps them valid when the edge is restarted.
"""

from __future__ import annotations

import os

from sansip.routing import IncomingRequest
from sansip.routing.within import admits_within

# host:port, and ;transport=tcp or ;transport=tls if it is not UDP.
REGISTRAR = os.environ.get("SANSIP_REGISTRAR", "127.0.0.1:5080")


async def route(request: IncomingRequest) -> None:
    """Pass a request inwards to the registrar, or outwards over a phone's flow."""
    if not request.validate():
        return
    if request.method == "CANCEL":
        # A CANCEL that matches its INVITE never comes here.
        request.reply(481)
    elif request.over_flow or request.in_dialog:
        # Outwards: the token names the connection (RFC 5626 5.3.1). Within a dialog: only for parties that
        # got our Record-Route.
        if request.over_flow or await admits_within(request):
            request.record_route()
            request.relay()
        elif request.method != "ACK" and not request.decided:
            request.reply(481)
    elif request.method == "REGISTER":
        # RFC 5626 5.1: the registrar finds the way back in our Path.
        request.add_path()
        inwards(request)
    elif request.method != "ACK":
        request.record_route()
        inwards(request)


def inwards(request: IncomingRequest) -> None:
    """Relay to the registrar, which judges whether the sender may do this."""
    request.message.remove("Route")
    request.message.append("Route", f"<sip:{REGISTRAR};lr>")
    request.relay()
