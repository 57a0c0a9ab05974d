"""Filters of watchers (RFC 4660, RFC 4661): which parts of the state they want, and after which changes.

Theory of operation: the filters of a subscription are read from the bodies of its SUBSCRIBEs: a refresh adds,
replaces and removes them by id, and ``joined`` writes what stands then, which is kept. One filter applies to
a resource. Its content part marks what is included, with all that a valid document needs, drops the rest, and
drops what is excluded. Its triggers compare the values that they name with those of the document that the
watcher was told last.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from sansip.errors import RemoteProtocolError
from sansip.module.xml import Element, attribute, local_name, namespace, read_xml, write_xml
from sansip.modules.events import BadFilter
from sansip.modules.presence.expressions import (
    Budget,
    Expression,
    Found,
    TooLong,
    parse_expression,
    select,
    text_of,
)
from sansip.modules.presence.pidf import DM, PIDF
from sansip.wire import SipUri, parse_uri

__all__ = [
    "TYPE",
    "Filter",
    "Snapshot",
    "applying",
    "filtered",
    "joined",
    "parse_filters",
    "snapshot",
    "triggers",
]

TYPE: Final = "application/simple-filter+xml"
_SPACE: Final = "urn:ietf:params:xml:ns:simple-filter"
_MOST_FILTERS: Final = 16
_MOST_EXPRESSIONS: Final = 32
# Elements that the filter of one watcher visits for one NOTIFY, and values that its triggers remember.
_MOST_VISITS: Final = 5_000
_MOST_VALUES: Final = 256
# RFC 3863 4.1.2, RFC 4479 3.2: what a document has to have to be valid.
_NEEDED: Final = {f"{{{PIDF}}}tuple": f"{{{PIDF}}}status", f"{{{DM}}}device": f"{{{DM}}}deviceID"}
_NEEDED_ATTRIBUTES: Final = ("id", "entity")

# What a trigger remembers of a document: (place, value) of each thing that it names.
Snapshot = tuple[dict[str, tuple[str, str]], ...] | None


@dataclass(frozen=True, slots=True)
class _Rule:
    """An ``include`` or ``exclude``: an expression, or a namespace."""

    expression: Expression | None
    namespace: str


@dataclass(frozen=True, slots=True)
class _Change:
    """One condition of a trigger; ``kind``: changed, added or removed (RFC 4661 3.6)."""

    kind: str
    expression: Expression
    before: str | None
    after: str | None
    by: float | None


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter of ``uri``, of a ``domain``, or (both "") of the resource that is subscribed to.

    ``triggers``: one of them has to hold, with all its conditions; none: every change is told.
    """

    id: str
    uri: str
    domain: str
    enabled: bool
    include: tuple[_Rule, ...]
    exclude: tuple[_Rule, ...]
    triggers: tuple[tuple[_Change, ...], ...]


# --- reading


def joined(before: bytes, body: bytes) -> bytes:
    """Return the document of all filters that stand after ``body`` came (RFC 4660 5.2.2).

    Raises ``BadFilter``, or ``ValueError`` for what is no XML.
    """
    root = _read(body)
    kept: dict[str, tuple[Element, dict[str, str]]] = {}
    for document in ([_read(before)] if before else []) + [root]:
        for holder in _sets(document):
            bindings = _bindings(holder)
            for one in _filters(holder):
                name = one.get("id") or ""
                if _flag(one, "remove", False):
                    kept.pop(name, None)
                    continue
                if name in kept and not any(_is_ours(child) for child in one):
                    # RFC 4661 3.4: switched on or off, and otherwise as it was.
                    old, old_bindings = kept[name]
                    old.set("enabled", one.get("enabled") or "true")
                    kept[name] = old, old_bindings
                    continue
                kept[name] = one, bindings
    sets = []
    for one, bindings in kept.values():
        bound = "".join(
            f'<ns-binding prefix="{prefix}" urn={attribute(urn)}/>' for prefix, urn in bindings.items()
        )
        sets.append(
            f"<filter-set><ns-bindings>{bound}</ns-bindings>".encode() + write_xml(one) + b"</filter-set>"
        )
    return f'<filter-set xmlns="{_SPACE}">'.encode() + b"".join(sets) + b"</filter-set>"


