"""Connections in calls that pass as octets: the way to a phone on one, and back to a caller on one.

Theory of operation: a phone is reached over the connection that it registered over, while that lives, or by
one to the address in its Contact (RFC 3261 18.1.1). Only its connection leads back to a peer whose Contact is
not where it connected from, so our Record-Route values name it (``proxy.flow_tokens``). The rules are
those of ``proxy.direct`` and ``flow_tokens`` on the long way, applied to what was read in brief; whatever is
not plain is for the long way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sansip.errors import RemoteProtocolError
from sansip.location import key_of
from sansip.proxy.copying import as_request_uri
from sansip.proxy.flow_tokens import hidden_token, needs_token
from sansip.routing.flows import binding_by
from sansip.routing.opening_flows import contact_in
from sansip.transport.flow import Flow
from sansip.transport.next_hop import next_hop
from sansip.transport.transports import DEFAULT_PORT, DEFAULT_PORTS, ONE_WAY, UDP
from sansip.wire import SipUri
from sansip.wire.headers.name_addr import parse_name_addr
from sansip.wire.uri import parse_uri

if TYPE_CHECKING:
    from sansip.location import Binding
    from sansip.routing.core import Core
    from sansip.transport import Listener
    from sansip.wire.opening import Opening

__all__ = [
    "StreamWay",
    "StreamWays",
    "callers_stream_token",
    "hop_of",
    "phones_stream_token",
    "way_back",
]

# The most Contacts and URIs that are remembered of each kind, and the longest of them.
_KEPT: Final = 4_096
_LONGEST: Final = 200


class StreamWay:
    """The way to a phone by a connection.

    Attributes:
        uri: its Contact.
        text: the Request-URI that it gets.
        flow: what it goes over.
        leaves: the listener that it goes by.
        named: whether our Record-Route value has to name the flow.
    """

    __slots__ = ("flow", "leaves", "named", "text", "uri")

    def __init__(self, uri: SipUri, text: str, flow: Flow, leaves: Listener, named: bool) -> None:
        self.uri = uri
        self.text = text
        self.flow = flow
        self.leaves = leaves
        self.named = named


class StreamWays:
    """The ways by connections to the phones of one stack.

    What a text says never changes, and phones send the same again and again, so it is remembered.
    """

    __slots__ = ("_asked", "_contacts", "_core", "_places")

    def __init__(self, core: Core) -> None:
        self._core = core
        # Contact -> its URI, and the Request-URI that it becomes; None where more is to be looked at.
        self._asked: dict[str, tuple[SipUri, str] | None] = {}
        # Line of a caller's Contact -> its URI.
        self._contacts: dict[str, SipUri] = {}
        # URI -> what ``_place_in`` says of it.
        self._places: dict[str, tuple[str, str, int] | None] = {}

    def of(self, binding: Binding, near: int) -> StreamWay | None:
        """Return the way to the phone of ``binding``, None where it is not plain, or none by a connection.

        ``near``: the listener that the request came by.
        """
        core = self._core
        proxy = core.proxy
        if binding.path or binding.reg_id is not None or core.nodes is not None or core.siblings is not None:
            return None
        asked = self._asked_of(binding)
        if asked is None:
            return None
        uri, text = asked
        listeners = proxy.listeners
        held = binding.flow
        if isinstance(held, Flow):
            if not (held.conn and proxy.client.is_alive(held)):
                return None
            named, only = needs_token(proxy.sender.connections, held, uri)
            return None if only else StreamWay(uri, text, held, listeners[held.listener], named)
        if binding.received is not None:
            return None
        flow = self.hop(text, held if isinstance(held, int) else near)
        if flow is None:
            return None
        guarded = proxy.client.guarded
        if guarded.active and guarded.bars(*flow.address[:2]) is not None:
            return None
        return StreamWay(uri, text, flow, listeners[flow.listener], False)

    def hop(self, text: str, near: int) -> Flow | None:
        """Return the flow to the address in the URI ``text``, as ``hop_of``."""
        known = self._places
        if text in known:
            place = known[text]
        else:
            uri = parse_uri(text)
            place = _place_in(uri) if isinstance(uri, SipUri) else None
            if len(text) <= _LONGEST:
                if len(known) >= _KEPT:
                    known.clear()
                known[text] = place
        return None if place is None else _over(self._core, place, near)

    def callers_contact(self, line: str, flow: Flow) -> SipUri | None:
        """Return the URI in a caller's Contact where only its connection leads back, None elsewhere."""
        connections = self._core.proxy.sender.connections
        connection = connections.get(flow.conn)
        if connection is None or not connection.incoming:
            return None
        known = self._contacts
        uri = known.get(line)
        if uri is None:
            uri = contact_in(line)
            if len(line) <= _LONGEST:
                if len(known) >= _KEPT:
                    known.clear()
                known[line] = uri
        return uri if needs_token(connections, flow, uri)[0] else None

    def _asked_of(self, binding: Binding) -> tuple[SipUri, str] | None:
        contact = binding.contact
        known = self._asked
        if contact in known:
            return known[contact]
        asked = None
        try:
            uri = binding.uri
            if isinstance(uri, SipUri) and uri.scheme == "sip":
                # As ``direct_way``.
                asked = uri, str(as_request_uri(uri))
        except RemoteProtocolError:
            pass
        if len(contact) <= _LONGEST:
            if len(known) >= _KEPT:
                known.clear()
            known[contact] = asked
        return asked


