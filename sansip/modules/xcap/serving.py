"""What a GET returns: a document, an element, an attribute, or namespaces (RFC 4825 8.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sansip.module import WebRequest, WebResponse
from sansip.module.xml import attribute
from sansip.modules.xcap.conditions import Condition, judge
from sansip.modules.xcap.faults import Fault
from sansip.modules.xcap.selector import AttributeName, Selector, Terminal
from sansip.modules.xcap.tree import Node, locate, read_tree

__all__ = ["ATTRIBUTE_TYPE", "ELEMENT_TYPE", "Held", "read_part"]

# RFC 4825 15.2
ELEMENT_TYPE: Final = "application/xcap-el+xml"
ATTRIBUTE_TYPE: Final = "application/xcap-att+xml"
_NAMESPACES_TYPE: Final = "application/xcap-ns+xml"


@dataclass(slots=True)
class Held:
    """A document that is there."""

    body: bytes
    etag: str
    mime: str

    @property
    def root(self) -> Node:
        """Its root element."""
        return read_tree(self.body)

    def select(self, selector: Selector, root: Node | None = None) -> tuple[bytes, str]:
        """Return the octets of a part, and their type; ``root`` where it was read already.

        Raises ``Fault`` 404.
        """
        node, number = locate(root or self.root, selector.steps)
        if node is None or number < len(selector.steps):
            # RFC 4825 8.3: a no-match, or invalid.
            raise Fault(404, "the selector selects no element, or several")
        terminal = selector.terminal
        if terminal is Terminal.ELEMENT:
            return self.body[node.start : node.end], ELEMENT_TYPE
        if terminal is Terminal.NAMESPACES:
            return _namespaces(node), _NAMESPACES_TYPE
        assert isinstance(terminal, AttributeName)
        held = node.attribute(terminal.name)
        if held is None:
            raise Fault(404, "the element has no such attribute")
        return self.body[held.value_start : held.end], ATTRIBUTE_TYPE


def _namespaces(node: Node) -> bytes:
    """RFC 4825 10: an element of the same name, with all namespaces in scope."""
    declared = "".join(
        f" xmlns{':' if prefix else ''}{prefix}={attribute(namespace)}"
        for prefix, namespace in sorted(node.in_scope().items())
    )
    return f"<{node.tag}{declared}/>".encode()


def read_part(request: WebRequest, held: Held, selector: Selector | None) -> WebResponse:
    """Return the answer to a GET or HEAD."""
    body, mime = (held.body, held.mime) if selector is None else held.select(selector)
    # RFC 4825 9: a cache does not know which resources depend on each other.
    fields = [("ETag", f'"{held.etag}"'), ("Cache-Control", "no-cache")]
    try:
        judge(request, held.etag)
    except Condition as fault:
        if fault.status == 304:
            # RFC 9110 15.4.5
            return WebResponse(304, headers=fields)
        raise
    return WebResponse(200, body, mime, fields)
