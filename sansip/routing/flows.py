"""Flow tokens in Route: their owners, the senders that may use them, and their present flows.

Theory of operation: RFC 5626 5.3. Our Record-Route values stand in pairs where a token
is needed (RFC 5658 3), the sender's side first. So a token in the first value says who
sends, and one in the second, or in a value alone, where the request goes:

    of a dialog   both sides of the dialog may use it; it leads each side to the
                  phone of the other side
    of a Path     (or of another node) it is good for any request. So this node believes
                  it only from another node of ours that vouches for the request
                  (``routing.vouching``), from a peer in ``[[trusted]]``, and from the
                  phone itself

The flow may be gone while the phone is not (5.3.2): it registered again over another connection, or from
another port of its NAT, in this life of the process or another, at this node or another. If the token names a
binding, the flow is the one that this user's phone has registered now. A user's token leads to that user's
bindings only, whatever other users register from the same address. If there is no flow, the answer is 430.
The Request-URI is no way out, because any sender can write one.

There is one exception, and the token says so (``FlowToken.place``): a peer on a connection that did not ask
for its flow, and that can be reached at the Contact or by the Record-Route value that it began the dialog
with. This node connects to it there, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from sansip.errors import RemoteProtocolError
from sansip.location import NodeFlow, key_of, named_by
from sansip.proxy import Target
from sansip.routing.flow_route import FlowRoute
from sansip.routing.lookup import target_of
from sansip.routing.shared import lead, locate_shared
from sansip.routing.vouching import is_vouched
from sansip.transport import Flow
from sansip.transport.transports import DEFAULT_PORT, UDP
from sansip.wire import SipUri
from sansip.wire.host import host_key, is_address

if TYPE_CHECKING:
    from sansip.location import Binding
    from sansip.routing.core import Core
    from sansip.routing.incoming import Incoming
    from sansip.transport.flow_token import FlowToken, Named
    from sansip.wire import OtherUri, Request, TelUri

__all__ = [
    "binding_at",
    "binding_by",
    "binding_over",
    "flow_of",
    "follow",
    "is_flow_of",
    "looking",
    "sender_of",
    "settle",
    "take_token",
]


# Seconds for which a registration's token is good after its end: for requests that were on the way then.
_GRACE = 60

Handle = TypeVar("Handle", bound="Incoming")


def settle(request: Incoming, flows: FlowRoute) -> None:
    """Decide on the direction that the tokens say, once all our values are off Route."""
    token = flows.onward
    if token is None:
        return
    core = request.core
    if token.expires and core.wall.passed(request.now) > token.expires + _GRACE:
        flows.target = Target(bound=True, only=True)
        return
    target = _present(core, token, request.now)
    if target is None:
        if core.nodes is not None and token.bound:
            flows.lost = token.named
        target = _as_written(core, token) or _elsewhere(core, token, request.message)
    flows.target = target


def follow(core: Core, token: FlowToken, now: float) -> Target | None:
    """Return where ``token`` of a dialog leads, None where that is not known here (``settle``)."""
    target = _present(core, token, now)
    if target is None and not (core.nodes is not None and token.bound):
        target = _as_written(core, token)
    return target


def take_token(request: Incoming, uri: SipUri, flows: FlowRoute | None, *, second: bool) -> FlowRoute:
    """Note the token in ``uri``, a Route value of ours; ``second``: another one came before it.

    Raises ``RemoteProtocolError`` (403) for a token that the sender may not use.
    """
    message = request.message
    core = request.core
    token = core.proxy.tokens.read(uri.user, message)
    if token is None:
        # RFC 5626 5.3.1: it has been tampered with, or is of another dialog.
        raise _refused("Forged Flow Token", "RFC 5626 5.3.1", message)
    if token.bound and message.to_tag is None and message.method not in ("ACK", "BYE"):
        # RFC 3261 12.2.1.1: a route set is for requests within the dialog. A caller has
        # one from a 180, and must not ring the phone anew with it, under any name.
        raise _refused("Flow Token Of A Dialog", "RFC 3261 12.2.1.1", message)
    request.from_node = request.from_node or is_vouched(core.nodes, message, uri)
    # RFC 5626 5.3: the sender's own flow does not tell the direction.
    senders = None if second or flows is not None else sender_of(core, token, request.flow, request.now)
    if not (token.bound or senders is not None or request.from_node or request.trusted is not None):
        # RFC 5626 5.3.1: a sender that has it may send to the phone. Others can read it in several places.
        raise _refused("Flow Token Of Others ([[trusted]])", "RFC 5626 5.3.1", message)
    flows = flows or FlowRoute()
    flows.add(token, senders, "ob" in uri.params)
    return flows


def _refused(reason: str, section: str, message: Request) -> RemoteProtocolError:
    return RemoteProtocolError(reason, status=403, section=section, field="Route", message=message)


def looking(route: Callable[[Handle], Any]) -> Callable[[Handle], Coroutine[Any, Any, None]]:
    """Return ``route``, run after the shared location was asked where a lost flow is now."""

    async def run(request: Handle) -> None:
        flows = request.flows
        if flows is not None and flows.lost is not None:
            aor, key = flows.lost
            found = [(one, _at_node(request, one)) for one in await locate_shared(request, aor)]
            binding = named_by(key, [one for one, target in found if target is not None])
            flows.target = next((target for one, target in found if one is binding), None) or flows.target
        decided = route(request)
        if isinstance(decided, Coroutine):
            await decided

    return run


def binding_over(core: Core, request: Request, flow: Flow) -> Named | None:
    """Return the name of the binding whose flow is ``flow``, which ``request`` came over, if there is one.

    If several users share one connection, the binding is that of the user in From. Over datagrams it must be
    that user's, and registered at this very address.
    """
    return binding_by(core, lambda: request.from_.uri, flow)


def binding_by(core: Core, sender: Callable[[], SipUri | TelUri | OtherUri], flow: Flow) -> Named | None:
    """Return the same for a request of the user whose URI ``sender`` reads."""
    location = core.location
    aors = location.aors_of(flow) if flow.conn else ()
    if len(aors) == 1:
        # Nearly every phone on a connection.
        aor = aors[0]
    elif flow.conn and not aors:
        return None
    else:
        uri = sender()
        if isinstance(uri, SipUri) and core.listeners.serves(uri.host, uri.port):
            aor = core.addresses.of(uri)
            if aors and aor not in aors:
                aor = aors[0]
        elif aors:
            aor = aors[0]
        else:
            return None
    return _named_over(core, aor, flow)


def binding_at(core: Core, uri: SipUri | TelUri | OtherUri, flow: Flow) -> Named | None:
    """Return the same for a request of the user at ``uri``, which came over ``flow``, of datagrams."""
    if not (isinstance(uri, SipUri) and core.listeners.serves(uri.host, uri.port)):
        return None
    return _named_over(core, core.addresses.of(uri), flow)


def _named_over(core: Core, aor: str, flow: Flow) -> Named | None:
    """Return the name of the binding of ``aor`` whose flow is ``flow``, if there is one."""
    for binding in core.location.standing(aor):
        present = over(core, binding)
        if present is not None and _is_same(present, flow):
            return binding.aor, key_of(binding)
    return None


def flow_of(
    core: Core, aor: str, key: bytes, now: float, *, exact: bool = False, prefer: int | None = None
) -> Flow | None:
    """Return the flow that the phone which is named so has at this node now, or None.

    ``prefer``: the listener for datagrams whose binding does not know by which it came.
    """
    # Bindings back from a store, or lost without a notice, must not hide the others.
    flows = [(one, over(core, one, prefer)) for one in core.location.lookup(aor, now)]
    binding = named_by(key, [one for one, flow in flows if flow is not None], exact=exact)
    return next((flow for one, flow in flows if one is binding), None)


def is_flow_of(core: Core, binding: Binding, flow: Flow, now: float) -> bool:
    """Whether the phone of ``binding`` has ``flow`` registered now."""
    key = key_of(binding)
    for one in core.location.lookup(binding.aor, now):
        if named_by(key, [one]) is not None:
            present = over(core, one, flow.listener)
            if present is not None and _is_same(present, flow):
                return True
    return False


def over(core: Core, binding: Binding, prefer: int | None = None) -> Flow | None:
    """Return the flow that ``binding`` has at this node now, or None; ``prefer`` as above."""
    flow = binding.flow
    if isinstance(flow, Flow):
        return flow if core.proxy.client.is_alive(flow) else None
    if binding.path or (isinstance(flow, NodeFlow) and (flow.conn or not flow.direct)):
        return None
    received = binding.received
    if received is None:
        address = _contact_address(binding)
    elif received.by_datagram:
        address = received.address
    else:
        # A connection of a former life.
        return None
    if address is None:
        return None
    listener = core.listeners.reach(UDP, address[0], flow if isinstance(flow, int) else prefer)
    return None if listener is None else Flow(UDP, listener.id, address)


def _contact_address(binding: Binding) -> tuple[str, int] | None:
    """Return the address in the Contact of a phone on UDP, where it is one."""
    try:
        uri = binding.uri
    except RemoteProtocolError:
        return None
    if not isinstance(uri, SipUri) or uri.scheme == "sips" or (uri.transport or UDP) != UDP:
        return None
    return (uri.host, uri.port or DEFAULT_PORT) if is_address(uri.host) else None


def _present(core: Core, token: FlowToken, now: float) -> Target | None:
    """Return the flow that the binding of ``token`` has now (RFC 5626 5.3.2)."""
    if token.named is None:
        return None
    aor, key = token.named
    # A request that begins something has a target for each flow, and is to hear of this one
    # alone (RFC 5626 5.3.1, 7).
    prefer = None if token.flow is None else token.flow.listener
    flow = flow_of(core, aor, key, now, exact=not token.bound, prefer=prefer)
    return None if flow is None else _over(flow)


def _as_written(core: Core, token: FlowToken) -> Target | None:
    """Return the flow that ``token`` names, while it lives."""
    flow = _alive(core, token)
    return None if flow is None else _over(flow)


def _over(flow: Flow) -> Target:
    # This flow only: a request that may not go over it (a sips URI, RFC 3261 26.2.2) must not go to a
    # Request-URI of the sender's choice.
    return Target(flow=flow, bound=True, only=True)


def _alive(core: Core, token: FlowToken) -> Flow | None:
    flow = token.flow
    if flow is None or not flow.conn:
        return flow
    connection = core.proxy.sender.connections.get(flow.conn)
    return None if connection is None else connection.flow


def _elsewhere(core: Core, token: FlowToken, message: Request) -> Target:
    """Return where the peer of a flow that is gone is reached, which fails at once where it is not."""
    uri = message.routes[0].uri if message.has("route") else message.uri
    meant = bool(token.place) and core.proxy.tokens.place(uri) == token.place
    return Target(bound=True, only=not meant)


def _at_node(request: Incoming, binding: Binding) -> Target | None:
    """Return the target that ``binding``, of any node, is for a request within a dialog."""
    core = request.core
    flow = over(core, binding)
    if flow is not None:
        return _over(flow)
    if core.nodes is None or not isinstance(binding.flow, NodeFlow):
        return None
    [led] = lead(core.nodes, request.message, [binding], [target_of(binding)])
    # RFC 3261 12.2.1.1: the Request-URI is the remote target, and stays.
    return Target(path=led.path, binding=binding) if led.path else None


def sender_of(core: Core, token: FlowToken, flow: Flow, now: float) -> str | None:
    """Return whose phone sends over ``flow`` where that is what ``token`` means, None where it is not.

    RFC 5626 5.3: an outgoing request. "" where the user is not known.
    """
    aor = "" if token.named is None else token.named[0]
    is_written = token.flow is not None and _is_same(token.flow, flow)
    if is_written and (flow.conn or not aor):
        return aor
    present = _present(core, token, now)
    if present is not None and present.flow is not None and _is_same(present.flow, flow):
        return aor
    return "" if is_written else None


def _is_same(one: Flow, other: Flow) -> bool:
    if one.listener != other.listener or one.conn != other.conn:
        return False
    return bool(one.conn) or (
        one.port == other.port
        and host_key(one.host.partition("%")[0]) == host_key(other.host.partition("%")[0])
    )
