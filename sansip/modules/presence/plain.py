"""A presence document in its plainest form, taken apart without lxml.

Theory of operation: most phones write a short document of ASCII, with all namespaces at its root, whose
elements have at most one attribute and are written as lxml writes them. A pattern finds its parts, and the
octets of each are cut out of it. ``parse_pidf`` reads every other document with lxml, and is the reference:
each part has the same octets (``tests/modules/presence/test_plain.py``).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from sansip.wire.abnf import compiled

__all__ = ["PlainPart", "plain_parts"]

_PIDF: Final = "urn:ietf:params:xml:ns:pidf"
_DM: Final = "urn:ietf:params:xml:ns:pidf:data-model"
# With one attribute at the most in so many octets, every bound of ``read_xml`` is far.
_MOST: Final = 4_096

_NAME: Final = r"[A-Za-z_][\w.\-]*+"
_TEXT: Final = r"[^<>&]++"
_SPACE: Final = r"[ \t\n]*+"
# No reference in the value, and nothing that is written in another way.
_ATTRIBUTE: Final = rf'(?: (?!xmlns){_NAME}="[^<>&"\t\n]*+")?+'


def _element(number: int, inner: str) -> str:
    """Return the pattern of an element, its name in group ``number``, that holds ``inner`` or nothing."""
    return rf"<((?:{_NAME}:)?+{_NAME}){_ATTRIBUTE}(?:/>|>{inner}</\{number}>)"


# Elements within elements within those of a part; each holds text, or elements among white space.
_LEAF: Final = _element(3, _TEXT)
_INNER: Final = _element(2, rf"(?:{_TEXT}|{_SPACE}(?:{_LEAF}{_SPACE})++)")
_children: Final = compiled(
    rf"{_SPACE}(?:{_element(1, rf'(?:{_TEXT}|{_SPACE}(?:{_INNER}{_SPACE})++)')}{_SPACE})++"
).fullmatch
# Other line ends are written in another way, and the rest is no text.
_plain: Final = compiled(r"[\t\n -~]*+").fullmatch
_begin: Final = compiled(
    r'(?:<\?xml version="1\.0"(?: encoding="(?:UTF-8|utf-8)")?(?: standalone="(?:yes|no)")?\?>)?+'
    rf'{_SPACE}<presence((?:[ \t\n]++{_NAME}(?::{_NAME})?+="[^<>&"\t\n]*+")++){_SPACE}>'
).fullmatch
_attributes: Final = compiled(rf'({_NAME}(?::{_NAME})?+)="([^"]*+)"').findall
_namespace: Final = compiled(r"urn:[A-Za-z][A-Za-z0-9]*+:[\w.:\-]++").fullmatch
_prefixes: Final = compiled(rf"</?({_NAME}):").findall
_part: Final = compiled(rf'{_SPACE}<((?:({_NAME}):)?+({_NAME}))(?: id="([^<>&"\t\n]++)")?+>').match
# Behind the status (RFC 3863 4.1.4), if there is one.
_contact: Final = compiled(rf"</status>{_SPACE}<contact{_ATTRIBUTE}>({_TEXT})</contact>").search
_end: Final = compiled(rf"{_SPACE}</presence>{_SPACE}").fullmatch

# Characters of a document's begin that are remembered.
_LONGEST: Final = 1_000


class PlainPart:
    """The arguments of a ``Part``."""

    __slots__ = ("id", "kind", "octets", "place")

    def __init__(self, kind: str, id: str, octets: bytes, place: str) -> None:
        self.kind = kind
        self.id = id
        self.octets = octets
        self.place = place


def plain_parts(body: bytes) -> list[PlainPart] | None:
    """Return the parts of the document in ``body``; None where lxml has to look at it."""
    if len(body) > _MOST or not body.isascii():
        return None
    document = body.decode()
    if _plain(document) is None:
        return None
    # No value has the sign that ends the root's tag.
    at = document.find(">", document.find("<presence")) + 1
    spaces: dict[str, str] | None = _spaces(document[:at]) if at <= _LONGEST else _read_root(document[:at])
    if spaces is None:
        return None
    for prefix in _prefixes(document):
        if f"xmlns:{prefix}" not in spaces:
            return None
    found: list[PlainPart] = []
    while True:
        part = _part(document, at)
        if part is None:
            return found if _end(document, at) is not None else None
        one = _read(document, part.end(), part[1], part[2], part[3], part[4] or "", spaces)
        if one is None:
            return None
        found.append(one)
        at = document.index(f"</{part[1]}>", part.end()) + len(part[1]) + 3


def _read_root(head: str) -> dict[str, str] | None:
    """Return the namespaces that the root declares, by ``xmlns`` and prefix; None: it is lxml's."""
    begun = _begin(head)
    if begun is None:
        return None
    spaces: dict[str, str] = {}
    entity = ""
    for name, value in _attributes(begun[1]):
        if name in spaces or (name == "entity" and entity):
            return None
        if name == "entity" and value:
            entity = value
        elif name == "xmlns" or name.startswith("xmlns:"):
            # Another prefix for the namespaces that are looked for is lxml's.
            if _namespace(value) is None or value in spaces.values() or name.lower().startswith("xmlns:xml"):
                return None
            spaces[name] = value
        else:
            return None
    return spaces if entity and spaces.get("xmlns") == _PIDF else None


# A phone writes the same root each time. Nobody changes what is returned. One that is longer than any phone's
# is not remembered: publishers could fill the memory with them.
_spaces: Final = lru_cache(1_024)(_read_root)


def _read(
    document: str, begin: int, written: str, prefix: str | None, name: str, id: str, spaces: dict[str, str]
) -> PlainPart | None:
    """Return the part whose content begins at ``begin``; ``written``: its name with ``prefix``."""
    end = document.find(f"</{written}>", begin)
    if end < 0:
        return None
    inner = document[begin:end]
    place = ""
    own = "xmlns"
    if prefix is None and name == "note":
        if id or not inner or "<" in inner or ">" in inner or "&" in inner:
            return None
    elif _children(inner) is None or f"<{written}" in inner or not id:
        return None
    elif prefix is None and name == "tuple":
        if not inner.lstrip(" \t\n").startswith("<status>") or inner.count("status") != 2:
            return None
        if "contact" in inner:
            found = _contact(inner)
            if found is None or inner.count("contact") != 2:
                return None
            place = found[1]
    elif name == "person" and prefix is not None and spaces[f"xmlns:{prefix}"] == _DM:
        own = f"xmlns:{prefix}"
    else:
        return None
    declared = "".join([f' {one}="{value}"' for one, value in spaces.items() if one != own])
    identity = f' id="{id}"' if id else ""
    octets = f'<{written} {own}="{spaces[own]}"{declared}{identity}>{inner}</{written}>'
    return PlainPart(name, id, octets.encode(), place)
