"""Flows as other nodes know them.

Theory of operation: a binding's flow belongs to one node. In the shared location it has a
name that others can use: the node, and a token with which that node sends over the
flow (RFC 5626 5.3). ``outward`` gives it that name, ``inward`` finds this node's own
flows again by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sansip.errors import RemoteProtocolError
from sansip.location import Binding, ConnectionFlow, NodeFlow, SharedRecord, key_of
from sansip.transport import Flow
from sansip.transport.transports import DATAGRAMS, UDP
from sansip.wire import SipUri, parse_uri
from sansip.wire.host import same_host

if TYPE_CHECKING:
    from collections.abc import Hashable

    from sansip.routing.core import Core

__all__ = ["inward", "inward_record", "outward"]


def outward(core: Core, binding: Binding) -> Binding:
    """Return ``binding`` as other nodes shall read it."""
    flow = binding.flow
    nodes = core.nodes
    if nodes is None:
        # Workers of one server have its listeners, and the connections of each other.
        if not isinstance(flow, Flow):
            return binding
        name = ConnectionFlow(flow.conn, flow.transport, flow.listener, (flow.host, flow.port))
        return _with(binding, name)
    me = nodes.me
    if isinstance(flow, Flow):
        uri = _uri(binding.contact)
        # RFC 5626 7: a phone that named a flow is reached over it, and not at its Contact.
        direct = uri is not None and same_host(uri.host, flow.host) and binding.reg_id is None
        # RFC 5626 5.3.1: where the Contact may lead to the phone, too, its node tries that.
        token = _token(core, binding, flow, only=not direct)
        named = NodeFlow(me.name, me.life, flow.transport, flow.listener, flow.conn, token, direct)
    elif isinstance(flow, int):
        source = binding.received
        token = "" if source is None else _token(core, binding, Flow(UDP, flow, source.address))
        named = NodeFlow(me.name, me.life, UDP, flow, 0, token, not token)
    else:
        # Another node's, or one that came by another proxy and has its Path.
        return binding
    return _with(binding, named)


def _with(binding: Binding, flow: Hashable) -> Binding:
    """Return ``binding`` with another flow."""
    return Binding(
        binding.aor,
        binding.contact,
        binding.expires_at,
        binding.call_id,
        binding.cseq,
        binding.q,
        binding.registered_at,
        binding.refreshed_at,
        binding.path,
        binding.instance,
        binding.reg_id,
        binding.params,
        flow,
        binding.received,
        binding.user_agent,
    )


def _token(core: Core, binding: Binding, flow: Flow, *, only: bool = True) -> str:
    """Return the token with which other nodes name ``flow``, as long as ``binding`` is registered."""
    tokens = core.proxy.tokens
    return tokens.for_path(
        flow,
        core.wall.unix(binding.expires_at),
        only=only,
        named=(binding.aor, key_of(binding)),
        place=b"" if only else tokens.place(_uri(binding.contact)),
    )


def inward(core: Core, binding: Binding) -> Binding:
    """Return ``binding`` as this node works with it: its own flows are flows."""
    flow = binding.flow
    nodes = core.nodes
    if isinstance(flow, ConnectionFlow):
        connection = core.proxy.sender.connections.get(flow.conn)
        # One that is gone is as one of a former life.
        return _with(binding, None if connection is None else connection.flow)
    if nodes is None:
        return binding
    if not isinstance(flow, NodeFlow) or nodes.get(flow.node, flow.life) is not nodes.me:
        return binding
    if not flow.conn:
        # A datagram's socket is there again after a restart.
        if any(one.id == flow.listener and one.transport in DATAGRAMS for one in core.listeners):
            return _with(binding, flow.listener)
        return _with(binding, None)
    if flow.life == nodes.me.life:
        connection = core.proxy.sender.connections.get(flow.conn)
        if connection is not None:
            return _with(binding, connection.flow)
    return binding


def inward_record(core: Core, record: SharedRecord) -> SharedRecord:
    """Return ``record`` with its bindings as this node works with them."""
    return SharedRecord(record.version, tuple(inward(core, one) for one in record.bindings))


def _uri(text: str) -> SipUri | None:
    """Return the SIP URI that ``text`` is, or None."""
    try:
        uri = parse_uri(text)
    except RemoteProtocolError:
        return None
    return uri if isinstance(uri, SipUri) else None
