"""Expressions of filters (RFC 4661 5): a small part of XPath, read by a grammar of its own.

Theory of operation: an expression is a path of steps (``/``, ``//``, ``*``, a name, at its end an attribute),
each with at most one condition of comparisons. It is read once, when the filter comes. Looking it up visits
elements one by one and counts them: a ``Budget`` ends what would take too long. No XPath engine ever sees the
text of a stranger.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from sansip.module.xml import Element
from sansip.modules.events import BadFilter

__all__ = ["Budget", "Expression", "Found", "TooLong", "parse_expression", "select", "text_of"]

_NAME: Final = r"[^\W\d][\w.\-]*"
_TOKEN: Final = re.compile(
    rf"\s*(?:(?P<axis>//?)|(?P<parent>\.\.)|(?P<self>\.)|(?P<any>\*)|(?P<open>\[)|(?P<close>\])"
    rf"|(?P<compare>[=<>])|(?P<at>@)|(?P<string>\"[^\"]*\"|'[^']*')|(?P<number>-?[0-9]+(?:\.[0-9]+)?)"
    rf"|(?P<name>{_NAME}(?::{_NAME})?))"
)
_LONGEST: Final = 1_024
_MOST_STEPS: Final = 16
_MOST_COMPARISONS: Final = 8

# A name with its namespace, as lxml writes it; "*" for any.
_Name = str


class TooLong(Exception):
    """A filter would visit more elements than it may."""


class Budget:
    """The elements that one NOTIFY may visit."""

    __slots__ = ("left",)

    def __init__(self, most: int) -> None:
        self.left = most

    def spend(self) -> None:
        """Count one element. Raises ``TooLong``."""
        self.left -= 1
        if self.left < 0:
            raise TooLong


@dataclass(frozen=True, slots=True)
class _Comparison:
    """``path`` leads from the element to others: "." stays, ".." goes up. ``attribute``: one of theirs."""

    path: tuple[_Name, ...]
    attribute: _Name | None
    compare: str
    value: str
    is_number: bool


@dataclass(frozen=True, slots=True)
class _Step:
    """``deep``: at any depth below (``//``). ``anyof``: groups of comparisons; all of one group hold."""

    name: _Name
    deep: bool
    anyof: tuple[tuple[_Comparison, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Expression:
    """A path from the document down; ``attribute``: what is selected is that of the last elements."""

    steps: tuple[_Step, ...]
    attribute: _Name | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """An element that is selected, or with ``attribute`` that one of it."""

    element: Element
    attribute: str | None = None


class _Reader:
    """The tokens of one expression."""

    def __init__(self, text: str, bindings: Mapping[str, str]) -> None:
        self._bindings = bindings
        self.tokens: list[tuple[str, str]] = []
        if len(text) > _LONGEST:
            raise BadFilter("an expression is too long")
        text = text.rstrip()
        at = 0
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                raise BadFilter("an expression cannot be read")
            self.tokens.append((match.lastgroup or "", match[0].strip()))
            at = match.end()
        self.at = 0

    @property
    def kind(self) -> str:
        """That of the next token; "" at the end."""
        return self.tokens[self.at][0] if self.at < len(self.tokens) else ""

    def take(self, *kinds: str) -> str:
        """Return the next token, which has to be of one of these kinds."""
        if self.kind not in kinds:
            raise BadFilter("an expression is not supported")
        self.at += 1
        return self.tokens[self.at - 1][1]

    def name(self) -> _Name:
        """Return the next name, expanded (RFC 4661 5: one without a prefix is in no namespace)."""
        text = self.take("name", "any")
        prefix, colon, local = text.rpartition(":")
        if not colon:
            return local
        if prefix not in self._bindings:
            raise BadFilter("a prefix is not bound by ns-bindings")
        return f"{{{self._bindings[prefix]}}}{local}"


def parse_expression(text: str, bindings: Mapping[str, str]) -> Expression:
    """Return what ``text`` selects; ``bindings`` are prefixes. Raises ``BadFilter``."""
    reader = _Reader(text, bindings)
    steps: list[_Step] = []
    while reader.kind:
        deep = reader.take("axis") == "//"
        if reader.kind == "at" and steps and not deep:
            reader.take("at")
            attribute = reader.name()
            if reader.kind or attribute == "*":
                raise BadFilter("an expression is not supported")
            return Expression(tuple(steps), attribute)
        name = reader.name()
        steps.append(_Step(name, deep, _condition(reader)))
        if len(steps) > _MOST_STEPS:
            raise BadFilter("an expression has too many steps")
    if not steps:
        raise BadFilter("an expression is empty")
    return Expression(tuple(steps))


def _condition(reader: _Reader) -> tuple[tuple[_Comparison, ...], ...]:
    if reader.kind != "open":
        return ()
    reader.take("open")
    groups: list[list[_Comparison]] = [[]]
    count = 0
    while True:
        groups[-1].append(_comparison(reader))
        count += 1
        if count > _MOST_COMPARISONS:
            raise BadFilter("a condition has too many comparisons")
        if reader.kind == "close":
            reader.take("close")
            return tuple(map(tuple, groups))
        word = reader.take("name")
        if word == "or":
            groups.append([])
        elif word != "and":
            raise BadFilter("an expression is not supported")


def _comparison(reader: _Reader) -> _Comparison:
    path: list[_Name] = []
    attribute = None
    if reader.kind in ("self", "parent"):
        path.append(reader.take("self", "parent"))
    else:
        while True:
            if reader.kind == "at":
                reader.take("at")
                attribute = reader.name()
                break
            path.append(reader.name())
            if reader.kind != "axis" or len(path) >= _MOST_STEPS:
                break
            if reader.take("axis") != "/":
                raise BadFilter("an expression is not supported")
    compare = reader.take("compare")
    is_number = reader.kind == "number"
    value = reader.take("string", "number")
    return _Comparison(tuple(path), attribute, compare, value if is_number else value[1:-1], is_number)


# --- looking up


def select(root: Element, expression: Expression, budget: Budget) -> list[Found]:
    """Return what is selected below the document whose root element is ``root``. Raises ``TooLong``."""
    found: list[Element] = []
    for number, step in enumerate(expression.steps):
        candidates = _document(root, step, budget) if number == 0 else _below(found, step, budget)
        found = [one for one in candidates if _holds(one, step, budget)]
    if expression.attribute is None:
        return [Found(one) for one in found]
    name = expression.attribute
    return [Found(one, name) for one in found if name in one.attrib]


def _document(root: Element, step: _Step, budget: Budget) -> list[Element]:
    found = []
    for one in root.iter() if step.deep else (root,):
        budget.spend()
        if step.name in ("*", one.tag):
            found.append(one)
    return found


def _below(elements: Iterable[Element], step: _Step, budget: Budget) -> list[Element]:
    # In the order of the document, each once.
    found: dict[Element, None] = {}
    for above in elements:
        for one in above.iterdescendants() if step.deep else above:
            budget.spend()
            if step.name in ("*", one.tag):
                found[one] = None
    return list(found)


def _holds(element: Element, step: _Step, budget: Budget) -> bool:
    if not step.anyof:
        return True
    return any(all(_compares(element, one, budget) for one in group) for group in step.anyof)


def _compares(element: Element, comparison: _Comparison, budget: Budget) -> bool:
    found = [element]
    for name in comparison.path:
        if name == ".":
            continue
        if name == "..":
            parent = element.getparent()
            found = [] if parent is None else [parent]
            continue
        below: list[Element] = []
        for above in found:
            for one in above:
                budget.spend()
                if name in ("*", one.tag):
                    below.append(one)
        found = below
    for one in found:
        if comparison.attribute is None:
            value: str | None = text_of(one, budget)
        else:
            value = one.get(comparison.attribute)
        if value is not None and _is(value, comparison):
            return True
    return False


def text_of(element: Element, budget: Budget) -> str:
    """Return all text in ``element``, without the space around it."""
    parts: list[str] = []
    for one in element.iter():
        budget.spend()
        parts.append(one.text or "")
        if one is not element:
            parts.append(one.tail or "")
    return "".join(parts).strip()


def _is(value: str, comparison: _Comparison) -> bool:
    if comparison.compare == "=" and not comparison.is_number:
        return value == comparison.value
    try:
        left, right = float(value), float(comparison.value)
    except ValueError:
        # XPath 1.0 3.4: not a number, so neither is it less nor more.
        return False
    if comparison.compare == "=":
        return left == right
    return left < right if comparison.compare == "<" else left > right