def hop_of(core: Core, uri: SipUri, near: int) -> Flow | None:
    """Return the flow to the address in ``uri``, a sip URI that chooses a connection; None for any other.

    RFC 3263 4.1. ``near``: the listener to send from, if that fits.
    """
    place = _place_in(uri)
    return None if place is None else _over(core, place, near)


def _place_in(uri: SipUri) -> tuple[str, str, int] | None:
    """Return transport, host and port of ``uri`` where it chooses a connection to an address."""
    if "maddr" in uri.params:
        return None
    try:
        hop = next_hop(uri)
    except RemoteProtocolError:
        return None
    if not hop.numeric or hop.transport == UDP or hop.transport in ONE_WAY or ":" in hop.host:
        return None
    return hop.transport, hop.host, hop.port


def _over(core: Core, place: tuple[str, str, int], near: int) -> Flow | None:
    transport, host, port = place
    listener = core.proxy.listeners.reach(transport, host, near)
    return None if listener is None else Flow(transport, listener.id, (host, port))


def callers_stream_token(core: Core, opening: Opening, flow: Flow, contact: SipUri) -> str:
    """Return the token of ``flow``, a connection, which the INVITE came by from the phone at ``contact``."""

    def sender() -> SipUri:
        line = opening.from_.partition(":")[2].strip()
        return parse_name_addr(line, "From", "RFC 3261 20.20").uri  # type: ignore[return-value]  # as it was read

    dialog = opening.call_id, opening.from_tag
    return hidden_token(core.proxy.tokens, flow, dialog, binding_by(core, sender, flow), contact)


def phones_stream_token(core: Core, opening: Opening, binding: Binding, way: StreamWay) -> str:
    """Return the token of the phone of ``binding``, which ``way`` leads to."""
    dialog = opening.call_id, opening.from_tag
    named = binding.aor, key_of(binding)
    return hidden_token(core.proxy.tokens, way.flow, dialog, named, way.uri)


def way_back(flow: Flow, sent_port: int | None) -> Flow:
    """Return where answers to a request go that came by ``flow``; its top Via names ``sent_port``.

    RFC 3261 18.2.2: over the same connection; should it be gone, over one to the source at that port.
    """
    if not flow.conn:
        return flow
    port = sent_port or DEFAULT_PORTS.get(flow.transport, DEFAULT_PORT)
    address = flow.address
    back = Flow(flow.transport, flow.listener, (address[0], port, *address[2:]), flow.conn)
    back.peer = flow.peer
    return back
