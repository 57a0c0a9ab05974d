"""Via at the transport: noting the source, and the way of a response.

Theory of operation: a server notes in the top Via where a request really came
from (RFC 3261 18.2.1, RFC 3581 4), and a response goes where that noted Via
says (18.2.2). Both are decided together when the request arrives, so that the
answer needs no look at the message again.

An maddr would have a stranger's answers sent to a third host, so it counts only
for the peers that the configuration names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sansip.errors import RemoteProtocolError
from sansip.transport.flow import Flow
from sansip.transport.nat import reply_to_source
from sansip.transport.transports import DEFAULT_PORT, DEFAULT_PORTS
from sansip.wire import Request, read_again
from sansip.wire.host import is_address, same_host

if TYPE_CHECKING:
    from sansip.wire import Via

__all__ = ["note_source", "read_noted", "response_flow"]


def note_source(
    request: Request,
    flow: Flow,
    force_rport: str = "private",
    follows_maddr: Callable[[Flow], bool] | None = None,
) -> Flow:
    """Write ``received`` and ``rport`` into the top Via; return where responses go.

    ``force_rport`` says when a request without ``rport`` gets its response at its source port all the same
    (``ProxyConfig.force_rport``). ``follows_maddr`` says which senders get theirs at the maddr of their Via
    (``ProxyConfig.via_maddr``), by default none. Raises ``RemoteProtocolError`` when no Via can be
    understood.
    """
    via = request.reply_via
    if via is None:
        # The request does not say where it expects an answer.
        raise RemoteProtocolError("no usable Via", section="RFC 3261 20.42", field="Via", message=request)
    host = flow.address[0]
    if "%" in host:
        # RFC 4007 11.2: a zone means something on this host alone.
        host = host.partition("%")[0]
    if "maddr" in via.params and not flow.conn and follows_maddr is not None and follows_maddr(flow):
        back = _at_maddr(via, flow)
        if back is not None:
            if via.wants_rport:
                request.replace_first_value("via", via.replace(received=host, rport=str(flow.address[1])))
            elif not same_host(via.host, host):
                request.replace_first_value("via", via.replace(received=host))
            return back
    if "rport" in via.params:
        # RFC 3581 4: the source port becomes the value, received is added even
        # where it equals the sent-by, and the response goes back that way.
        port = flow.address[1]
        if via.params["rport"] is None and not request.note_rport(host, port):
            request.replace_first_value("via", via.replace(received=host, rport=str(port)))
        if not flow.conn:
            return flow
    elif not same_host(via.host, host):
        # RFC 3261 18.2.1: a name, or another address than the packet's.
        if not flow.conn and reply_to_source(via.host, force_rport):
            request.replace_first_value("via", via.replace(received=host, rport=str(flow.address[1])))
            return flow
        request.replace_first_value("via", via.replace(received=host))
    elif force_rport == "always" and not flow.conn:
        request.replace_first_value("via", via.replace(received=host, rport=str(flow.address[1])))
        return flow
    elif "received" in via.params:
        # RFC 3261 18.2.1: only we write the source of the request; we replace a value from an element before
        # us.
        request.replace_first_value("via", via.replace(received=host))
    return response_flow(via, flow)


def read_noted(data: bytes, flow: Flow, force_rport: str) -> Request:
    """Return the request in ``data``, read before in brief, after ``note_source``."""
    request = read_again(data)
    assert isinstance(request, Request)
    note_source(request, flow, force_rport)
    return request


def _at_maddr(via: Via, flow: Flow) -> Flow | None:
    """Return the way of a response to the maddr of ``via`` (RFC 3261 18.2.2), where that is an address."""
    maddr = via.maddr
    if maddr is None or not is_address(maddr):
        return None
    return Flow(flow.transport, flow.listener, (maddr, via.port or DEFAULT_PORT))


def response_flow(via: Via, flow: Flow) -> Flow:
    """Return where responses to a request go (RFC 3261 18.2.2), but for an maddr.

    ``via`` is its top Via, ``flow`` the way it came. An ``rport`` counts where
    there is no connection (RFC 3581 4).
    """
    if flow.conn:
        # RFC 3261 18.2.2: the same connection; should it be gone, one to the
        # source address at the sent-by port.
        port = via.port or DEFAULT_PORTS.get(flow.transport, DEFAULT_PORT)
        back = Flow(flow.transport, flow.listener, (flow.address[0], port, *flow.address[2:]), flow.conn)
        back.peer = flow.peer
        return back
    if via.wants_rport:
        return flow
    port = via.port or DEFAULT_PORT
    if port == flow.address[1]:
        return flow
    return Flow(flow.transport, flow.listener, (flow.address[0], port, *flow.address[2:]))
