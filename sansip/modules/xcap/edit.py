"""Edits of a document: put or delete one element or attribute (RFC 4825 8.2.3, 8.2.4, 8.4).

Theory of operation: an edit returns new octets, in which only the element or attribute differs. It is then
read again: the selector has to select what was put, or nothing where it was deleted, or else the request
would not be idempotent and is refused. Whether the new document obeys its schema is not asked here.
"""

from __future__ import annotations

import re
from typing import Final

from sansip.module.xml import attribute as quoted
from sansip.module.xml import read_xml
from sansip.modules.xcap.faults import Conflict, Fault
from sansip.modules.xcap.references import REFERENCE
from sansip.modules.xcap.selector import AttributeName, Selector, Step
from sansip.modules.xcap.tree import Node, locate, matching, read_tree

__all__ = ["delete", "parent_of", "put_attribute", "put_element"]

# XML 1.0 2.3: AttValue, in a document without a DTD.
_ATT_VALUE: Final = re.compile(rf"\"(?:[^<&\"]|{REFERENCE})*+\"|'(?:[^<&']|{REFERENCE})*+'")
_NEVER: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SPACE: Final = b" \t\r\n"


def parent_of(root: Node, selector: Selector) -> Node | None:
    """Return the element into which ``selector`` puts, None for the document itself.

    Raises ``LookupError(number)`` with the number of steps that do select one.
    """
    whole = isinstance(selector.terminal, AttributeName)
    steps = selector.steps if whole else selector.steps[:-1]
    node, number = locate(root, steps)
    if number < len(steps):
        raise LookupError(number)
    return node


def put_element(octets: bytes, root: Node, selector: Selector, body: bytes) -> tuple[bytes, bool]:
    """Return the document with the element ``body``, and whether it is new. Raises ``Conflict``."""
    parent = parent_of(root, selector)
    fragment = _fragment(body, parent)
    step = selector.steps[-1]
    siblings = [root] if parent is None else parent.children
    found = matching(siblings, step)
    if len(found) > 1:
        raise Conflict("cannot-insert", "the selector selects several elements")
    if found:
        start = found[0].start
        changed = octets[:start] + fragment + octets[found[0].end :]
    elif parent is None:
        raise Conflict("cannot-insert", "a document has one root element, and it has another name")
    else:
        changed, start = _inserted(octets, parent, step, fragment)
    node, number = locate(_read(changed), selector.steps)
    if (
        node is None
        or number < len(selector.steps)
        or (node.start, node.end) != (start, start + len(fragment))
    ):
        # RFC 4825 8.2.3: a GET would not return it.
        raise Conflict("cannot-insert", "the selector would not select the element that was put")
    return changed, not found


def _inserted(octets: bytes, parent: Node, step: Step, fragment: bytes) -> tuple[bytes, int]:
    """Return the document with ``fragment`` in its place in ``parent``, and that place."""
    if parent.empty:
        if step.position not in (None, 1):
            raise _too_few()
        head = octets[: parent.inner] + b">"
        tail = b"</" + parent.tag.encode() + b">"
        return head + fragment + tail + octets[parent.end :], len(head)
    at = _place(parent, step)
    return octets[:at] + fragment + octets[at:], at


def _place(parent: Node, step: Step) -> int:
    """RFC 4825 8.2.3: the three ways in which a new element is positioned."""
    alike = [one for one in parent.children if step.name is None or one.name == step.name]
    position = step.position
    if position is not None and position > 1:
        # "Earliest nth": right behind the one before it.
        if len(alike) < position - 1:
            raise _too_few()
        return alike[position - 2].end
    if position == 0:
        raise _too_few()
    if not alike:
        return parent.tail
    if position == 1:
        return alike[0].start
    # "Earliest last" among its namesakes; by a wildcard it is the last of all, behind any text.
    return parent.tail if step.name is None else alike[-1].end


def _too_few() -> Conflict:
    return Conflict("cannot-insert", "there are too few elements before that position")