def _read(body: bytes) -> Element:
    root = read_xml(body)
    if root.tag != f"{{{_SPACE}}}filter-set":
        raise BadFilter("not a filter-set")
    if (root.get("package") or "presence") != "presence":
        raise BadFilter("a filter of another package")
    return root


def _sets(root: Element) -> list[Element]:
    """Return the filter-sets of a document: its root, or those of ``joined`` below it."""
    inner: list[Element] = root.findall(f"{{{_SPACE}}}filter-set")
    return inner or [root]


def _filters(holder: Element) -> list[Element]:
    found: list[Element] = holder.findall(f"{{{_SPACE}}}filter")
    return found


def _is_ours(element: Element) -> bool:
    return namespace(element) == _SPACE


def _bindings(holder: Element) -> dict[str, str]:
    found: dict[str, str] = {}
    for one in holder.iterfind(f"{{{_SPACE}}}ns-bindings/{{{_SPACE}}}ns-binding"):
        prefix, urn = one.get("prefix") or "", one.get("urn") or ""
        if not prefix or not urn or not prefix.replace("-", "").replace(".", "").replace("_", "").isalnum():
            raise BadFilter("a binding without prefix or urn")
        found[prefix] = urn
    return found


def _flag(element: Element, name: str, default: bool) -> bool:
    value = (element.get(name) or "").strip()
    if value in ("true", "1"):
        return True
    if value in ("false", "0"):
        return False
    if value:
        raise BadFilter(f"{name} is neither true nor false")
    return default


def parse_filters(body: bytes) -> tuple[Filter, ...]:
    """Return the filters of a document that ``joined`` wrote.

    Raises ``BadFilter`` (488) for what is not supported, ``ValueError`` for what is no XML.
    """
    root = _read(body)
    found: list[Filter] = []
    count = 0
    for holder in _sets(root):
        bindings = _bindings(holder)
        for one in _filters(holder):
            made = _filter(one, bindings)
            count += len(made.include) + len(made.exclude) + sum(map(len, made.triggers))
            found.append(made)
    if len(found) > _MOST_FILTERS or count > _MOST_EXPRESSIONS:
        raise BadFilter(f"more than {_MOST_FILTERS} filters or {_MOST_EXPRESSIONS} expressions")
    if len({one.id for one in found}) < len(found):
        raise BadFilter("two filters have one id")
    if len({(one.uri, one.domain) for one in found}) < len(found):
        # RFC 4660 5.2
        raise BadFilter("two filters are for one resource")
    return tuple(found)


def _filter(element: Element, bindings: Mapping[str, str]) -> Filter:
    mark, uri, domain = (element.get(one) or "" for one in ("id", "uri", "domain"))
    if not mark or (uri and domain):
        raise BadFilter("a filter without id, or with uri and domain")
    include: list[_Rule] = []
    exclude: list[_Rule] = []
    triggers: list[tuple[_Change, ...]] = []
    for part in element:
        if not _is_ours(part):
            # RFC 4661 4: extensions are ignored.
            continue
        name = local_name(part)
        if name == "what":
            for one in filter(_is_ours, part):
                if local_name(one) not in ("include", "exclude"):
                    raise BadFilter(f"{local_name(one)} is not understood"[:60])
                (include if local_name(one) == "include" else exclude).append(_rule(one, bindings))
        elif name == "trigger":
            conditions = tuple(_change(one, bindings) for one in filter(_is_ours, part))
            if conditions:
                # RFC 4660 5.4: an empty one is as none.
                triggers.append(conditions)
        else:
            raise BadFilter(f"{name} is not understood"[:60])
    enabled = _flag(element, "enabled", True)
    return Filter(mark, _plain(uri), domain.lower(), enabled, tuple(include), tuple(exclude), tuple(triggers))


