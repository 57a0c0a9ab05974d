"""A part of a description, before or from an ``m=`` on: its lines and attributes (RFC 8866 5).

Theory of operation: a section is the octets that it came as. They are taken apart into lines at the first
question about one of them, and each line keeps its end. An edit replaces, adds or removes whole lines, so
the others stay octet for octet. Every method takes time linear in the section.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from sansip.errors import LocalProtocolError, RemoteProtocolError

__all__ = ["Section", "decoded", "encoded", "malformed"]

# Characters of a line that an error shows.
_SHOWN: Final = 40


def decoded(octets: bytes) -> str:
    """Return a line's text; octets that are not UTF-8 come back by ``encoded``."""
    return octets.decode("utf-8", "surrogateescape")


def encoded(text: str) -> bytes:
    """Return the octets of ``text``. Raises LocalProtocolError where it does not fit on one line."""
    # RFC 8866 9: byte-string has neither NUL nor a line end.
    if "\r" in text or "\n" in text or "\0" in text:
        raise LocalProtocolError(f"{text[:_SHOWN]!r} does not fit on one line (RFC 8866 9)")
    return text.encode("utf-8", "surrogateescape")


def malformed(line: str, section: str) -> RemoteProtocolError:
    """Return the error for a ``line`` that breaks the rule of ``section``."""
    # RFC 3261 21.4.26: the description is what the callee cannot accept.
    return RemoteProtocolError(f"malformed SDP line {line[:_SHOWN]!r}", status=488, section=section)


class Section:
    """Lines in order, each as it came. ``ends`` are the octets that end a new line."""

    # RFC 8866 5: the order of the kinds of lines.
    ORDER = "vosiuepcbtrzka"

    __slots__ = ("_data", "_lines", "ends")

    def __init__(self, data: bytes, ends: bytes = b"\r\n") -> None:
        self._data = data
        self._lines: list[bytes] | None = None
        self.ends = ends

    def to_bytes(self) -> bytes:
        """Return the octets: those that came, but for what was edited."""
        return self._data if self._lines is None else b"".join(self._lines)

    @property
    def raw_lines(self) -> list[bytes]:
        """The lines with their ends."""
        lines = self._lines
        if lines is None:
            lines = self._data.split(b"\n")
            last = lines.pop()
            lines = [line + b"\n" for line in lines]
            if last:
                lines.append(last)
            self._lines = lines
        return lines

    # --- lines

    def first(self, kind: str) -> str | None:
        """Return the value of the first line ``kind=…``, or None."""
        begin = kind.encode() + b"="
        for line in self.raw_lines:
            if line.startswith(begin):
                return decoded(line[2:].rstrip(b"\r\n"))
        return None

    def all(self, kind: str) -> list[str]:
        """Return the values of all lines ``kind=…``."""
        begin = kind.encode() + b"="
        return [decoded(line[2:].rstrip(b"\r\n")) for line in self.raw_lines if line.startswith(begin)]

    def set(self, kind: str, value: str) -> None:
        """Put ``value`` into the first line ``kind=…``, which is added at its place where there is none."""
        line = kind.encode() + b"=" + encoded(value)
        lines = self.raw_lines
        for index, old in enumerate(lines):
            if old[:2] == line[:2]:
                lines[index] = line + self._end_of(old)
                return
        self._insert(line, kind)

    def remove(self, kind: str) -> None:
        """Remove all lines ``kind=…``."""
        begin = kind.encode() + b"="
        self.drop(lambda line: line.startswith(begin))

    def drop(self, unwanted: Callable[[bytes], bool]) -> None:
        """Remove the lines for which ``unwanted(line with its end)`` is true."""
        lines = self.raw_lines
        kept = [line for line in lines if not unwanted(line)]
        if len(kept) < len(lines):
            self._lines = kept

    def _end_of(self, line: bytes) -> bytes:
        return line[len(line.rstrip(b"\r\n")) :]

    def _insert(self, line: bytes, kind: str) -> None:
        """Insert ``line`` behind the last one of a kind that may stand before it (RFC 8866 5)."""
        lines = self.raw_lines
        before = self.ORDER[: self.ORDER.find(kind) + 1].encode()
        place = 0
        for index, old in enumerate(lines):
            if old[:1] in before and old[1:2] == b"=":
                place = index + 1
        if place and not lines[place - 1].endswith(b"\n"):
            lines[place - 1] += self.ends
        lines.insert(place, line + self.ends)

    # --- attributes (RFC 8866 5.13); their names are case-sensitive

    def attribute(self, name: str) -> str | None:
        """Return the value of the first ``a=name:value``, "" for a flag ``a=name``, None without one."""
        flag = b"a=" + name.encode()
        for line in self.raw_lines:
            if line.startswith(flag):
                rest = line[len(flag) :].rstrip(b"\r\n")
                if not rest:
                    return ""
                if rest[:1] == b":":
                    return decoded(rest[1:])
        return None

    def attributes(self, name: str) -> list[str]:
        """Return the values of all attributes ``name``."""
        begin = b"a=" + name.encode() + b":"
        size = len(begin)
        return [decoded(line[size:].rstrip(b"\r\n")) for line in self.raw_lines if line.startswith(begin)]

    def add_attribute(self, name: str, value: str | None = None) -> None:
        """Add an attribute behind all others; None makes a flag."""
        self._insert(encoded(f"a={name}" if value is None else f"a={name}:{value}"), "a")

    def set_attribute(self, name: str, value: str | None = None) -> None:
        """Have exactly one attribute ``name``, at the place of the first one if there is one."""
        line = encoded(f"a={name}" if value is None else f"a={name}:{value}")
        lines = self.raw_lines
        found = [index for index, old in enumerate(lines) if _name_of(old) == name.encode()]
        if not found:
            self._insert(line, "a")
            return
        lines[found[0]] = line + self._end_of(lines[found[0]])
        others = set(found[1:])
        if others:
            self._lines = [old for index, old in enumerate(lines) if index not in others]

    def remove_attributes(self, names: Collection[str]) -> None:
        """Remove all attributes of ``names``."""
        unwanted = {name.encode() for name in names}
        self.drop(lambda line: _name_of(line) in unwanted)


def _name_of(line: bytes) -> bytes | None:
    """Return the name of an attribute, None for any other line."""
    if not line.startswith(b"a="):
        return None
    return line[2:].partition(b":")[0].rstrip(b"\r\n")
