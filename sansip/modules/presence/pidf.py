"""Presence documents (RFC 3863, 4479, 4480): read, composed of several, written.

Theory of operation: a document is a list of parts: services (``tuple``), persons, devices, notes. Each part
is written by itself, with the namespaces that it needs. So composing, filtering and telling what changed are
operations on lists. Ids are unique in the composed document, and plain enough for a selector (RFC 5261).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from sansip.module.xml import Element, attribute, local_name, namespace, read_xml, text, write_xml
from sansip.modules.presence.plain import plain_parts

__all__ = [
    "DM",
    "PIDF",
    "RPID",
    "TYPE",
    "Part",
    "check_pidf",
    "closed",
    "compose",
    "on_the_phone",
    "opened",
    "parse_pidf",
    "parts_of",
    "sphere_of",
    "write_pidf",
]

TYPE: Final = "application/pidf+xml"
PIDF: Final = "urn:ietf:params:xml:ns:pidf"
DM: Final = "urn:ietf:params:xml:ns:pidf:data-model"
RPID: Final = "urn:ietf:params:xml:ns:pidf:rpid"
_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]{0,63}")
# Parts of one composed document: twenty devices of ten services.
_MOST_PARTS: Final = 256
_MOST_PERSONS: Final = 1
# Octets of the parts of one document, each written by itself: ``read_xml`` takes as many again.
_MOST_WRITTEN: Final = 65_536


class Part:
    """One element below ``presence``. ``kind``: ``tuple``, ``person``, ``device`` or ``note``.

    It is made of its element or of its octets, and does not change. Once written, its octets are kept: an
    element keeps its whole document (some kilobytes), and the few who look at it read it again.

    Attributes:
        place: the contact of a service, the deviceID of a device, "" for others and where there is none.
    """

    __slots__ = ("_element", "_octets", "id", "kind", "place")

    def __init__(
        self, kind: str, id: str, element: Element = None, octets: bytes = b"", place: str = ""
    ) -> None:
        self.kind = kind
        self.id = id
        self.place = place
        self._element = element
        self._octets = octets

    @property
    def element(self) -> Element:
        """The element."""
        return read_xml(self._octets) if self._element is None else self._element

    @property
    def written(self) -> bytes:
        """Its octets."""
        if self._element is not None:
            self._octets = write_xml(self._element)
            self._element = None
        return self._octets


def parse_pidf(body: bytes) -> list[Part]:
    """Return the parts of a presence document. Raises ``ValueError`` for one that is none."""
    plain = plain_parts(body)
    if plain is None:
        parts = _parts_by_lxml(body)
    else:
        parts = [Part(one.kind, one.id, None, one.octets, one.place) for one in plain]
    if len(parts) > _MOST_PARTS:
        raise ValueError("too many elements")
    octets = 0
    for part in parts:
        # Namespaces of the root are written with each part, and characters as entities.
        octets += len(part.written)
        if octets > _MOST_WRITTEN:
            raise ValueError("document too large when it is written")
    return parts


def check_pidf(resource: str, type: str, body: bytes) -> list[Part]:
    """As ``Publishing.check``."""
    return parse_pidf(body)


def _parts_by_lxml(body: bytes) -> list[Part]:
    root = read_xml(body)
    if root.tag != f"{{{PIDF}}}presence":
        raise ValueError("not a presence document")
    if not root.get("entity"):
        raise ValueError("presence without entity")
    return parts_of(root)


def parts_of(root: Element) -> list[Part]:
    """Return the parts below the root of a presence document. Raises ``ValueError``."""
    parts: list[Part] = []
    for element in root:
        space, name = namespace(element), local_name(element)
        if space == PIDF and name == "tuple":
            # RFC 3863 4.1.2: each has an id and a status.
            if not element.get("id"):
                raise ValueError("tuple without id")
            if element.find(f"{{{PIDF}}}status") is None:
                raise ValueError("tuple without status")
            contact = element.findtext(f"{{{PIDF}}}contact") or ""
            parts.append(Part("tuple", element.get("id"), element, place=contact))
        elif space == PIDF and name == "note":
            parts.append(Part("note", "", element))
        elif space == DM and name in ("person", "device"):
            device = element.findtext(f"{{{DM}}}deviceID") or "" if name == "device" else ""
            parts.append(Part(name, element.get("id") or name, element, place=device))
        # Other elements mean nothing here (RFC 3863 4.1.1: unless mustUnderstand says that they have to).
        elif element.get(f"{{{PIDF}}}mustUnderstand") in ("1", "true"):
            raise ValueError(f"{name} is not understood"[:60])
    return parts


def compose(documents: Iterable[list[Part]]) -> list[Part]:
    """Return one document made of several, the newest first (RFC 4479 3).

    Services of different publications stand side by side; of one service (id and contact) the newest counts.
    There is one person, the newest; of one device (deviceID) the newest counts.
    """
    documents = list(documents)
    if len(documents) == 1 and len(documents[0]) == 1:
        part = documents[0][0]
        if part.kind == "tuple" and _PLAIN.fullmatch(part.id):
            return [part]
    found: dict[str, list[Part]] = {"tuple": [], "note": [], "person": [], "device": []}
    seen: set[tuple[str, str]] = set()
    ids: set[str] = set()
    for number, document in enumerate(documents):
        for part in document:
            kind = part.kind
            if kind == "note":
                if number == 0:
                    # RFC 3863 4.1.6: a note of the whole document: the newest one's.
                    found["note"].append(part)
                continue
            key = (kind, _identity(part))
            if key in seen or (kind == "person" and len(found["person"]) >= _MOST_PERSONS):
                continue
            seen.add(key)
            if part.id in ids or not _PLAIN.fullmatch(part.id):
                part = _renamed(part, _free(ids, f"{kind}{number}"))
            ids.add(part.id)
            found[kind].append(part)
    parts = [*found["tuple"], *found["note"], *found["person"], *found["device"]]
    return parts[:_MOST_PARTS]


def _identity(part: Part) -> str:
    if part.kind == "tuple":
        return f"{part.id} {part.place}"
    return part.place or part.id


def _free(ids: set[str], wish: str) -> str:
    number = 0
    while f"{wish}-{number}" in ids:
        number += 1
    return f"{wish}-{number}"


def _renamed(part: Part, id: str) -> Part:
    element = read_xml(part.written)
    element.set("id", id)
    return Part(part.kind, id, element, place=part.place)


def write_pidf(entity: str, parts: Iterable[Part]) -> bytes:
    """Return a presence document."""
    head: bytes = _head(entity)
    return head + b"".join([part.written for part in parts]) + b"</presence>\n"


def _write_head(entity: str) -> bytes:
    head = f'<?xml version="1.0" encoding="UTF-8"?>\n<presence xmlns="{PIDF}" entity={attribute(entity)}>'
    return head.encode()


# Of the users whose state changed last.
_head: Final = lru_cache(1_024)(_write_head)


def sphere_of(parts: Iterable[Part]) -> str:
    """Return the sphere that the user is in (RFC 4480 3.10), "" where none is known."""
    for part in parts:
        if part.kind == "person":
            element = part.element.find(f"{{{RPID}}}sphere")
            if element is not None:
                return local_name(element[0]) if len(element) else (element.text or "").strip()
    return ""


def _tuple(id: str, basic: str, contact: str = "") -> Part:
    place = f"<contact>{text(contact)}</contact>" if contact else ""
    octets = (
        f'<tuple xmlns="{PIDF}" id="{id}"><status><basic>{basic}</basic></status>{place}</tuple>'.encode()
    )
    return Part("tuple", id, None, octets, contact)


def opened(contact: str) -> Part:
    """Return the service of a user who is registered and publishes nothing."""
    return _tuple("registered", "open", contact)


def closed() -> Part:
    """Return the service of a user if nothing is known, or nothing may be shown."""
    return _tuple("none", "closed")


def on_the_phone() -> Part:
    """Return a person in a call (RFC 4480 3.2)."""
    octets = (
        f'<dm:person xmlns:dm="{DM}" xmlns:rpid="{RPID}" id="call"><rpid:activities><rpid:on-the-phone/>'
        "</rpid:activities></dm:person>"
    ).encode()
    return Part("person", "call", None, octets)
