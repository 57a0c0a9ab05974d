"""The place of a stranger: our requests go back to the source, and not to the stranger's Contact.

Theory of operation: a caller that has proved nothing may write any address into Contact and Record-Route.
Each request of ours to it is up to eleven datagrams to an address that never asked for one. RFC 3261 8.1.2
leaves the choice of the next hop to local policy. Our policy: if these fields name another host than the one
that the call came from, requests go over the flow of the call. This also reaches a stranger behind a NAT.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sansip.transport.next_hop import NextHop
from sansip.wire import SipUri
from sansip.wire.host import same_host

if TYPE_CHECKING:
    from sansip.client import Client
    from sansip.transport import Flow
    from sansip.wire import Uri

__all__ = ["leads_home", "way_home"]


def leads_home(uri: Uri, flow: Flow) -> bool:
    """Whether a request to ``uri`` goes to the host at the other end of ``flow``; never for a name."""
    if not isinstance(uri, SipUri):
        return False
    host = flow.host.partition("%")[0]
    # RFC 3263 4: maddr is where the request really goes.
    return same_host(uri.params.get("maddr") or uri.host, host)


def way_home(client: Client, flow: Flow) -> Flow | NextHop:
    """Return the way to the other end of ``flow``, and to no other host once the flow is gone."""
    if client.is_alive(flow):
        return flow
    return NextHop(flow.transport, flow.host, flow.port, True, True)
