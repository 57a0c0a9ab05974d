"""How a usual relay begins (RFC 3261 16.6): the one way of its target, its lines, its Timer C."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sansip.client.via import new_branch, token_of
from sansip.proxy.direct import direct_way
from sansip.proxy.flow_loss import node_flow
from sansip.proxy.flow_tokens import came_token, goes_token
from sansip.proxy.octets import forwarded, trying
from sansip.proxy.record_route import record_route_lines
from sansip.proxy.relayed import record_of
from sansip.proxy.usual import Usual
from sansip.proxy.validation import breadth_of
from sansip.proxy.watched import GROWTH, Watched
from sansip.transport.transports import UDP

if TYPE_CHECKING:
    from sansip.proxy.budget import Budget
    from sansip.proxy.proxy import Proxy
    from sansip.proxy.recording import Recording
    from sansip.proxy.target import Target
    from sansip.transaction import ServerTransaction
    from sansip.transport import Flow
    from sansip.wire import Request

__all__ = ["relay_usual"]


def relay_usual(
    proxy: Proxy,
    request: Request,
    caller: Flow,
    server: ServerTransaction,
    target: Target,
    *,
    leaves: int,
    hashed: str,
    budget: Budget | None,
    counted: tuple[str, str] | None,
    recording: Recording | None,
    records: bool,
    wants_flow: bool,
    now: float,
    handle: Any = None,
    proven: bool = True,
) -> Usual | None:
    """Send ``request`` to ``target`` if that is usual; else do nothing and return None.

    The arguments are those of a ``Forwarding``; ``budget`` is None for a request that was not here before.
    ``proven``: see ``record_of``.
    ``handle`` is None where no module looks; if modules do, it may have become a response context on return.
    Raises ``RemoteProtocolError`` for a Max-Breadth that is malformed.
    """
    client = proxy.client
    if budget is not None and budget.left < 1:
        return None
    way = direct_way(proxy, request, target, leaves)
    if way is None or (client.failover_time and node_flow(target) is not None):
        return None
    breadth = breadth_of(request, proxy.limits.max_breadth)
    # A module must not see a Content-Length that did not come.
    if breadth < 1 or (handle is not None and "content-length" not in request.keys):
        return None
    listener = way.listener
    came = came_token(proxy, request, caller, wants_flow) if records else ""
    record_routes: list[str] = []
    if records and recording is not None:
        goes = goes_token(proxy, request, target, way.alive, listener, way.uri)
        mark = recording.mark(way.host)
        record_routes = record_route_lines(proxy.listeners, caller.listener, listener, mark, came, goes)
    branch = new_branch(client.entropy, hashed)
    via = f"{listener.via};branch={branch}"
    data = forwarded(request, way.text, request.max_forwards, breadth, via, record_routes)
    size = len(data)
    if handle is not None:
        # What a module adds may be too much.
        size += GROWTH - len(via) - sum(map(len, record_routes))
    if size > client.tcp_above and client.tcp_above and way.flow.transport == UDP:
        # RFC 3261 18.1.1: it may have to go by TCP.
        client.entropy.put_back(token_of(branch))
        return None
    line = request.first_line
    lines = line("from") or "", line("to") or "", line("call-id") or "", line("cseq") or "", request.to_tag
    made = Usual if handle is None else Watched
    usual = made(proxy, request, lines, caller, server, target, branch)
    usual.recording = recording
    usual._records = records
    usual._came = came
    usual._leaves = leaves
    usual._hashed = hashed
    usual._breadth = breadth
    usual._counted = counted
    usual.call = record_of(proxy.records, request, caller, proven, now, seen=handle is not None)
    if budget is not None:
        budget.left -= 1
        usual._budget = budget
    if counted is not None:
        proxy.pending.add(*counted)
    if request.method == "INVITE" and not server.last:
        # RFC 3261 17.2.1: within 200 ms, so that the caller stops resending.
        server.feed("send 1xx", trying(request), now)
    if isinstance(usual, Watched):
        usual.be_seen_by(handle)
        usual.leave(request.method, data, way.flow, via, listener, way.alive, now)
    else:
        usual.start(request.method, data, way.flow, via, now)
    return usual
