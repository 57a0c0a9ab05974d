"""Contacts that a registrar must not bind, whatever the password: by Contact host, scheme, and Path.

Theory of operation: a binding makes this server send whatever callers send. So a
Contact must not lead back here (one INVITE would go round and fan out), nor to a
host that means something else on this machine than where the phone is (loopback, the
unspecified address), nor to many hosts at once (multicast, broadcast). RFC 3261 10.3
leaves that to the registrar's policy; 403 says so to the phone.

A phone behind a NAT is reached at its source, one behind an edge proxy by that, and both may
have the same private address in their own network as this server has here; so of those only
loopback and multicast addresses are refused. Removals are always admitted.

A Path puts hosts in front of the Contact (RFC 3327 5.3). Phones have none; edge
proxies do, and the operator knows those.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sansip.errors import RemoteProtocolError
from sansip.transport.nat import is_private
from sansip.wire import SipUri
from sansip.wire.host import ipv6_octets

if TYPE_CHECKING:
    from sansip.location import Binding, Source
    from sansip.registrar.config import OnFull, PathFrom
    from sansip.registrar.contact import ContactChange
    from sansip.wire import Request

__all__ = ["LeadsBack", "Terms", "check_contacts", "check_sips", "host_fault", "refuses_path"]

# Names this server, as host, port and transport of a URI.
LeadsBack = Callable[[str, "int | None", "str | None"], bool]

# RFC 3261 10.2.1 lets a phone use any scheme; the registrar takes those of its examples only: a caller that
# is redirected to a web page has not reached a user.
_SCHEMES: Final = frozenset(("sip", "sips", "tel", "mailto"))
_LOOPBACK: Final = re.compile(r"127(?:\.[0-9]+){3}|(?:.+\.)?localhost")
# RFC 6890: this network, multicast, reserved, broadcast.
_NOWHERE: Final = re.compile(r"(?:0|22[4-9]|2[3-5][0-9])(?:\.[0-9]+){3}")
_FIRST_NOWHERE: Final = "02"
_MAPPED: Final = bytes(10) + b"\xff\xff"


def _lives(_binding: Binding) -> bool:
    """The default: without knowledge of connections."""
    return False


@dataclass(slots=True)
class Terms:
    """The terms of one REGISTER: who sent it, as far as that matters, and how many contacts it may have.

    Attributes:
        leads_back: whether a host, port and transport name this server; None: not looked at,
            and neither are other hosts.
        local: it came from this machine, so its loopback addresses are ours.
        trusted: whether it is an edge proxy whose Path is believed.
        max_contacts, on_full: in place of those of ``RegistrarConfig``.
        is_dead: whether nothing leads to the phone of a binding any more.
    """

    leads_back: LeadsBack | None = None
    local: bool = False
    trusted: bool = True
    max_contacts: int | None = None
    on_full: OnFull | None = None
    is_dead: Callable[[Binding], bool] = _lives


def check_contacts(
    changes: Sequence[tuple[ContactChange, int]], terms: Terms, received: Source | None, path: bool
) -> None:
    """Raise RemoteProtocolError (403) for a contact to bind that must not be; nothing for removals.

    ``received``: the address at which the phone is reached in place of its Contact. ``path``: whether
    it is reached through an edge proxy.
    """
    for change, granted in changes:
        if not granted:
            continue
        uri = change.uri
        if not isinstance(uri, SipUri):
            if uri.scheme not in _SCHEMES:
                raise _refused("Scheme Not Served Here")
        elif terms.leads_back is not None:
            # An edge proxy may know a phone by a private address that is ours here.
            elsewhere = received is not None or (path and is_private(uri.host))
            leads_back = None if elsewhere else terms.leads_back
            _check_host(uri, uri.host, terms.local, leads_back)
            if "maddr" in uri.params:
                # RFC 3261 19.1.1: it is sent there, and not to the host.
                maddr = (uri.params["maddr"] or "").lower().strip("[]")
                _check_host(uri, maddr, terms.local, leads_back)


def _check_host(uri: SipUri, host: str, local: bool, leads_back: LeadsBack | None) -> None:
    fault = host_fault(host, uri.port, uri.transport, local, leads_back)
    if fault:
        raise _refused(fault)


def host_fault(
    host: str, port: int | None, transport: str | None, local: bool, leads_back: LeadsBack | None
) -> str:
    """Return why a contact must not lead to ``host``, or "".

    ``leads_back``: None where the phone is reached elsewhere. ``local``: it is on this machine.
    """
    host = _plain(host)
    if leads_back is not None and leads_back(host, port, transport):
        return "Address Leads Back Here"
    # The patterns are asked only about what begins as they do.
    if (host[:1] in _FIRST_NOWHERE and _NOWHERE.fullmatch(host) is not None) or (
        ":" in host and _is_nowhere(host)
    ):
        return "Not The Address Of A Phone"
    if not local and (
        host == "::1"
        or ((host[:4] == "127." or host.endswith("localhost")) and _LOOPBACK.fullmatch(host) is not None)
    ):
        return "Loopback Address From Elsewhere"
    return ""


def _plain(host: str) -> str:
    """Return ``host`` in the one spelling that is compared."""
    if ":" in host:
        octets = ipv6_octets(host)
        if octets is not None:
            # RFC 4291 2.5.5.2: an IPv4 address in IPv6 clothes; 2.5.3: the loopback address.
            if octets[:12] == _MAPPED:
                return ".".join(map(str, octets[12:]))
            if octets == bytes(15) + b"\1":
                return "::1"
        return host
    # RFC 1034 3.1: a name may end in a dot.
    return host.removesuffix(".")


def _is_nowhere(host: str) -> bool:
    """Whether an IPv6 address is unspecified or multicast (RFC 4291 2.5.2, 2.7)."""
    octets = ipv6_octets(host)
    return octets is not None and (octets[0] == 0xFF or octets == bytes(16))


def refuses_path(request: Request, terms: Terms, path_from: PathFrom) -> bool:
    """Whether ``request`` has a Path, and a sender that may not give one."""
    # RFC 3327 6: every call to the phone goes to the host in Path, so its writer gets them all.
    return not terms.trusted and path_from == "trusted" and request.has("path")


def check_sips(request: Request, changes: Sequence[tuple[ContactChange, int]], path: tuple[str, ...]) -> None:
    """Refuse a SIPS contact unless the Request-URI and every Path value are SIPS too.

    RFC 5630 5.2: or a secure resource would be reached over hops that are not.
    """
    for change, _ in changes:
        if change.uri.scheme == "sips":
            break
    else:
        return
    uris = [request.uri, *(value.uri for value in (request.paths if path else ()))]
    if not all(isinstance(uri, SipUri) and uri.scheme == "sips" for uri in uris):
        raise RemoteProtocolError(
            "SIPS Contact Needs SIPS Request-URI And Path", section="RFC 5630 5.2", field="Contact"
        )


def _refused(reason: str) -> RemoteProtocolError:
    return RemoteProtocolError(reason, status=403, section="RFC 3261 10.3", field="Contact")
