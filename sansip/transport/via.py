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
from sansip.wire.host import is_address

if TYPE_CHECKING:
    from sansip.wire import Request, Via

__all__ = ["note_source", "response_flow"]


def note_source(request: Request, flow: Flow) -> Flow:
    """Write ``received`` and ``rport`` into the top Via; return where responses go.

    Raises ``RemoteProtocolError`` when no Via can be understood.
    """
    via = request.reply_via
    if via is None:
        # Nothing tells where an answer would be expected.
        raise RemoteProtocolError("no usable Via", section="RFC 3261 20.42", field="Via", message=request)
    source = flow.address
    if via.wants_rport:
        # RFC 3581 4: the source port becomes the value, received is added even
        # where it equals the sent-by, and the response goes back that way.
        if via.params["rport"] is None and not request.note_rport(source[0], source[1]):
            request.replace_first_value("via", via.replace(received=source[0], rport=str(source[1])))
        return flow
    if via.host != source[0]:
        # RFC 3261 18.2.1: a name, or another address than the packet's.
        request.replace_first_value("via", via.replace(received=source[0]))
    return response_flow(via, flow)


def response_flow(via: Via, flow: Flow) -> Flow:
    """Return where responses to a request go (RFC 3261 18.2.2).

    ``via`` is its top Via without ``rport``, ``flow`` the way it came.
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
    port = via.port or 5060
    if port == flow.address[1] and host == flow.address[0]:
        return flow
    return Flow(flow.transport, flow.listener, (host, port, *rest))
