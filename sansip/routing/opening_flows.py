"""Phones behind a NAT, in an INVITE that leaves as octets: the flow tokens of its two sides.

Theory of operation: nothing but the flow leads back to a phone behind a NAT, so our Record-Route values name
it (``proxy.flow_tokens``). Here the tokens are made of what was read in brief, and are those that the long
way makes. A phone that asks for its flow by ``ob``, or has a connection, is for the long way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sansip.location import key_of
from sansip.proxy.flow_tokens import hidden_token
from sansip.routing.flows import binding_at
from sansip.transport.flow import Flow
from sansip.transport.nat import is_hidden_at, names_source, shows_nat_at
from sansip.transport.transports import DEFAULT_PORT, DEFAULT_PORTS, UDP
from sansip.wire import SipUri
from sansip.wire.headers.name_addr import parse_name_addr

if TYPE_CHECKING:
    from sansip.location import Binding
    from sansip.routing.core import Core
    from sansip.wire.opening import Opening

__all__ = ["callers_token", "contact_in", "hidden_contact", "phones_token", "shows_nat", "token_size"]


def hidden_contact(opening: Opening, flow: Flow) -> SipUri | None:
    """Return the Contact of a caller that is behind a NAT, None of one that is not (``nat.is_hidden``)."""
    sent_by = opening.sent_host, opening.sent_port
    if names_source(sent_by, opening.rport, opening.contact, flow):
        return None
    uri, place = _contact(opening.contact, flow)
    return uri if is_hidden_at(sent_by, opening.rport, place, flow, opening.body) else None


def shows_nat(opening: Opening, flow: Flow) -> bool:
    """Whether a NAT shows in front of the caller, beside its media (``IncomingRequest.behind_nat``)."""
    sent_by = opening.sent_host, opening.sent_port
    return shows_nat_at(sent_by, opening.rport, _contact(opening.contact, flow)[1], flow)


def contact_in(line: str) -> SipUri:
    """Return the URI in the line Contact of an ``Opening``."""
    uri = parse_name_addr(line.partition(":")[2].strip(), "Contact", "RFC 3261 20.10").uri
    assert isinstance(uri, SipUri)
    return uri


def _contact(line: str, flow: Flow) -> tuple[SipUri, tuple[str, int]]:
    """Return the URI in the line Contact of an ``Opening``, and host and port of it."""
    uri = contact_in(line)
    return uri, (uri.host, uri.port or DEFAULT_PORTS.get(uri.transport or flow.transport, DEFAULT_PORT))


def callers_token(core: Core, opening: Opening, flow: Flow, contact: SipUri) -> str:
    """Return the token of ``flow``, which the INVITE came by from the phone that is at ``contact``."""
    sender = parse_name_addr(opening.from_.partition(":")[2].strip(), "From", "RFC 3261 20.20").uri
    dialog = opening.call_id, opening.from_tag
    return hidden_token(core.proxy.tokens, flow, dialog, binding_at(core, sender, flow), contact)


def phones_token(core: Core, opening: Opening, binding: Binding, listener: int) -> str:
    """Return the token of the phone of ``binding``, behind a NAT; the INVITE leaves by ``listener``."""
    received = binding.received
    assert received is not None
    flow = Flow(UDP, listener, received.address)
    dialog = opening.call_id, opening.from_tag
    return hidden_token(core.proxy.tokens, flow, dialog, (binding.aor, key_of(binding)), binding.uri)


def token_size(aor: str) -> int:
    """Return the most octets that a token has which names a binding of ``aor``."""
    return 100 + 4 * len(aor) // 3
