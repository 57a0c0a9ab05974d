"""What rules leave of a presence document (RFC 5025 3.3)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from sansip.module.xml import Element, local_name, namespace, read_xml
from sansip.modules.presence.pidf import DM, PIDF, RPID, Part
from sansip.modules.presence.rules import ALL, EVERYTHING

if TYPE_CHECKING:
    from sansip.modules.presence.rules import Shows

__all__ = ["shown"]

# RFC 5025 3.3.2: always there.
_ALWAYS: Final = {
    "tuple": {"status", "contact", "timestamp", "service-class"},
    "person": {"timestamp"},
    "device": {"timestamp", "deviceID"},
}
# Elements that a permission of their own name governs (RFC 5025 3.3.2.1 to 3.3.2.13).
_NAMED: Final = frozenset(
    (
        "activities", "class", "deviceID", "mood", "place-is", "place-type", "privacy", "relationship",
        "sphere", "status-icon", "time-offset", "note",
    )
)  # fmt: skip


def shown(parts: Iterable[Part], shows: Shows) -> list[Part]:
    """Return what a watcher sees of ``parts``."""
    if shows == EVERYTHING:
        return list(parts)
    found: list[Part] = []
    for part in parts:
        if part.kind == "note":
            # RFC 5025 knows no permission for notes of the whole document: that for notes is the nearest.
            if ALL in shows.attributes or "note" in shows.attributes:
                found.append(part)
        elif _is_provided(part, shows):
            found.append(_stripped(part, shows))
    return found


def _is_provided(part: Part, shows: Shows) -> bool:
    wanted = {"tuple": shows.services, "person": shows.persons, "device": shows.devices}[part.kind]
    if (ALL, "") in wanted:
        return True
    if not wanted:
        return False
    element = part.element
    has = {("occurrence-id", element.get("id") or "")}
    has |= {("class", (one.text or "").strip()) for one in element.findall(f"{{{RPID}}}class")}
    if part.kind == "device":
        has.add(("deviceID", (element.findtext(f"{{{DM}}}deviceID") or "").strip()))
    if part.kind == "tuple":
        contact = (element.findtext(f"{{{PIDF}}}contact") or "").strip()
        if contact:
            has |= {("service-uri", contact), ("service-uri-scheme", contact.partition(":")[0])}
    return not has.isdisjoint(wanted)


def _stripped(part: Part, shows: Shows) -> Part:
    if ALL in shows.attributes:
        return part
    element = read_xml(part.written)
    for child in list(element):
        if not _may_stay(part.kind, child, shows):
            element.remove(child)
    if part.kind == "tuple":
        for status in element.findall(f"{{{PIDF}}}status"):
            for child in list(status):
                # Of the status only <basic> is always shown; the rest is of extensions.
                if child.tag != f"{{{PIDF}}}basic" and not _is_unknown(child, shows):
                    status.remove(child)
    return Part(part.kind, part.id, element)


def _may_stay(kind: str, child: Element, shows: Shows) -> bool:
    name, space = local_name(child), namespace(child)
    if space in (PIDF, DM, RPID):
        if name in _ALWAYS[kind] and not (name == "deviceID" and kind == "tuple"):
            return True
        if name == "user-input":
            return _user_input(child, shows.user_input)
        if name in _NAMED:
            return name in shows.attributes
    return _is_unknown(child, shows)


def _user_input(child: Element, level: int) -> bool:
    if level < 30:
        child.attrib.pop("since", None)
        child.attrib.pop("last-input", None)
    if level < 20:
        child.attrib.pop("idle-threshold", None)
    return level > 0


def _is_unknown(child: Element, shows: Shows) -> bool:
    return (namespace(child), local_name(child)) in shows.unknown