def _plain(uri: str) -> str:
    """Return a SIP URI in the form in which two of them are compared."""
    if not uri:
        return ""
    try:
        read = parse_uri(uri)
    except RemoteProtocolError:
        raise BadFilter("the uri of a filter cannot be read") from None
    if not isinstance(read, SipUri) or read.user is None:
        return uri
    return f"sip:{read.user}@{str(read.host).lower()}"


def _rule(element: Element, bindings: Mapping[str, str]) -> _Rule:
    kind, text = element.get("type") or "xpath", (element.text or "").strip()
    if kind == "namespace" and text:
        return _Rule(None, text)
    if kind != "xpath":
        raise BadFilter("the type is neither xpath nor namespace")
    return _Rule(parse_expression(text, bindings), "")


def _change(element: Element, bindings: Mapping[str, str]) -> _Change:
    kind = local_name(element)
    if kind not in ("changed", "added", "removed"):
        raise BadFilter(f"{kind} is not understood"[:60])
    by = element.get("by")
    try:
        step = None if by is None else abs(float(by))
    except ValueError:
        raise BadFilter("by is no number") from None
    expression = parse_expression((element.text or "").strip(), bindings)
    return _Change(kind, expression, element.get("from"), element.get("to"), step)


def applying(filters: tuple[Filter, ...], resource: str) -> Filter | None:
    """Return the filter of ``resource``, an address-of-record; None without one (RFC 4660 5.2.1)."""
    domain = resource.rpartition("@")[2].lower()
    for wanted in ((resource, ""), ("", ""), ("", domain)):
        for one in filters:
            if (one.uri, one.domain) == wanted and one.enabled:
                return one
    return None


# --- content


def filtered(root: Element, one: Filter) -> bool:
    """Take from the document ``root`` what the watcher does not want; return whether anything is left.

    A document that would take too long has nothing left (RFC 4660 5.3.1).
    """
    budget = Budget(_MOST_VISITS)
    try:
        if one.include:
            _keep(root, one.include, budget)
        for rule in one.exclude:
            _drop(root, rule, budget)
    except TooLong:
        return False
    return len(root) > 0


def _selected(root: Element, rule: _Rule, budget: Budget) -> Iterator[Found]:
    if rule.expression is not None:
        yield from select(root, rule.expression, budget)
        return
    for element in root.iter():
        budget.spend()
        if namespace(element) == rule.namespace:
            yield Found(element)


def _keep(root: Element, rules: tuple[_Rule, ...], budget: Budget) -> None:
    # Elements that stay with all that is in them, those that stay themselves, those above; attributes.
    whole: set[Element] = set()
    alone: set[Element] = set()
    above: set[Element] = set()
    attributes: set[tuple[Element, str]] = set()
    for rule in rules:
        for found in _selected(root, rule, budget):
            element = found.element
            if found.attribute is not None:
                attributes.add((element, found.attribute))
                above.add(element)
            elif rule.expression is None:
                alone.add(element)
            else:
                whole.add(element)
            for parent in element.iterancestors():
                if parent in above:
                    break
                budget.spend()
                above.add(parent)
    _prune(root, whole, alone, above, attributes)


def _prune(
    element: Element,
    whole: set[Element],
    alone: set[Element],
    above: set[Element],
    attributes: set[tuple[Element, str]],
) -> None:
    if element in whole:
        return
    if element not in alone:
        for name in list(element.attrib):
            if name not in _NEEDED_ATTRIBUTES and (element, name) not in attributes:
                del element.attrib[name]
    needed = _NEEDED.get(element.tag)
    for child in list(element):
        if child in whole or child in alone or child in above:
            _prune(child, whole, alone, above, attributes)
        elif child.tag == needed:
            # RFC 4661 3.5.1: mandatory, so it is there, with as little in it as is valid.
            if child.tag == _NEEDED[f"{{{PIDF}}}tuple"]:
                child.clear()
        else:
            element.remove(child)


