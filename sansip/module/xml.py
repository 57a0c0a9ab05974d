"""XML of strangers, read so that it cannot hurt; and text written into XML.

Theory of operation: lxml reads it, with neither entities, DTDs nor network, and a document is bounded in
octets, elements and depth, so the cost is linear in the octets. Modules that read XML need lxml (the extra
``sansip[presence]``); those that only write it do not. What is wrong with a document is a ``ValueError`` in a
few words, which a reason phrase can hold.

libxml2 keeps each name that it reads in a dictionary, and lxml has one dictionary for a thread, for ever: a
stranger who writes new names into each document would fill the memory. So each document gets a dictionary of
its own, which goes with it (2 microseconds): lxml finds that of its thread in the dictionary of Python's
thread state, and makes a new one where it finds none.
"""

from __future__ import annotations

import ctypes
import re
from functools import partial
from typing import Any, Final

try:
    from lxml import etree
except ImportError:  # pragma: no cover - the extra is there in tests
    etree = None

__all__ = [
    "FIX",
    "Element",
    "attribute",
    "has_lxml",
    "local_name",
    "namespace",
    "read_xml",
    "text",
    "write_xml",
]

# An element of lxml, which ships no types.
Element = Any
# What to do where lxml is missing.
FIX: Final = "it reads XML with lxml: pip install 'sansip[presence]'"

_MOST_ELEMENTS: Final = 2_000
_DEEPEST: Final = 24
_MOST_ATTRIBUTES: Final = 4_000
# Characters that XML 1.0 cannot hold, and halves of surrogates.
_NEVER: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

# What makes a parser; a parser keeps the dictionary of its first document.
_parser = (
    None
    if etree is None
    else partial(
        etree.XMLParser,
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
        recover=False,
    )
)
# The place of lxml's dictionary in that of the thread.
_NAMES: Final = "_ParserDictionaryContext"
_thread_state = ctypes.pythonapi.PyThreadState_GetDict
# A borrowed reference: as ``py_object`` it would be taken for one of ours.
_thread_state.restype = ctypes.c_void_p


def has_lxml() -> bool:
    """Whether XML can be read here."""
    return etree is not None


def read_xml(body: bytes, *, most: int = 65_536) -> Element:
    """Return the root element of a document. Raises ``ValueError`` for one that is malformed or too large."""
    if _parser is None:
        raise ValueError(FIX)
    if len(body) > most:
        raise ValueError("document too large")
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        raise ValueError("no DTD is taken")
    ctypes.cast(_thread_state(), ctypes.py_object).value.pop(_NAMES, None)
    try:
        root = etree.fromstring(body, _parser())
    except (etree.XMLSyntaxError, ValueError):
        raise ValueError("not well-formed XML") from None
    info = None if root is None else root.getroottree().docinfo
    if info is None or info.internalDTD is not None:
        # In an encoding in which the octets above do not show it.
        raise ValueError("no DTD is taken")
    if _is_small(body, info.encoding):
        return root
    depth = elements = attributes = 0
    for event, element in etree.iterwalk(root, events=("start", "end")):
        if event == "end":
            depth -= 1
            continue
        depth += 1
        elements += 1
        attributes += len(element.attrib)
        if not isinstance(element.tag, str):
            raise ValueError("an entity is no element")
        if depth > _DEEPEST or elements > _MOST_ELEMENTS or attributes > _MOST_ATTRIBUTES:
            raise ValueError("document too deep or too large")
    return root


def _is_small(body: bytes, encoding: str | None) -> bool:
    """Whether the octets alone show that a well-formed document is within the bounds, and has no entities."""
    return (
        body.isascii()
        # They are characters: in other encodings the same octets may be others.
        and (encoding or "UTF-8").upper() in ("UTF-8", "ASCII", "US-ASCII")
        and b"\0" not in body
        and b"&" not in body
        and body.count(b"<") <= _DEEPEST
        and body.count(b"=") <= _MOST_ATTRIBUTES
    )


def write_xml(element: Element) -> bytes:
    """Return the octets of one element, with the namespaces that it needs, without what follows it."""
    octets: bytes = etree.tostring(element, encoding="utf-8", xml_declaration=False, with_tail=False)
    return octets


def local_name(element: Element) -> str:
    """Return the name of an element without its namespace."""
    return str(element.tag).rpartition("}")[2]


def namespace(element: Element) -> str:
    """Return the namespace of an element, "" without one."""
    return str(element.tag)[1:].rpartition("}")[0] if str(element.tag).startswith("{") else ""


def text(value: object) -> str:
    """Return ``value`` as the text of an element; what XML cannot hold becomes a question mark."""
    plain = _NEVER.sub("?", str(value))
    return plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def attribute(value: object) -> str:
    """Return ``value`` as an attribute value, in quotes."""
    plain = text(value).replace('"', "&quot;")
    return '"' + plain.replace("\t", "&#9;").replace("\n", "&#10;").replace("\r", "&#13;") + '"'
