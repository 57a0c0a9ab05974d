"""Where a stranger is: our requests go back to him, and not where his Contact says.

Theory of operation: a caller who has proved nothing may write any address into Contact and Record-Route,
and each request of ours there is up to eleven datagrams at an address that never asked for one. RFC 3261
8.1.2 leaves the choice of the next hop to local policy. Ours is: where what he names is not the host that
he called from, requests go over the flow that he called by. A stranger behind a NAT is reached by that, too.
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
