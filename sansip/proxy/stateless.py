"""Forwarding without state: requests that are sent once, and the responses to them (RFC 3261 16.11)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sansip.client.via import seal
from sansip.errors import RemoteProtocolError
from sansip.proxy.assertions import drop_assertions
from sansip.proxy.copying import copy_for, keep_back
from sansip.proxy.credentials import drop_challenges
from sansip.proxy.destination import flow_for, route_of
from sansip.proxy.direct import direct_way
from sansip.proxy.flow_tokens import came_token, goes_token
from sansip.proxy.octets import forwarded
from sansip.proxy.record_route import add_record_route, can_be_recorded
from sansip.proxy.validation import breadth_of
from sansip.transaction.layer import MAGIC_COOKIE
from sansip.transport.flow import Flow, ensure_length
from sansip.transport.transports import DEFAULT_PORT, DEFAULT_PORTS
from sansip.wire.host import is_address

if TYPE_CHECKING:
    from sansip.entropy import Entropy
    from sansip.proxy.proxy import Proxy
    from sansip.proxy.recording import Recording
    from sansip.proxy.target import Target
    from sansip.transport import Listener
    from sansip.wire import Request, Response, Via

__all__ = ["forward_stateless", "forward_stray", "stateless_branch"]


def forward_stateless(
    proxy: Proxy,
    request: Request,
    incoming: Flow,
    target: Target,
    record: Recording | None,
    now: float,
    leaves: Listener | None = None,
) -> None:
    """Forward ``request`` without keeping anything (RFC 3261 16.11).

    It is sent from the listener of ``target``, else ``leaves``, else the one it
    came by.

    An ACK for a 2xx goes this way, too. If the next hop cannot be reached, nothing happens: no client waits
    for a response.
    """
    # RFC 5393 5.3.3: every proxied request has one. An ACK does not fork and gets no response, so the proxy
    # overwrites a value that it cannot read.
    breadth = proxy.limits.max_breadth
    if request.method != "ACK" or "max-breadth" in request.keys:
        try:
            breadth = breadth_of(request, breadth)
        except RemoteProtocolError:
            if request.method != "ACK":
                raise
    branch = _branch_for(proxy.entropy, request)
    prefer = target.listener
    if prefer is None:
        prefer = incoming.listener if leaves is None else leaves.id
    way = direct_way(proxy, request, target, prefer) if record is None else None
    if way is not None:
        via = f"{way.listener.via};branch={branch}"
        data = forwarded(request, way.text, request.max_forwards, breadth, via)
        proxy.sender.send(way.flow, data, now)
        return
    try:
        copy = copy_for(request, target, breadth)
        hop = route_of(proxy.client, copy, target)
    except RemoteProtocolError:
        return
    guarded = proxy.client.guarded
    if guarded.active and not target.chosen and (named := guarded.names(hop)) is not None:
        guarded.refused(named, incoming.host, request.method, hop.host, hop.port)
        return

    def send(addresses: Any, now: float) -> None:
        places = proxy.client.places.take(addresses, hop, now)
        if not places:
            return
        transport, ip, port = places[0]
        alive = flow_for(proxy.client, copy, target)
        if guarded.active and not target.chosen and not (alive is not None and alive.reliable):
            guard = guarded.bars(ip, port)
            if guard is not None:
                guarded.refused(guard, incoming.host, request.method, ip, port)
                return
        if proxy.trust.exists:
            keep_back(proxy, copy, alive or Flow(transport, prefer, (ip, port)))
        listener = (
            proxy.listeners.reach(transport, ip, prefer) if alive is None else proxy.listeners[alive.listener]
        )
        if listener is None or not (listener.accepts or can_be_recorded(hop, record)):
            return
        if record is not None:
            goes = goes_token(proxy, copy, target, alive, listener)
            came = came_token(proxy, request, incoming)
            mark = record.mark(ip)
            add_record_route(proxy.listeners, copy, incoming.listener, listener, mark, came, goes, hop.sips)
        flow = alive or Flow(transport, listener.id, (ip, port), name=hop.proves(transport))
        proxy.sender.send(flow, seal(copy, listener, branch), now)

    if hop.numeric:
        send([(hop.transport, hop.host, hop.port)], now)
    else:
        # RFC 3263 4.4: a retransmission must take the same way.
        proxy.client.places.resolve(hop.question(branch), send, now)


def _branch_for(entropy: Entropy, request: Request) -> str:
    """Return the branch of a stateless forward: the same for a retransmission.

    RFC 3261 16.11: a function of the branch received (or, without a magic
    cookie, of what identifies the transaction).
    """
    return _branch_of(entropy, request, request.via)


def _branch_of(entropy: Entropy, message: Request | Response, via: Via) -> str:
    """``via`` is that of the element before us; the same for a request and its responses.

    With the values noted there: the server that answers must not decide where the answer goes.
    """
    branch = via.branch or ""
    if not branch.startswith(MAGIC_COOKIE):
        branch = f"{branch} {message.call_id} {message.cseq.number} {message.from_tag}"
    return stateless_branch(entropy, branch, via.sent_by, via.received, via.params.get("rport"))


def stateless_branch(
    entropy: Entropy, branch: str, sent_by: str, received: str | None, rport: str | None
) -> str:
    """Return the branch of a stateless forward of what came with ``branch`` and this noted source."""
    hashed = entropy.keyed_hash(f"stateless {branch} {sent_by} {received} {rport}")
    return f"{MAGIC_COOKIE}{entropy.mark}s{hashed}"


def forward_stray(proxy: Proxy, response: Response, came: Flow, now: float) -> None:
    """Forward a response to a request that was forwarded statelessly, drop any other.

    RFC 6026 7.3: a stray response is not forwarded. The branch proves that
    we forwarded the request, for only we can compute it.
    """
    ours = response.via.branch or ""
    if not ours.startswith(f"{MAGIC_COOKIE}{proxy.entropy.mark}s"):
        return
    response.pop_first_value("via")
    if "via" not in response.keys:
        return
    try:
        via = response.via
    except RemoteProtocolError:
        return
    if ours != _branch_of(proxy.entropy, response, via):
        return
    transport = via.transport.lower()
    # RFC 3261 18.2.2, RFC 3581 4: to the source. An maddr may name any host, and this node does not know any
    # more whether the sender was trusted.
    host, port = via.received or via.host, via.rport or via.port
    if proxy.trust.exists and not proxy.trust.trusts(came):
        drop_assertions(response, stranger=True)
        drop_challenges(response, proxy.trust)
    try:
        guarded = proxy.client.guarded
        reached = guarded.active and guarded.bars(came.host, came.port) is not None
        proxy.marks.show_stray(response, proxy.trust.sender(response.from_.uri, host), guarded=reached)
    except RemoteProtocolError:
        return
    # ``received`` was added here where sent-by was a name.
    listener = proxy.listeners.reach(transport, host, -1) if is_address(host) else None
    if listener is not None:
        flow = Flow(transport, listener.id, (host, port or DEFAULT_PORTS.get(transport, DEFAULT_PORT)))
        ensure_length(response, flow)
        proxy.sender.send(flow, response.to_bytes(), now)
