"""The lists of a user (RFC 4826): services with their members.

Theory of operation: a service has a URI, the packages that it is for, and a list: its own, or one of the
user's ``resource-lists`` by name. Lists in lists, and services that name other services of the user, are
taken into the list that names them, each once, so a circle ends.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote

from sansip.errors import RemoteProtocolError
from sansip.location.aor import address_of_record
from sansip.module.xml import Element, attribute, local_name, namespace, read_xml, text
from sansip.wire import SipUri, parse_uri

__all__ = [
    "Member",
    "Service",
    "members_of",
    "parse_contained",
    "parse_lists",
    "parse_services",
    "write_contained",
]

LISTS: Final = "urn:ietf:params:xml:ns:resource-lists"
SERVICES: Final = "urn:ietf:params:xml:ns:rls-services"
# The end of the URI of a list: the node selector of its name (RFC 4826 4.1).
_NAMED: Final = re.compile(r"list\[@name=(?:\"([^\"]{1,100})\"|'([^']{1,100})')\]$")
_MOST_SERVICES: Final = 50
_MOST_ENTRIES: Final = 2_000


@dataclass(frozen=True, slots=True)
class Member:
    """One entry: its URI as an address-of-record, and its name."""

    uri: str
    name: str = ""


@dataclass(slots=True)
class Service:
    """One service. ``members``: its own list; ``named``: one of ``resource-lists``; no ``packages``: all."""

    uri: str
    packages: frozenset[str] = frozenset()
    members: list[Member] = field(default_factory=list)
    named: str = ""


def _user(text: str | None) -> str:
    try:
        uri = parse_uri((text or "").strip())
    except RemoteProtocolError:
        raise ValueError("an entry is no URI") from None
    return address_of_record(uri) if isinstance(uri, SipUri) else str(uri)


def parse_services(body: bytes) -> dict[str, Service]:
    """Return the services of a document by URI. Raises ``ValueError`` for one that is none."""
    root = read_xml(body)
    if root.tag != f"{{{SERVICES}}}rls-services":
        raise ValueError("not an rls-services document")
    found: dict[str, Service] = {}
    for element in root:
        if element.tag != f"{{{SERVICES}}}service":
            continue
        service = Service(_user(element.get("uri")))
        for part in element:
            name = local_name(part)
            if name == "packages":
                service.packages = frozenset((one.text or "").strip() for one in part)
            elif name == "list":
                service.members = _entries(part, [], {})
            elif name == "resource-list":
                # RFC 4826 4.1: the URI is percent-encoded.
                match = _NAMED.search(unquote((part.text or "").strip()))
                service.named = (match[1] or match[2]) if match is not None else ""
        # RFC 4826 4.4.5: a URI has one service.
        if service.uri in found or len(found) >= _MOST_SERVICES:
            raise ValueError("a service twice, or too many services")
        found[service.uri] = service
    return found


def parse_lists(body: bytes) -> dict[str, list[Member]]:
    """Return the lists of a ``resource-lists`` document by name. Raises ``ValueError``."""
    root = read_xml(body)
    if root.tag != f"{{{LISTS}}}resource-lists":
        raise ValueError("not a resource-lists document")
    found: dict[str, list[Member]] = {}
    _entries(root, [], found)
    return {name: list(_once(members).values()) for name, members in found.items()}


def parse_contained(body: bytes) -> list[Member]:
    """Return the entries of the list in a SUBSCRIBE (RFC 5367 4), each once. Raises ``ValueError``.

    Lists in lists are taken into it; references to other documents are left out.
    """
    root = read_xml(body)
    if root.tag != f"{{{LISTS}}}resource-lists":
        raise ValueError("not a resource-lists document")
    return list(_once(_entries(root, [], {})).values())


def write_contained(members: Iterable[Member]) -> bytes:
    """Return a document with these entries, as ``parse_contained`` reads it."""
    entries = "".join(
        f"<entry uri={attribute(one.uri)}><display-name>{text(one.name)}</display-name></entry>"
        if one.name
        else f"<entry uri={attribute(one.uri)}/>"
        for one in members
    )
    return f'<resource-lists xmlns="{LISTS}"><list>{entries}</list></resource-lists>'.encode()


def _once(members: Iterable[Member]) -> dict[str, Member]:
    """Return ``members`` by URI, each the first of its URI."""
    found: dict[str, Member] = {}
    for one in members:
        found.setdefault(one.uri, one)
    return found


def _entries(element: Element, found: list[Member], lists: dict[str, list[Member]]) -> list[Member]:
    """Append the entries below ``element`` to ``found``, each read once; ``lists`` gets those with a name."""
    for one in element:
        if namespace(one) != LISTS:
            continue
        if local_name(one) == "entry":
            found.append(
                Member(_user(one.get("uri")), (one.findtext(f"{{{LISTS}}}display-name") or "").strip())
            )
        elif local_name(one) == "list":
            name, begin = one.get("name") or "", len(found)
            # Of two lists with one name the outer one, and then the first one, is meant.
            is_first = bool(name) and name not in lists
            if is_first:
                lists[name] = []
            _entries(one, found, lists)
            if is_first:
                lists[name] = found[begin:]
        if len(found) > _MOST_ENTRIES:
            raise ValueError("too many entries")
    return found


def members_of(
    service: Service, services: dict[str, Service], lists: dict[str, list[Member]], most: int
) -> list[Member]:
    """Return the members of ``service`` and of services that it names, each once, at most ``most``."""
    found: dict[str, Member] = {}
    seen = {service.uri}
    waiting = deque([service])
    while waiting and len(found) < most:
        one = waiting.popleft()
        for member in (*one.members, *lists.get(one.named, ())):
            if member.uri in services:
                # Each service once, however often it is named: users write circles.
                if member.uri not in seen:
                    seen.add(member.uri)
                    waiting.append(services[member.uri])
            elif len(found) < most:
                found.setdefault(member.uri, member)
    return list(found.values())
