"""What a watcher wants to hear of: the list of URIs in its SUBSCRIBE (RFC 5875 4.4).

Theory of operation: each URI is absolute, or relative to the XCAP root. One with a slash at its end names a
collection; else it is read as the URI of a GET is: a document, or an element or attribute by a node selector.
Whose documents they are is asked when something is told, for a domain may be served only later. A URI that
can name nothing here is left out, for what cannot be found is no error (RFC 5875 4.7).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from sansip.module.xml import read_xml
from sansip.modules.xcap.address import GLOBAL, Address, parse_address
from sansip.modules.xcap.faults import Fault
from sansip.modules.xcap.generated import ALL_USAGES
from sansip.modules.xcap.selector import Selector, Terminal, parse_bindings, parse_selector

__all__ = ["TYPE", "Collection", "Part", "Selection", "read_selections"]

TYPE: Final = "application/resource-lists+xml"
_LISTS: Final = "{urn:ietf:params:xml:ns:resource-lists}"
_ABSOLUTE: Final = re.compile(r"(?i)https?://[^/?#]+")


@dataclass(frozen=True, slots=True)
class Collection:
    """All documents of an application (``auid`` "": of all) that the watcher may read in ``tree``.

    ``of``: the directory of the user whose they have to be; None for any.
    """

    auid: str
    tree: str = ""
    of: Address | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """A document, or what ``selector`` selects in it."""

    address: Address
    selector: Selector | None


@dataclass(frozen=True, slots=True)
class Selection:
    """A URI of the list. ``text``: as it was written; ``root``: the absolute XCAP root that it has, or ""."""

    text: str
    root: str
    wanted: Collection | Part


def read_selections(body: bytes, root: str, most: int) -> tuple[Selection, ...]:
    """Return what a list of URIs selects; ``root`` is the path of the XCAP root.

    Raises ``ValueError`` for what is no list, or has more than ``most`` URIs.
    """
    element = read_xml(body)
    if element.tag != f"{_LISTS}resource-lists":
        raise ValueError("not a resource list")
    # RFC 5875 4.4: a flat list; what is not understood is ignored.
    uris = [one.get("uri") or "" for one in element.findall(f"{_LISTS}list/{_LISTS}entry")]
    if len(uris) > most:
        raise ValueError(f"more than {most} URIs (xcap_diff.uris)")
    found: dict[str, Selection] = {}
    seen: set[Collection | Part] = set()
    for uri in uris:
        try:
            one = _selection(uri.strip(), root)
        except Fault:
            continue
        if one is not None and one.wanted not in seen:
            # RFC 5875 4.7: nothing is told twice.
            seen.add(one.wanted)
            found.setdefault(one.text, one)
    return tuple(found.values())


def _selection(text: str, root: str) -> Selection | None:
    if not text:
        return None
    absolute = _ABSOLUTE.match(text)
    rest = text[absolute.end() :] if absolute else text
    path, _, query = rest.partition("?")
    if not absolute and not path.startswith("/"):
        path = f"{root}/{path}"
    elif not path.startswith(f"{root}/"):
        return None
    base = f"{absolute[0]}{root}/" if absolute else ""
    if path.endswith("/") and "~~" not in unquote(path):
        collection = _collection(path[len(root) + 1 : -1], path, root)
        return None if collection is None else Selection(text, base, collection)
    address = parse_address(path, query, root or "/")
    usage = ALL_USAGES.get(address.auid)
    if usage is None or address.deeper or not address.name:
        return None
    selector = None
    if address.node is not None:
        selector = parse_selector(address.node, parse_bindings(address.query), usage.namespace)
        if selector.terminal is Terminal.NAMESPACES:
            # RFC 5875 4.1: nobody subscribes to these.
            return None
    return Selection(text, base, Part(address, selector))


def _collection(below: str, path: str, root: str) -> Collection | None:
    segments = [unquote(one) for one in below.split("/")] if below else []
    if not segments:
        return Collection("")
    if segments[0] not in ALL_USAGES:
        return None
    if len(segments) == 1:
        return Collection(segments[0])
    if len(segments) == 2 and segments[1] in ("users", GLOBAL):
        return Collection(segments[0], segments[1])
    if len(segments) == 3 and segments[1] == "users":
        return Collection(segments[0], "users", parse_address(path, "", root or "/"))
    return None
