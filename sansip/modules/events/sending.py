"""A NOTIFY on its way: where it goes.

Theory of operation: a NOTIFY goes to the watcher's Contact, along its Record-Route values. A phone behind a
NAT or on a connection is reached where its SUBSCRIBE came from. So is a watcher that has proved nothing,
whatever its Contact says (``sansip.ua.home``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sansip.transport.nat import is_private
from sansip.ua.home import leads_home, way_home
from sansip.wire import SipUri

if TYPE_CHECKING:
    from sansip.client import Client
    from sansip.modules.events.subscription import Subscription
    from sansip.transport import Flow
    from sansip.transport.next_hop import NextHop
    from sansip.wire import Uri

__all__ = ["way_of"]


def way_of(one: Subscription, client: Client) -> Flow | NextHop | Uri | None:
    """Return where the next NOTIFY goes, in place of where Route and Request-URI lead; None: there."""
    dialog, flow = one.usage.dialog, one.flow
    routes = dialog.route_set
    first = routes[0].uri if routes else dialog.remote_target
    if flow is not None:
        if not one.proven and not leads_home(first, flow):
            return way_home(client, flow)
        if not routes and client.is_alive(flow):
            if flow.conn:
                # RFC 5923, RFC 7118 5: a phone on a connection is reached over it.
                return flow
            if isinstance(first, SipUri) and is_private(first.host) and first.host != flow.host:
                return flow
    if routes and isinstance(first, SipUri) and not first.is_loose_router:
        # RFC 3261 12.2.1.1: a strict router.
        return first
    return None
