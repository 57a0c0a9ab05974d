"""The elements and attributes of a document, with the places of their octets.

Theory of operation: lxml says whether a document is well-formed, and bounds it; it does not say where in the
octets an element begins. So a pattern finds the tags of a document that lxml has accepted, each octet is read
once, and every edit is a cut in the octets: all that it does not touch stays as it came (RFC 4825 6.3).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from sansip.modules.xcap.references import normalised
from sansip.modules.xcap.selector import XML, Expanded, Step

__all__ = ["Attribute", "Node", "locate", "matching", "read_tree"]

_TOKEN: Final = re.compile(
    rb"<!--.*?-->|<!\[CDATA\[.*?\]\]>|<\?.*?\?>"
    rb"|</(?P<close>[^\s>]+)\s*+>"
    rb"|<(?P<open>[^\s/>!?]+)(?P<attributes>(?:\s+[^\s=/>]+\s*=\s*(?:\"[^\"]*\"|'[^']*'))*+)\s*+(?P<empty>/?)>",
    re.DOTALL,
)
_ATTRIBUTE: Final = re.compile(rb"\s+(?P<name>[^\s=/>]+)\s*=\s*(?P<value>\"[^\"]*\"|'[^']*')")


@dataclass(slots=True)
class Attribute:
    """An attribute.

    Places in the octets: ``start`` is that of the white space before it; ``value_start`` to ``end`` is the
    value with its quotes.
    """

    name: Expanded
    value: str
    start: int
    value_start: int
    end: int


@dataclass(slots=True)
class Node:
    """An element.

    Attributes:
        tag: its name as it is written, with the prefix.
        name: its namespace and local name.
        start, end: the places of its first octet, and of the one behind its last.
        inner: the place behind its start tag; for ``<a/>`` that of ``/``, and ``empty`` is true.
        named: the place behind its name and attributes in the start tag, where a new attribute goes.
        tail: the place of its end tag.
        declared: the namespaces that it declares itself, by prefix; "" is the default one.
    """

    tag: str
    start: int
    named: int
    inner: int
    empty: bool
    parent: Node | None
    declared: dict[str, str]
    name: Expanded = ("", "")
    attributes: list[Attribute] = field(default_factory=list)
    children: list[Node] = field(default_factory=list)
    tail: int = 0
    end: int = 0

    def namespace_of(self, prefix: str) -> str | None:
        """Return the namespace that ``prefix`` means here, None where it means none."""
        if prefix == "xml":
            return XML
        node: Node | None = self
        while node is not None:
            if prefix in node.declared:
                return node.declared[prefix]
            node = node.parent
        return None if prefix else ""

    def in_scope(self) -> dict[str, str]:
        """Return all namespaces that are bound here, by prefix (RFC 4825 10)."""
        found: dict[str, str] = {}
        node: Node | None = self
        while node is not None:
            for prefix, namespace in node.declared.items():
                found.setdefault(prefix, namespace)
            node = node.parent
        return {prefix: namespace for prefix, namespace in found.items() if namespace}

    def attribute(self, name: Expanded) -> Attribute | None:
        """Return an attribute. A namespace declaration is none (RFC 4825 6.3)."""
        for one in self.attributes:
            if one.name == name:
                return one
        return None


def read_tree(octets: bytes) -> Node:
    """Return the root element of ``octets``, which ``read_xml`` has accepted. Raises ``ValueError``."""
    root: Node | None = None
    node: Node | None = None
    for match in _TOKEN.finditer(octets):
        if match["open"] is not None:
            opened = _opened(match, node)
            if node is not None:
                node.children.append(opened)
            elif root is None:
                root = opened
            else:
                raise ValueError("a second root element")
            if not opened.empty:
                node = opened
        elif match["close"] is not None:
            if node is None:
                raise ValueError("an end tag without an element")
            node.tail, node.end = match.start(), match.end()
            node = node.parent
    if root is None or node is not None:
        raise ValueError("not well-formed XML")
    return root


def _opened(match: re.Match[bytes], parent: Node | None) -> Node:
    declared: dict[str, str] = {}
    raw: list[tuple[str, str, int, int, int]] = []
    base = match.start("attributes")
    for one in _ATTRIBUTE.finditer(match["attributes"]):
        name = one["name"].decode()
        value = normalised(one["value"][1:-1].decode())
        if value is None:
            raise ValueError("an entity that is not declared")
        if name == "xmlns":
            declared[""] = value
        elif name.startswith("xmlns:"):
            declared[name[6:]] = value
        else:
            raw.append((name, value, base + one.start(), base + one.start("value"), base + one.end()))
    empty = bool(match["empty"])
    tag = match["open"].decode()
    inner = match.start("empty") if empty else match.end()
    node = Node(tag, match.start(), match.end("attributes"), inner, empty, parent, declared)
    node.name = _expanded(tag, node, "")
    if empty:
        node.tail = node.end = match.end()
    for name, value, start, value_start, end in raw:
        # Namespaces in XML 6.2: the default namespace is not that of attributes.
        node.attributes.append(Attribute(_expanded(name, node, None), value, start, value_start, end))
    return node


def _expanded(name: str, node: Node, default: str | None) -> Expanded:
    prefix, colon, local = name.rpartition(":")
    if not colon:
        return ("" if default is None else node.namespace_of("") or "", local)
    namespace = node.namespace_of(prefix)
    if namespace is None:
        raise ValueError(f"the prefix {prefix:.40} is not bound")
    return namespace, local


def matching(children: Sequence[Node], step: Step) -> list[Node]:
    """Return which of ``children`` match ``step``: by name, then position, then attribute (RFC 4825 6.3)."""
    found = [one for one in children if step.name is None or one.name == step.name]
    if step.position is not None:
        found = found[step.position - 1 : step.position] if step.position else []
    if step.attribute is not None:
        name, value = step.attribute
        found = [one for one in found if (held := one.attribute(name)) is not None and held.value == value]
    return found


def locate(root: Node, steps: Sequence[Step]) -> tuple[Node | None, int]:
    """Return the element that ``steps`` select, and how many of them selected one each.

    RFC 4825 6.3: a step that selects no element, or several, ends it. The element is the last one that was
    selected, None where even the first step selected none; all were where the number is that of ``steps``.
    """
    node: Node | None = None
    children: Sequence[Node] = (root,)
    for number, step in enumerate(steps):
        found = matching(children, step)
        if len(found) != 1:
            return node, number
        node = found[0]
        children = node.children
    return node, len(steps)