def _drop(root: Element, rule: _Rule, budget: Budget) -> None:
    for found in list(_selected(root, rule, budget)):
        element = found.element
        if found.attribute is not None:
            if found.attribute not in _NEEDED_ATTRIBUTES:
                element.attrib.pop(found.attribute, None)
            continue
        parent = element.getparent()
        # RFC 4661 3.5.2: a step that leaves no valid document is taken back.
        if parent is not None and _NEEDED.get(parent.tag) != element.tag:
            parent.remove(element)


# --- triggers


def snapshot(root: Element, one: Filter) -> Snapshot:
    """Return what the triggers of ``one`` remember of a document; None where that is too much."""
    budget = Budget(_MOST_VISITS)
    found: list[dict[str, tuple[str, str]]] = []
    count = 0
    try:
        for condition in (each for trigger in one.triggers for each in trigger):
            values: dict[str, tuple[str, str]] = {}
            for each in select(root, condition.expression, budget):
                values[_place(each, budget)] = _value(each, budget)
            count += len(values)
            if count > _MOST_VALUES:
                return None
            found.append(values)
    except TooLong:
        return None
    return tuple(found)


def _place(found: Found, budget: Budget) -> str:
    """Return where a thing stands: the elements above it by name and id, or by number."""
    words = [found.attribute or ""]
    element = found.element
    while element is not None:
        mark = element.get("id")
        if mark is None:
            number = 0
            for other in element.itersiblings(preceding=True):
                budget.spend()
                number += other.tag == element.tag
            mark = f"#{number}"
        words.append(f"{element.tag} {mark}")
        element = element.getparent()
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:24]


def _value(found: Found, budget: Budget) -> tuple[str, str]:
    """Return the text of a thing, and a hash of all that it is."""
    if found.attribute is not None:
        text = found.element.get(found.attribute) or ""
        return text[:64], hashlib.sha256(text.encode()).hexdigest()[:24]
    text = text_of(found.element, budget)
    return text[:64], hashlib.sha256(write_xml(found.element)).hexdigest()[:24]


def triggers(one: Filter, before: Snapshot, after: Snapshot) -> bool:
    """Whether the change from one document to another is to be told (RFC 4660 5.3.2)."""
    if not one.triggers or before is None or after is None:
        return True
    at = 0
    for trigger in one.triggers:
        held = [
            _happened(condition, before[at + number], after[at + number])
            for number, condition in enumerate(trigger)
        ]
        at += len(trigger)
        if all(held):
            return True
    return False


def _happened(
    condition: _Change, before: dict[str, tuple[str, str]], after: dict[str, tuple[str, str]]
) -> bool:
    gone = [value for place, value in before.items() if place not in after]
    new = [value for place, value in after.items() if place not in before]
    if condition.kind == "added":
        return bool(new)
    if condition.kind == "removed":
        return bool(gone)
    pairs = [(value, after[place]) for place, value in before.items() if place in after]
    # What came in the place of something that went has changed as well: a phone that publishes where none
    # did has the service of an id of its own.
    pairs += zip(gone, new, strict=False)
    return any(_differs(condition, old, now) for old, now in pairs)


def _differs(condition: _Change, old: tuple[str, str], new: tuple[str, str]) -> bool:
    if old[1] == new[1]:
        return False
    if condition.before is not None and not _same(condition.before, old[0]):
        return False
    if condition.after is not None and not _same(condition.after, new[0]):
        return False
    if (condition.before is not None or condition.after is not None) and _same(old[0], new[0]):
        return False
    if condition.by is None:
        return True
    try:
        return abs(float(new[0]) - float(old[0])) >= condition.by
    except ValueError:
        return False


def _same(one: str, other: str) -> bool:
    # RFC 4661 6.2 writes CLOSED where PIDF has closed.
    return one.strip().casefold() == other.strip().casefold()
