"""Keep scanners and unwanted callers away, and use the default route for all others.

Scanners get no answer, so that they do not learn that a server is here; a blocked caller gets a
polite refusal.

    sansip serve --route examples/routes/blocklist.py
"""

from __future__ import annotations

import ipaddress

from sansip.routing import IncomingRequest
from sansip.routing.default import route as default_route
from sansip.wire import SipUri

# Words in User-Agent that give the common scanners away.
SCANNERS = ("friendly-scanner", "sipvicious", "sipcli", "pplsip", "vaxsipuseragent")

# Networks that may not talk to us at all.
NETWORKS = [ipaddress.ip_network(text) for text in ("192.0.2.0/24", "2001:db8:bad::/48")]

# Callers, as user@host, or a whole host.
CALLERS = {"spam@example.net", "robocalls.example"}


async def route(request: IncomingRequest) -> None:
    """Drop, refuse, or pass on to the default route."""
    agent = (request.message.get("User-Agent") or "").lower()
    source = ipaddress.ip_address(request.flow.host)
    if any(scanner in agent for scanner in SCANNERS) or any(source in network for network in NETWORKS):
        request.drop()
    elif is_blocked(request) and request.method != "ACK":
        request.reply(603, "Decline")
    else:
        await default_route(request)


def is_blocked(request: IncomingRequest) -> bool:
    """Return whether From names a caller who is not wanted."""
    caller = request.message.from_.uri
    return isinstance(caller, SipUri) and bool(
        {caller.host, f"{caller.user_decoded}@{caller.host}"} & CALLERS
    )
