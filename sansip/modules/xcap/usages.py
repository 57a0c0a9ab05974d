"""The applications whose documents are served: their namespaces, types, schemas and constraints.

Theory of operation: a document that is to be written is read by lxml, by its schema, and by the constraints
that the RFC of its application has beyond the schema. ``judge`` does all three, in the order of RFC 4825
8.2.5, and raises the conflict.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from sansip.module.xml import read_xml
from sansip.modules.xcap.address import Address, encoded, parse_address
from sansip.modules.xcap.faults import Conflict, Exists, Fault
from sansip.modules.xcap.references import resolved
from sansip.modules.xcap.schemas import validate
from sansip.modules.xcap.tree import Node, read_tree

__all__ = ["NAMESPACES", "USAGES", "Usage", "field_of", "judge", "services_of"]

LISTS: Final = "urn:ietf:params:xml:ns:resource-lists"
SERVICES: Final = "urn:ietf:params:xml:ns:rls-services"
POLICY: Final = "urn:ietf:params:xml:ns:common-policy"
RULES: Final = "urn:ietf:params:xml:ns:pres-rules"
PIDF: Final = "urn:ietf:params:xml:ns:pidf"
# RFC 4825 12: the namespaces whose schemas are here.
NAMESPACES: Final = (
    *(POLICY, PIDF, RULES, LISTS, SERVICES),
    *("urn:ietf:params:xml:ns:xcap-caps", "urn:ietf:params:xml:ns:xcap-error"),
)
_DECLARATION: Final = re.compile(
    rb"(?:\xef\xbb\xbf)?<\?xml\s[^>]*?encoding\s*=\s*[\"']([A-Za-z0-9._\-]{1,40})[\"']"
)
# RFC 3986 4.1, 4.3: a scheme makes a URI absolute.
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")
_HTTP: Final = re.compile(r"(?i)https?://[^/?#]+(/[^?#]*)?")

# Raises ``Conflict`` for what the schema does not see; gets the root, the address and the octets.
Constraint = Callable[[Node, Address, bytes], None]


@dataclass(frozen=True, slots=True)
class Usage:
    """An application usage (RFC 4825 5).

    ``names``: the documents that a user can have; none for any. ``root``: the name of the root element.
    """

    auid: str
    namespace: str
    mime: str
    schema: str
    root: tuple[str, str]
    constraint: Constraint | None = None
    names: tuple[str, ...] = ()


def judge(usage: Usage, body: bytes, address: Address) -> Node:
    """Return the tree of ``body`` if it may be written. Raises ``Conflict`` (RFC 4825 8.2.2, 8.2.5)."""
    _check_encoding(body)
    try:
        element = read_xml(body, most=max(len(body), 1))
    except ValueError as error:
        if "DTD" in str(error) or "large" in str(error) or "deep" in str(error):
            raise Conflict("constraint-failure", str(error)) from None
        raise Conflict("not-well-formed", str(error)) from None
    root = read_tree(body)
    if root.name != usage.root:
        raise Conflict("schema-validation-error", f"the root element has to be {usage.root[1]}")
    fault = validate(element, usage.schema)
    if fault:
        raise Conflict("schema-validation-error", fault)
    if usage.constraint is not None:
        usage.constraint(root, address, body)
    return root


def _check_encoding(body: bytes) -> None:
    """RFC 4825 5.3: all documents are UTF-8. Raises ``Conflict``."""
    if body.startswith((b"\xff\xfe", b"\xfe\xff", b"\0\0", b"\0<", b"<\0")):
        raise Conflict("not-utf-8", "the document is not UTF-8")
    declared = _DECLARATION.match(body)
    if declared is not None and declared[1].lower() not in (b"utf-8", b"us-ascii", b"utf8"):
        raise Conflict("not-utf-8", "the document declares another encoding than UTF-8")
    try:
        body.decode()
    except UnicodeDecodeError:
        raise Conflict("not-utf-8", "the document is not UTF-8") from None


# --- fields of error documents


def field_of(node: Node, attribute: str, default: str) -> str:
    """Return the URI of an attribute, relative to its document (RFC 4825 11.1)."""
    steps: list[str] = []
    foreign = ""
    one: Node | None = node
    while one is not None:
        namespace, local = one.name
        if namespace != default:
            foreign, local = namespace, f"n:{local}"
        alike = [] if one.parent is None else [each for each in one.parent.children if each.name == one.name]
        steps.append(local if len(alike) < 2 else f"{local}[{alike.index(one) + 1}]")
        one = one.parent
    path = "/".join(encoded(step) for step in reversed(steps))
    query = f"?xmlns(n={encoded(foreign)})" if foreign else ""
    return f"{path}/@{attribute}{query}"


def _walk(root: Node) -> Iterator[Node]:
    waiting = [root]
    while waiting:
        one = waiting.pop()
        yield one
        waiting += reversed(one.children)


def _unique(root: Node, default: str) -> None:
    """RFC 4826 3.4.5: what has to be unique among the children of one element."""
    keys = {(LISTS, "list"): "name", (LISTS, "entry"): "uri", (LISTS, "entry-ref"): "ref",
            (LISTS, "external"): "anchor"}  # fmt: skip
    twice: list[Exists] = []
    for parent in _walk(root):
        seen: set[tuple[str, str]] = set()
        for one in parent.children:
            name = keys.get(one.name)
            held = None if name is None else one.attribute(("", name))
            if held is None or name is None:
                continue
            key = (name, held.value)
            if key in seen:
                twice.append(Exists(field_of(one, name, default)))
            seen.add(key)
            if len(twice) >= 10:
                break
    if twice:
        raise Conflict("uniqueness-failure", "a value that has to be unique is there twice", exists=twice)


def _references(root: Node) -> None:
    for one in _walk(root):
        ref, anchor = one.attribute(("", "ref")), one.attribute(("", "anchor"))
        if one.name == (LISTS, "entry-ref") and ref is not None:
            # RFC 4826 3.4.5: a relative path reference.
            if _SCHEME.match(ref.value) or ref.value.startswith("/"):
                raise Conflict("constraint-failure", "the ref of an entry-ref has to be a relative path")
        if one.name == (LISTS, "external") and (anchor is None or not _HTTP.match(anchor.value)):
            raise Conflict("constraint-failure", "the anchor of an external has to be an absolute HTTP URI")


def _lists(root: Node, address: Address, body: bytes) -> None:
    _unique(root, LISTS)
    _references(root)


def services_of(root: Node) -> dict[str, Node]:
    """Return the services of an rls-services document by URI, in order."""
    found: dict[str, Node] = {}
    for one in root.children:
        uri = one.attribute(("", "uri"))
        if one.name == (SERVICES, "service") and uri is not None:
            found.setdefault(uri.value, one)
    return found


def _services(root: Node, address: Address, body: bytes) -> None:
    seen: dict[str, Node] = {}
    for one in root.children:
        uri = one.attribute(("", "uri"))
        if uri is not None and seen.setdefault(uri.value, one) is not one:
            raise Conflict(
                "uniqueness-failure",
                "two services have one URI",
                exists=[Exists(field_of(one, "uri", SERVICES))],
            )
    _unique(root, SERVICES)
    _references(root)
    for service in root.children:
        for one in service.children:
            if one.name == (SERVICES, "resource-list"):
                text = resolved(body[one.inner : one.tail].decode())
                _check_list_uri((text or "").strip(), address)


def _check_list_uri(uri: str, address: Address) -> None:
    """RFC 4826 4.4.5: what ``resource-list`` names is a list of the same user. Raises ``Conflict``."""
    match = _HTTP.match(uri)
    if match is None:
        raise Conflict("constraint-failure", "resource-list has to be an absolute HTTP URI")
    path = match[1] or "/"
    try:
        _, found, below = path.partition("/resource-lists/")
        named = parse_address(f"/resource-lists/{below}", "", "/") if found else None
    except Fault:
        named = None
    if named is None or (not address.is_global and named.user != address.user):
        raise Conflict(
            "constraint-failure", "resource-list has to name a list of the same user in resource-lists"
        )


def _usage(auid: str, namespace: str, mime: str, root: str, constraint: Constraint | None = None) -> Usage:
    return Usage(auid, namespace, f"application/{mime}", auid, (namespace, root), constraint)


USAGES: Final = {
    usage.auid: usage
    for usage in (
        # RFC 4826 3.4, 4.4
        _usage("resource-lists", LISTS, "resource-lists+xml", "resource-lists", _lists),
        _usage("rls-services", SERVICES, "rls-services+xml", "rls-services", _services),
        # RFC 5025 9: the rules stand in common-policy's root; OMA's documents are of the same kind.
        Usage("pres-rules", RULES, "application/auth-policy+xml", "pres-rules", (POLICY, "ruleset")),
        Usage(
            "org.openmobilealliance.pres-rules",
            POLICY,
            "application/auth-policy+xml",
            "pres-rules",
            (POLICY, "ruleset"),
        ),
        # RFC 4827: one document, "index".
        Usage(
            "pidf-manipulation",
            PIDF,
            "application/pidf+xml",
            "pidf",
            (PIDF, "presence"),
            None,
            ("index",),
        ),
    )
}
