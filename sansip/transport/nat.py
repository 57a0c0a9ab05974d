"""Whether a phone is behind a NAT: compares the addresses in its request with the source of the request.

Theory of operation: a NAT changes the packet and not what is in it. So a phone that names an address or port
other than the packet's source is behind a NAT, or has several addresses. In both cases it receives packets
sent back to the source, and perhaps no others. Each such difference is a *sign*. (An application layer
gateway rewrites some of them and forgets others, which is why several are looked at.)

    sign        what is looked at                              nat_uac_test in Kamailio
    "contact"   Contact is a private address, not the source   1, 128
    "via"       sent-by is an address other than the source    2, 4
    "port"      sent-by has another port, and rport was asked  16
    "sdp"       the media address is private, not the source   8, 256

A different port alone is no sign: a phone may send from another port than it
listens on, if it does not ask for symmetric responses (RFC 3581 4).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sansip.errors import RemoteProtocolError
from sansip.transport.transports import DEFAULT_PORT, DEFAULT_PORTS
from sansip.wire import SipUri
from sansip.wire.host import is_address, plain_host, same_host

if TYPE_CHECKING:
    from sansip.transport.flow import Flow
    from sansip.wire import Request

__all__ = [
    "has_private_media",
    "is_hidden",
    "is_hidden_at",
    "is_private",
    "names_source",
    "nat_signs",
    "reply_to_source",
    "shows_nat_at",
]

# Addresses that lead nowhere from the outside: RFC 1918, RFC 6598, RFC 7335 (192.0.0.0/24),
# link-local (RFC 3927, RFC 4291 2.5.6), unique local (RFC 4193), loopback, unspecified.
_PRIVATE: Final = re.compile(
    r"(?:10|127|0|192\.168|192\.0\.0|169\.254|172\.(?:1[6-9]|2[0-9]|3[01])"
    r"|100\.(?:6[4-9]|[7-9][0-9]|1[01][0-9]|12[0-7]))\.[0-9.]+"
    r"|f[cd][0-9a-f]{2}:.*|fe[89ab][0-9a-f]:.*|::1?"
)
# RFC 8866 5.7: the first connection address of a session description.
_MEDIA: Final = re.compile(rb"^c=IN IP[46] ([0-9A-Fa-f.:]+)", re.MULTILINE)


def is_private(host: str) -> bool:
    """Return whether ``host`` (lower case, no brackets) is an address of a private network."""
    return _PRIVATE.fullmatch(plain_host(host) if ":" in host else host) is not None


def _is_source(host: str, port: int, flow: Flow) -> bool:
    """Return whether ``host`` and ``port`` are the peer of ``flow``."""
    return port == flow.port and _same(host, flow)


def _same(host: str, flow: Flow) -> bool:
    # RFC 4007 11.2: no peer writes our name for the zone.
    return same_host(host, flow.host.partition("%")[0])


def reply_to_source(sent_by: str, when: str) -> bool:
    """Return whether a request without rport is answered as if it had one.

    ``sent_by`` is an address that differs from the source, ``when`` is
    ``NatConfig.force_rport``. RFC 3261 18.2.2 would have the port of sent-by: where
    that is a private address, so is its port, and the answer lost.
    """
    return when == "always" or (when == "private" and is_private(sent_by))


def nat_signs(request: Request, flow: Flow) -> tuple[str, ...]:
    """Return the signs (see above) that the sender of ``request`` over ``flow`` is behind a NAT.

    ``request`` is as it arrived, but for ``received`` and ``rport``. Contact and media count only if the
    request came directly: behind another proxy they say nothing about this flow.
    """
    signs: list[str] = []
    via = request.via
    first_hop = request.keys.count("via") == 1 and "," not in (request.first_line("via") or "")
    if first_hop and "contact" in request.keys:
        contact = _contact_address(request, flow)
        if contact is not None and is_private(contact[0]) and not _is_source(*contact, flow):
            signs.append("contact")
    if is_address(via.host) and not _same(via.host, flow):
        signs.append("via")
    if not flow.reliable and via.wants_rport and (via.port or DEFAULT_PORT) != flow.port:
        signs.append("port")
    if first_hop and request.body and has_private_media(request.body, flow):
        signs.append("sdp")
    return tuple(signs)


def has_private_media(body: bytes, flow: Flow) -> bool:
    """Return whether the session description ``body``, which came over ``flow``, shows the sign "sdp"."""
    media = _MEDIA.search(body) if b"c=IN IP" in body else None
    if media is None:
        return False
    host = media[1].decode("ascii").lower()
    # RFC 3264 8.4: 0.0.0.0 puts a call on hold.
    return is_private(host) and not _same(host, flow) and host != "0.0.0.0"


def names_source(sent_by: tuple[str, int | None], wants_rport: bool, line: str, flow: Flow) -> bool:
    """Return whether sent-by and ``line``, of Contact, name the source, as in nearly every request.

    It is a first look: after it ``is_hidden`` and its short forms look no further.
    """
    return (
        sent_by[0] == flow.host
        and (not wants_rport or (sent_by[1] or DEFAULT_PORT) == flow.port)
        and flow.named_in(line)
    )


def is_hidden_at(
    sent_by: tuple[str, int | None],
    wants_rport: bool,
    contact: tuple[str, int],
    flow: Flow,
    body: bytes = b"",
) -> bool:
    """Do as ``is_hidden`` for a request with one Via, of which these values were read.

    ``contact``: host and port of its only Contact, a sip URI. It does not look as ``names_source`` says.
    """
    if _is_source(*contact, flow):
        return False
    signs = _shows_in_via(*sent_by, wants_rport, flow) or (bool(body) and has_private_media(body, flow))
    if is_private(contact[0]):
        return signs or not is_private(flow.host)
    return signs and same_host(contact[0], sent_by[0])


def shows_nat_at(
    sent_by: tuple[str, int | None], wants_rport: bool, contact: tuple[str, int], flow: Flow
) -> bool:
    """Return whether such a request has a sign other than "sdp"; arguments as of ``is_hidden_at``."""
    return _shows_in_via(*sent_by, wants_rport, flow) or (
        is_private(contact[0]) and not _is_source(*contact, flow)
    )


def _shows_in_via(host: str, port: int | None, wants_rport: bool, flow: Flow) -> bool:
    """Return whether sent-by ``host`` and ``port`` are the sign "via" or "port"."""
    return (is_address(host) and not _same(host, flow)) or (
        wants_rport and not flow.reliable and (port or DEFAULT_PORT) != flow.port
    )


def _contact_address(request: Request, flow: Flow) -> tuple[str, int] | None:
    """Return host and port of the first Contact, where it is a SIP URI and can be read."""
    try:
        contacts = request.contacts
    except RemoteProtocolError:
        return None
    if not isinstance(contacts, list) or not contacts:
        return None
    uri = contacts[0].uri
    if not isinstance(uri, SipUri):
        return None
    return uri.host, uri.port or DEFAULT_PORTS.get(uri.transport or flow.transport, DEFAULT_PORT)


def is_hidden(request: Request, flow: Flow) -> bool:
    """Return whether the Contact of ``request`` leads nowhere, but its source does.

    This holds if a NAT shows, and the Contact is a private address or a sent-by that is not the source. A
    phone that registers another host's address intends it: its Via is true, and from a private network
    private addresses can be reached.
    """
    line = request.first_line("contact")
    if line is None:
        return False
    host, port = flow.address[:2]
    sent_by = f" [{host}]:{port};" if ":" in host else f" {host}:{port};"
    if sent_by in (request.first_line("via") or "") and flow.named_in(line):
        # Nearly every request, and the Via need not be taken apart.
        return False
    via = request.via
    if names_source((via.host, via.port), via.wants_rport, line, flow):
        return False
    signs = nat_signs(request, flow)
    if "contact" in signs:
        return len(signs) > 1 or not is_private(host)
    if not signs or request.keys.count("via") > 1:
        return False
    contact = _contact_address(request, flow)
    return contact is not None and same_host(contact[0], via.host) and not _is_source(*contact, flow)
