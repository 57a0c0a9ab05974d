"""Which flows our Record-Route values name, because nothing else leads back to a peer (RFC 5626 5.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sansip.errors import RemoteProtocolError
from sansip.location import Binding, key_of
from sansip.transport.flow import Flow
from sansip.transport.nat import is_hidden, is_private
from sansip.transport.transports import DATAGRAMS, DEFAULT_PORTS, ONE_WAY, UDP
from sansip.wire import SipUri
from sansip.wire.host import same_host

if TYPE_CHECKING:
    from sansip.proxy.proxy import Proxy
    from sansip.proxy.target import Target
    from sansip.transport import Connections, Listener
    from sansip.transport.flow_token import FlowTokens, Named
    from sansip.wire import OtherUri, Request, TelUri

__all__ = ["came_token", "goes_token", "hidden_token"]


def needs_token(
    connections: Connections,
    flow: Flow,
    contact: SipUri | TelUri | OtherUri | None,
    wanted: bool = False,
    hidden: bool = False,
) -> tuple[bool, bool]:
    """Return whether ``flow`` has to be named in Record-Route, and whether no other way will do.

    It has not where ``contact`` leads to the peer anyway.

    RFC 5626 5.2, RFC 7118 5: only who opened a connection to us may be out of
    reach otherwise. A peer whose Contact has ``ob`` wants its flow used (so does one
    that ``wanted`` speaks for), whatever the transport, and no other way (5.3.1, 5.3.2).
    """
    wanted = wanted or (isinstance(contact, SipUri) and "ob" in contact.params)
    if not flow.reliable:
        # Datagrams to a phone behind a NAT (``hidden``): its Contact is an address that
        # it has at home.
        return wanted or hidden, wanted
    connection = connections.get(flow.conn)
    if connection is None or not connection.incoming:
        return False, wanted
    peer = connection.flow
    direct = (
        not wanted
        and peer.transport not in ONE_WAY
        and isinstance(contact, SipUri)
        and same_host(contact.host, peer.host)
        and (contact.port or DEFAULT_PORTS.get(peer.transport)) == peer.port
    )
    return not direct, wanted


def came_token(proxy: Proxy, request: Request, flow: Flow, wanted: bool = False) -> str:
    """Return the flow token of where ``request`` came from, or "". ``wanted`` as by an ``ob``."""
    line = request.first_line("contact")
    if line is None:
        return ""
    hidden = not flow.conn and is_hidden(request, flow)
    if not (flow.conn or wanted or hidden or ";ob" in line.lower()):
        return ""
    contact = None
    try:
        contacts = request.contacts
    except RemoteProtocolError:
        contacts = []
    if isinstance(contacts, list) and contacts:
        contact = contacts[0].uri
    needed, only = needs_token(proxy.sender.connections, flow, contact, wanted, hidden)
    if not needed:
        return ""
    # Where it is reached once the flow is gone: the proxy before us, or the peer itself.
    back = contact
    if not only and "record-route" in request.keys:
        try:
            back = request.record_routes[0].uri
        except RemoteProtocolError:
            back = None
    return proxy.tokens.for_dialog(
        flow,
        request.call_id,
        request.from_tag,
        only=only,
        named=proxy.named(request, flow),
        place=b"" if only else _place(proxy.tokens, back, flow),
    )


def goes_token(
    proxy: Proxy,
    copy: Request,
    target: Target,
    alive: Flow | None,
    listener: Listener,
    uri: SipUri | TelUri | OtherUri | None = None,
) -> str:
    """Return the flow token of where ``copy`` goes by ``listener`` (over ``alive``, if given), or "".

    ``uri`` will be its Request-URI; None: it has it already.
    """
    flow = alive
    if flow is None:
        if target.address is None or listener.transport not in DATAGRAMS or "route" in copy.keys:
            return ""
        # Registered from behind a NAT.
        flow = Flow(UDP, listener.id, target.address)
    hidden = target.address is not None or target.bound
    needed, only = needs_token(proxy.sender.connections, flow, target.uri, target.only, hidden)
    if not needed:
        return ""
    binding = target.binding
    on = copy.routes[0].uri if "route" in copy.keys else (uri or copy.uri)
    return proxy.tokens.for_dialog(
        flow,
        copy.call_id,
        copy.from_tag,
        only=only,
        named=(binding.aor, key_of(binding)) if isinstance(binding, Binding) else None,
        place=b"" if only else _place(proxy.tokens, on, flow),
    )


def hidden_token(
    tokens: FlowTokens,
    flow: Flow,
    dialog: tuple[str, str],
    named: Named | None,
    contact: SipUri | TelUri | OtherUri,
) -> str:
    """Return the token of ``flow``, of a phone behind a NAT that does not ask for its flow.

    ``dialog``: Call-ID and From tag. ``named``: its binding. ``contact``: where it says that it is.
    """
    place = _place(tokens, contact, flow)
    return tokens.for_dialog(flow, *dialog, only=False, named=named, place=place)


def _place(tokens: FlowTokens, uri: SipUri | TelUri | OtherUri | None, flow: Flow) -> bytes:
    """Return the octets for ``uri`` in a token of ``flow``, b"" where ``uri`` leads nowhere from here."""
    if not isinstance(uri, SipUri) or uri.transport in ONE_WAY or uri.host.endswith(".invalid"):
        return b""
    # This node cannot connect to a phone behind a NAT.
    hidden = is_private(uri.host) and not is_private(flow.host)
    return b"" if hidden else tokens.place(uri)
