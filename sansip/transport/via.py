"""Via at the transport: noting the source, and the way of a response.

Theory of operation: a server notes in the top Via where a request really came
from (RFC 3261 18.2.1, RFC 3581 4), and a response goes where that noted Via
says (18.2.2). Both are decided together when the request arrives, so that the
answer needs no look at the message again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sansip.errors import RemoteProtocolError
from sansip.transport.flow import DEFAULT_PORTS, Flow
from sansip.transport.nat import reply_to_source
from sansip.wire.host import is_address

if TYPE_CHECKING:
    from sansip.wire import Request, Via

__all__ = ["note_source", "response_flow"]


def note_source(request: Request, flow: Flow, force_rport: str = "private") -> Flow:
    """Write ``received`` and ``rport`` into the top Via; return where responses go.

    ``force_rport`` says when a request that did not ask is answered at its source
    port all the same (``ProxyConfig.force_rport``). Raises ``RemoteProtocolError`` when no
    Via can be understood.
    """
    via = request.reply_via
    if via is None:
        # Nothing tells where an answer would be expected.
        raise RemoteProtocolError("no usable Via", section="RFC 3261 20.42", field="Via", message=request)
    host = flow.address[0]
    if "%" in host:
        # RFC 4007 11.2: a zone means something on this host alone.
        host = host.partition("%")[0]
    if via.wants_rport:
        # RFC 3581 4: the source port becomes the value, received is added even
        # where it equals the sent-by, and the response goes back that way.
        port = flow.address[1]
        if via.params["rport"] is None and not request.note_rport(host, port):
            request.replace_first_value("via", via.replace(received=host, rport=str(port)))
        if not flow.conn and "maddr" not in via.params:
            return flow
    elif via.host != host:
        # RFC 3261 18.2.1: a name, or another address than the packet's.
        if not flow.conn and "maddr" not in via.params and reply_to_source(via.host, force_rport):
            request.replace_first_value("via", via.replace(received=host, rport=str(flow.address[1])))
            return flow
        request.replace_first_value("via", via.replace(received=host))
    elif force_rport == "always" and not flow.conn and "maddr" not in via.params:
        request.replace_first_value("via", via.replace(received=host, rport=str(flow.address[1])))
        return flow
    return response_flow(via, flow)


def response_flow(via: Via, flow: Flow) -> Flow:
    """Return where responses to a request go (RFC 3261 18.2.2).

    ``via`` is its top Via, ``flow`` the way it came. An ``rport`` counts where
    there is neither a connection nor an maddr (RFC 3581 4).
    """
    if flow.conn:
        # RFC 3261 18.2.2: the same connection; should it be gone, one to the
        # source address at the sent-by port.
        port = via.port or DEFAULT_PORTS.get(flow.transport, 5060)
        return Flow(flow.transport, flow.listener, (flow.address[0], port, *flow.address[2:]), flow.conn)
    host, rest = flow.address[0], flow.address[2:]
    maddr = via.maddr
    if maddr is not None and is_address(maddr):
        # RFC 3261 18.2.2: maddr wins over the source, on datagrams.
        host, rest = maddr, ()
    elif via.wants_rport:
        return flow
    port = via.port or 5060
    if port == flow.address[1] and host == flow.address[0]:
        return flow
    return Flow(flow.transport, flow.listener, (host, port, *rest))
