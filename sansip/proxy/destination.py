"""Where a copy goes: over the flow of its target, or where its URIs lead (RFC 3261 16.6 step 7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sansip.errors import RemoteProtocolError
from sansip.proxy.route_set import postprocess
from sansip.transport.next_hop import NextHop, next_hop
from sansip.transport.transports import ONE_WAY, SECURE

if TYPE_CHECKING:
    from sansip.client.outlet import Outlet
    from sansip.proxy.target import Target
    from sansip.transport.flow import Flow
    from sansip.wire import OtherUri, Request, SipUri, TelUri

__all__ = ["flow_for", "hop_for", "route_of"]


def route_of(client: Outlet, copy: Request, target: Target) -> NextHop:
    """Apply 16.6 step 6 and return the next hop (step 7).

    Raises ``RemoteProtocolError`` when the URI leads nowhere.
    """
    return hop_for(client, copy, postprocess(copy), target)


def hop_for(client: Outlet, copy: Request, uri: SipUri | TelUri | OtherUri, target: Target) -> NextHop:
    """Return the next hop of ``copy``, whose ``uri`` leads there: its first Route or its Request-URI.

    Raises ``RemoteProtocolError`` when the URI leads nowhere.
    """
    # RFC 3261 16.6 step 7: a sips Request-URI decides, whatever Route says.
    sips = copy.uri.scheme == "sips" or uri.scheme == "sips"
    # RFC 5630 5.3: TLS as well where the URI lost its s on the way here.
    secure = sips or _is_secure(target)
    flow = flow_for(client, copy, target)
    if flow is not None:
        return NextHop(flow.transport, flow.host, flow.port, True, True, secure=secure, sips=sips)
    hop = next_hop(uri, secure=secure)
    hop.sips = sips
    # Where the binding has a Path, its edge proxy has the flow.
    only = target.only and (target.bound or "route" not in copy.keys)
    if only or hop.transport in ONE_WAY or hop.host.endswith(".invalid"):
        # RFC 7118 5, RFC 2606 2: only its connection led to it. RFC 5626 5.3.2:
        # 430 for a flow that a token named, and else it is a user not there now.
        raise RemoteProtocolError(
            "the flow is gone",
            status=430 if only or target.bound else 480,
            section="RFC 5626 5.3.2",
            field="Request-URI",
        )
    if not copy.has("route"):
        if target.address is not None:
            hop.host, hop.port = target.address
            hop.numeric = True
        if target.flow is not None and not hop.explicit and not secure:
            # The phone chose the transport when it registered over it.
            hop.transport = target.flow.transport
    return hop


def flow_for(client: Outlet, copy: Request, target: Target) -> Flow | None:
    """Return the flow that ``copy`` goes over: that of ``target``, while it lives."""
    flow = target.flow
    if flow is None or ("route" in copy.keys and not target.bound) or not client.is_alive(flow):
        return None
    if flow.transport not in SECURE and (copy.uri.scheme == "sips" or _is_secure(target)):
        # RFC 3261 26.2.2: in TLS to the last hop.
        return None
    return flow


def _is_secure(target: Target) -> bool:
    """Whether ``target`` may only be reached over TLS."""
    return target.uri is not None and target.uri.scheme == "sips"
