"""Node selectors of XCAP URIs (RFC 4825 6.3), and the namespace bindings in their query (6.4).

Theory of operation: the text is decoded before it gets here. One pattern reads one step, each character is
read once, and the number of steps and bindings is bounded, so a selector costs as much as it is long. It is
no XPath: what the grammar does not have is an extension selector, and this server has no extensions (404).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias

from sansip.modules.xcap.faults import Fault
from sansip.modules.xcap.references import resolved

__all__ = [
    "XML",
    "AttributeName",
    "Expanded",
    "Selector",
    "Step",
    "Terminal",
    "parse_bindings",
    "parse_selector",
]

# A namespace ("" for none) and a local name.
Expanded: TypeAlias = tuple[str, str]

XML: Final = "http://www.w3.org/XML/1998/namespace"
_NCNAME: Final = r"[^\W\d][\w.\-·]*+"
_STEP: Final = re.compile(
    rf"(?:(?P<any>\*)|(?:(?P<prefix>{_NCNAME}):)?(?P<local>{_NCNAME}))"
    r"(?:\[(?P<position>[0-9]{1,9})\])?"
    rf"(?:\[@(?:(?P<attribute_prefix>{_NCNAME}):)?(?P<attribute>{_NCNAME})="
    r"""(?P<value>"[^"<]*+"|'[^'<]*+')\])?"""
)
_ATTRIBUTE: Final = re.compile(rf"@(?:(?P<prefix>{_NCNAME}):)?(?P<local>{_NCNAME})")
_SCHEME: Final = re.compile(rf"\s*(?P<name>(?:{_NCNAME}:)?{_NCNAME})\(")
_BINDING: Final = re.compile(rf"\s*(?P<prefix>{_NCNAME})\s*=\s*(?P<uri>\S*)\s*")
_SHORTHAND: Final = re.compile(rf"\s*{_NCNAME}\s*")
# No document is deeper (``sansip.module.xml``).
_MOST_STEPS: Final = 32
_MOST_BINDINGS: Final = 32


class Terminal(Enum):
    """What a selector selects that selects no attribute."""

    ELEMENT = "element"
    NAMESPACES = "namespace::*"


@dataclass(frozen=True, slots=True)
class AttributeName:
    """The attribute at the end of a selector; ``prefix`` as it was written."""

    name: Expanded
    prefix: str


@dataclass(frozen=True, slots=True)
class Step:
    """One step. ``name``: None for ``*``; ``position`` counts from 1; ``attribute``: its name and value."""

    name: Expanded | None
    position: int | None = None
    attribute: tuple[Expanded, str] | None = None


@dataclass(frozen=True, slots=True)
class Selector:
    """A node selector. ``texts`` are the steps as they were written, for a URI of an ancestor."""

    steps: tuple[Step, ...]
    terminal: Terminal | AttributeName
    texts: tuple[str, ...]


def parse_selector(text: str, bindings: Mapping[str, str], default: str) -> Selector:
    """Return what ``text`` selects; ``default`` is the default document namespace.

    Raises ``Fault``: 404 for an extension, 400 for a prefix without a binding (RFC 4825 8).
    """
    steps: list[Step] = []
    texts: list[str] = []
    at = 0
    while True:
        if steps and text.startswith("@", at):
            match = _ATTRIBUTE.fullmatch(text, at)
            if match is None:
                raise _extension()
            prefix = match["prefix"] or ""
            name = _expanded(prefix, match["local"], bindings, "")
            return Selector(tuple(steps), AttributeName(name, prefix), tuple(texts))
        if steps and text[at:] == Terminal.NAMESPACES.value:
            return Selector(tuple(steps), Terminal.NAMESPACES, tuple(texts))
        match = _STEP.match(text, at)
        if match is None or len(steps) >= _MOST_STEPS:
            raise _extension()
        steps.append(_step(match, bindings, default))
        texts.append(match[0])
        at = match.end()
        if at == len(text):
            return Selector(tuple(steps), Terminal.ELEMENT, tuple(texts))
        if text[at] != "/":
            raise _extension()
        at += 1


def _step(match: re.Match[str], bindings: Mapping[str, str], default: str) -> Step:
    name = None
    if match["any"] is None:
        name = _expanded(match["prefix"] or "", match["local"], bindings, default)
    position = None if match["position"] is None else int(match["position"])
    attribute = None
    if match["attribute"] is not None:
        value = resolved(match["value"][1:-1])
        if value is None:
            raise _extension()
        # RFC 4825 6.3: an attribute without a prefix is in no namespace.
        attribute = _expanded(match["attribute_prefix"] or "", match["attribute"], bindings, ""), value
    return Step(name, position, attribute)


def _expanded(prefix: str, local: str, bindings: Mapping[str, str], default: str) -> Expanded:
    if not prefix:
        return default, local
    namespace = bindings.get(prefix)
    if namespace is None:
        # RFC 4825 8: a prefix that the query does not define.
        raise Fault(400, f"the prefix {prefix!r:.40} has no xmlns() in the query of the URI")
    return namespace, local


def _extension() -> Fault:
    # RFC 4825 8: extension selectors that the server does not understand.
    return Fault(404, "this is no node selector of RFC 4825, and the server has no extensions")


def parse_bindings(text: str) -> dict[str, str]:
    """Return the prefixes that the query of a URI binds. Raises ``Fault`` 400 for one that is no xpointer.

    RFC 4825 6.4: expressions of other schemes are ignored.
    """
    # Namespaces in XML 3: this prefix is always bound.
    found = {"xml": XML}
    at = 0
    while text[at:].strip():
        match = _SCHEME.match(text, at)
        if match is None:
            if at == 0 and _SHORTHAND.fullmatch(text):
                return found
            raise Fault(400, "the query of the URI is no xpointer expression")
        data, at = _data(text, match.end())
        if match["name"] != "xmlns":
            continue
        binding = _BINDING.fullmatch(data)
        if binding is None:
            raise Fault(400, "xmlns() in the query has to be xmlns(prefix=namespace)")
        if binding["prefix"] not in ("xml", "xmlns"):
            found[binding["prefix"]] = binding["uri"]
        if len(found) > _MOST_BINDINGS:
            raise Fault(400, "too many xmlns() in the query of the URI")
    return found


def _data(text: str, at: int) -> tuple[str, int]:
    """Return the data behind an opening parenthesis, and where it ends (XPointer Framework 3.1)."""
    depth = 1
    data: list[str] = []
    while at < len(text):
        character = text[at]
        at += 1
        if character == "^":
            if at == len(text) or text[at] not in "()^":
                break
            character = text[at]
            at += 1
        elif character == "(":
            depth += 1
        elif character == ")":
            depth -= 1
            if not depth:
                return "".join(data), at
        data.append(character)
    raise Fault(400, "the query of the URI has parentheses that do not end")
