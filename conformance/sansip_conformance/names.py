"""Names and patterns: ``<b1>`` captures once and compares afterwards.

Theory of operation: text of a trace is a template. When something is sent every
``<name>`` is replaced by its value. When something is expected a known
``<name>`` stands for its value, an unknown one matches anything and keeps it,
and ``<*>`` matches anything. ``<inv.branch>`` reads a field of a message that
was named with ``as inv``.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from sansip.errors import RemoteProtocolError
from sansip.testing import Draft
from sansip.wire import Request, Response, parse_name_addr, split_values

__all__ = ["Names", "UnknownNameError", "params_of", "values_of"]

_NAME = re.compile(r"<(\*|[A-Za-z][\w-]*(?:\.[\w-]+)?)>")
Named = Request | Response | Draft

# Fields whose values are compared parameter by parameter.
_WITH_PARAMS = frozenset(
    ("via", "from", "to", "contact", "route", "record-route", "path", "service-route", "reply-to", "refer-to")
)
_LISTS = _WITH_PARAMS - {"from", "to", "reply-to", "refer-to"} | {
    "require", "supported", "proxy-require", "unsupported", "allow", "accept", "in-reply-to", "error-info",
}  # fmt: skip


class UnknownNameError(Exception):
    """A name in a trace that means nothing."""


class Names:
    """Everything that a ``<name>`` can stand for in one run of one trace."""

    def __init__(
        self, lookup: Callable[[str], str | None], rewrite: Callable[[str], str] = lambda text: text
    ) -> None:
        self._rewrite = rewrite
        self.values: dict[str, str] = {}
        self.messages: dict[str, Named] = {}
        self._lookup = lookup

    def get(self, name: str) -> str | None:
        """Return the value of ``name``, None when it is free."""
        if name in self.values:
            return self.values[name]
        known = self._lookup(name)
        if known is not None:
            return known
        head, dot, part = name.partition(".")
        if dot:
            message = self.messages.get(head)
            if message is None:
                raise UnknownNameError(f"<{name}>: no message is named {head} yet; name one with `as {head}`")
            return _field(message, part)
        return None

    def expand(self, text: str) -> str:
        """Return ``text`` with every name replaced. Raises UnknownNameError."""

        def value(match: re.Match[str]) -> str:
            found = None if match[1] == "*" else self.get(match[1])
            if found is None:
                raise UnknownNameError(
                    f"<{match[1]}> has no value yet; it is given one by an expectation, or with `as`"
                )
            return found

        return _NAME.sub(value, self._rewrite(text))

    def match(self, pattern: str, text: str) -> bool:
        """Whether ``text`` fits ``pattern``; free names take their values from it."""
        return self._match(self._rewrite(pattern), text)

    def _match(self, pattern: str, text: str) -> bool:
        if len(pattern) > 1 and pattern[0] == pattern[-1] == "/":
            return re.search(pattern[1:-1], text) is not None
        parts: list[str] = []
        free: list[str] = []
        at = 0
        for match in _NAME.finditer(pattern):
            parts.append(re.escape(pattern[at : match.start()]))
            at = match.end()
            name = match[1]
            if name == "*":
                parts.append("(?:.*?)")
                continue
            value = self.get(name)
            if value is not None:
                parts.append(_value_pattern(value))
            elif name in free:
                parts.append(f"(?P=g{free.index(name)})")
            else:
                parts.append(f"(?P<g{len(free)}>.+?)")
                free.append(name)
        parts.append(re.escape(pattern[at:]))
        found = re.fullmatch("".join(parts), text, re.DOTALL)
        if found is None:
            return False
        for number, name in enumerate(free):
            self.values[name] = found[f"g{number}"]
        return True

    def _known(self, match: re.Match[str]) -> str:
        """Return the value of a name, or the name as it stands when it has none."""
        value = None if match[1] == "*" else self.get(match[1])
        return match[0] if value is None or value.endswith(":5060") else value

    def match_value(self, key: str, pattern: str, text: str) -> bool:
        """Whether a header value fits: for addresses and Via the parameters written must be there.

        ``;-lr`` says that a parameter must not be there.
        """
        if key not in _WITH_PARAMS or (pattern[:1] == "/" and pattern[-1:] == "/"):
            return self.match(_tidy(pattern), _tidy(text))
        pattern = _NAME.sub(self._known, self._rewrite(pattern))
        wanted, given = params_of(pattern), params_of(text)
        if not self._match(_tidy(wanted[0]), _tidy(given[0])):
            return False
        have = {name.strip().lower(): (name, sign, value) for name, sign, value in given[1]}
        for name, sign, value in wanted[1]:
            bare = name.strip().lower()
            if bare.startswith("-"):
                if bare[1:] in have:
                    return False
                continue
            found = have.get(bare)
            if found is None or (sign and not self._match(value.strip(), found[2].strip())):
                return False
        return True


def _value_pattern(value: str) -> str:
    """Return a pattern for a known value; 5060 may be left out of an address (RFC 3261 18.1.1, 19.1.2)."""
    if value.endswith(":5060"):
        return re.escape(value.removesuffix(":5060")) + "(?::5060)?"
    return re.escape(value)


def _field(message: Named, part: str) -> str:
    """Return field ``part`` of a named message."""
    value: str | None
    if part == "uri":
        value = message.uri if isinstance(message, Draft) else getattr(message, "uri_text", None)
    elif part == "branch":
        value = {name.lower(): text for name, _, text in params_of(message.get("via") or "")[1]}.get("branch")
    elif part in ("from-tag", "to-tag"):
        value = {name: text for name, _, text in params_of(message.get(part[:-4]) or "")[1]}.get("tag")
    elif part == "target":
        contact = message.get("contact")
        value = None
        if contact is not None:
            try:
                value = str(parse_name_addr(contact, "Contact", "RFC 3261 20.10").uri)
            except RemoteProtocolError:
                value = None
    elif part == "cseq-number":
        value = (message.get("cseq") or "").split(" ")[0]
    else:
        value = message.get(part)
    if value is None:
        raise UnknownNameError(f"the message has no {part}")
    return value


def _tidy(text: str) -> str:
    """Return ``text`` with runs of white space as one space."""
    return " ".join(text.split())


def params_of(value: str) -> tuple[str, list[tuple[str, str, str]]]:
    """Split ``value`` at the semicolons outside of quotes and angle brackets.

    Returns the part before the first one, and (name, "=" or "", text) of each parameter.
    """
    pieces: list[str] = []
    depth, quoted, start = 0, False, 0
    at = 0
    while at < len(value):
        char = value[at]
        if quoted:
            if char == "\\":
                at += 1
            elif char == '"':
                quoted = False
        elif char == '"':
            quoted = True
        elif char == "<":
            depth += 1
        elif char == ">":
            depth -= 1
        elif char == ";" and depth == 0:
            pieces.append(value[start:at])
            start = at + 1
        at += 1
    pieces.append(value[start:])
    params = []
    for piece in pieces[1:]:
        name, sign, text = piece.partition("=")
        params.append((name.strip(), sign, text.strip()))
    return pieces[0].strip(), params


def values_of(key: str, lines: list[str]) -> list[str]:
    """Return the single values of header ``key`` over its ``lines``."""
    if key not in _LISTS:
        return lines
    return [value for line in lines for value in split_values(line) if value]