def put_attribute(octets: bytes, root: Node, selector: Selector, body: bytes) -> tuple[bytes, bool]:
    """Return the document with the attribute value ``body``, and whether there was none before."""
    terminal = selector.terminal
    assert isinstance(terminal, AttributeName)
    parent = parent_of(root, selector)
    assert parent is not None
    _check_value(body)
    held = parent.attribute(terminal.name)
    if held is not None:
        start = held.value_start
        changed = octets[:start] + body + octets[held.end :]
    else:
        written = _written(parent, terminal)
        at = parent.named
        head = octets[:at] + b" " + written.encode() + b"="
        start = len(head)
        changed = head + body + octets[at:]
    node, number = locate(_read(changed), selector.steps)
    put = None if node is None or number < len(selector.steps) else node.attribute(terminal.name)
    if put is None or (put.value_start, put.end) != (start, start + len(body)):
        raise Conflict("cannot-insert", "the selector would not select the attribute that was put")
    return changed, held is None


def _written(parent: Node, terminal: AttributeName) -> str:
    """Return the name of a new attribute with a prefix that the document binds."""
    namespace, local = terminal.name
    if not namespace:
        return local
    if terminal.prefix and parent.namespace_of(terminal.prefix) == namespace:
        return f"{terminal.prefix}:{local}"
    for prefix, bound in parent.in_scope().items():
        if prefix and bound == namespace:
            return f"{prefix}:{local}"
    raise Conflict("cannot-insert", "the document binds no prefix to the namespace of the attribute")


def _check_value(body: bytes) -> None:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise Conflict("not-utf-8", "the attribute value is not UTF-8") from None
    # RFC 4825 8.2.2
    if _NEVER.search(text) or not _ATT_VALUE.fullmatch(text):
        raise Conflict("not-xml-att-value", "expected a value in quotes, as AttValue of XML 1.0")


def delete(octets: bytes, root: Node, selector: Selector) -> bytes:
    """Return the document without what ``selector`` selects. Raises ``Fault`` 404, or ``Conflict``."""
    node, number = locate(root, selector.steps)
    if node is None or number < len(selector.steps):
        raise Fault(404, "the selector selects no element, or several")
    terminal = selector.terminal
    start, end = node.start, node.end
    if isinstance(terminal, AttributeName):
        held = node.attribute(terminal.name)
        if held is None:
            raise Fault(404, "the element has no such attribute")
        start, end = held.start, held.end
    elif node is root:
        # RFC 4825 8.4: what is left is no document.
        raise Conflict("schema-validation-error", "a document needs its root element")
    changed = octets[:start] + octets[end:]
    after, number = locate(_read(changed), selector.steps)
    if isinstance(terminal, AttributeName):
        if after is None or number < len(selector.steps):
            return changed
        left = after.attribute(terminal.name) is not None
    else:
        # RFC 4825 7.5: the selector has to select nothing afterwards.
        left = after is not None and number == len(selector.steps)
    if left:
        raise Conflict("cannot-delete", "the selector would select another one afterwards")
    return changed


def _fragment(body: bytes, parent: Node | None) -> bytes:
    """Return the one element in ``body`` (RFC 4825 8.2.2). Raises ``Conflict``."""
    try:
        body.decode()
    except UnicodeDecodeError:
        raise Conflict("not-utf-8", "the element is not UTF-8") from None
    fragment = body.strip(_SPACE)
    scope = {} if parent is None else parent.in_scope()
    declared = "".join(
        f" xmlns{':' if prefix else ''}{prefix}={quoted(namespace)}" for prefix, namespace in scope.items()
    )
    try:
        if not fragment.startswith(b"<") or fragment[1:2] in (b"!", b"?"):
            raise ValueError("expected an element")
        around = b"<fragment" + declared.encode() + b">" + fragment + b"</fragment>"
        outer = read_xml(around, most=len(around))
        if len(outer) != 1 or (outer.text or "").strip() or (outer[0].tail or "").strip():
            raise ValueError("expected one element")
        node = read_tree(around)
        inner = node.children[0]
        if (inner.start, inner.end) != (node.inner, node.tail):
            raise ValueError("expected one element and nothing around it")
    except ValueError as error:
        raise Conflict("not-xml-frag", str(error)) from None
    return fragment


def _read(octets: bytes) -> Node:
    try:
        return read_tree(octets)
    except ValueError as error:
        raise Conflict("not-xml-frag", str(error)) from None
