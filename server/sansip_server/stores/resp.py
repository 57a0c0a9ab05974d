"""The protocol of Redis and Valkey (RESP2, and what we use of RESP3): commands to octets, octets to answers.

Theory of operation: a command is an array of bulk strings, each with its length before it, so no argument is
escaped. An answer begins with its kind. ``Answers`` takes octets as they come, cut anywhere, and gives whole
answers in order. While a long string is on its way it knows how many octets to wait for, and looks at none
before. The arrays that are not complete are kept with the elements that came, so that no octet is read twice:
the time is linear however an answer is cut. Its octets and elements are counted: it may not be endless.
RESP3 has messages that answer nothing (``Push``), and a null of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeAlias

__all__ = [
    "Answers",
    "Command",
    "Malformed",
    "NoScriptError",
    "Push",
    "ReadOnlyError",
    "ResponseError",
    "pack",
]

# A command or one of its arguments: bytes on the wire, or a value that becomes bytes.
Command: TypeAlias = "Sequence[bytes | str | int]"

# Arrays in arrays: those of our scripts have one level.
_DEEPEST: Final = 8
# Redis has no longer strings than this (proto-max-bulk-len).
_LONGEST: Final = 512 * 1024 * 1024
# No status or error is longer.
_LINE: Final = 64 * 1024
# Elements of one answer, arrays in it included: some 100 MB of memory at the most. Ours ask for pages.
_ELEMENTS: Final = 1_000_000


class Malformed(Exception):
    """The peer does not speak the protocol: nothing that follows can be understood."""


class Push:
    """A message that answers no command."""

    __slots__ = ("message",)

    def __init__(self, message: list[Any]) -> None:
        self.message = message


class ResponseError(Exception):
    """Redis answered a command with an error."""


class NoScriptError(ResponseError):
    """It does not know the script that EVALSHA names."""


class ReadOnlyError(ResponseError):
    """It is a replica."""


_ERRORS: Final = {b"NOSCRIPT": NoScriptError, b"READONLY": ReadOnlyError}


def pack(commands: Iterable[Command]) -> bytes:
    """Return ``commands`` as they are sent, one behind the other."""
    out: list[bytes] = []
    for command in commands:
        out.append(b"*%d\r\n" % len(command))
        for one in command:
            octets = one if type(one) is bytes else str(one).encode("utf-8", "surrogateescape")
            out.append(b"$%d\r\n%b\r\n" % (len(octets), octets))
    return b"".join(out)


class _Short(Exception):
    """The answer goes on behind what has come; the argument is the least length that may hold it."""


class _Array:
    """An array whose elements have not all come."""

    __slots__ = ("count", "found", "pushed")

    def __init__(self, count: int, pushed: bool) -> None:
        self.count = count
        self.pushed = pushed
        self.found: list[Any] = []


class Answers:
    """Whole answers from the octets of one connection.

    An answer is bytes, an int, None, a list of these, or a ``ResponseError`` instance; ``Push`` is none.
    """

    __slots__ = ("_elements", "_octets", "_open", "_parts", "_size", "_wanted")

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        # No element ends before there are so many octets.
        self._wanted = 0
        # The arrays that the next element is in, the outermost first.
        self._open: list[_Array] = []
        # What they hold so far.
        self._elements = self._octets = 0

    def feed(self, data: bytes) -> list[Any]:
        """Return the answers that are complete with ``data``; raise ``Malformed``."""
        if self._parts:
            self._parts.append(data)
            self._size += len(data)
            if self._size < self._wanted:
                return []
            data = b"".join(self._parts)
            self._parts = []
        found: list[Any] = []
        at = 0
        size = len(data)
        try:
            while at < size:
                one, after = _read(data, at)
                if self._open or type(one) is _Array:
                    one = self._entered(one, after - at)
                at = after
                if type(one) is not _Array:
                    found.append(one)
        except _Short as short:
            self._parts = [data[at:]]
            self._size = size - at
            self._wanted = short.args[0] - at
        return found

    def _entered(self, one: Any, octets: int) -> Any:
        """Enter an element of ``octets`` into its array; return the whole answer, or an ``_Array``."""
        opened = self._open
        self._elements += 1
        self._octets += octets
        if self._elements > _ELEMENTS or self._octets > _LONGEST:
            raise Malformed("an answer without an end")
        if type(one) is _Array:
            if len(opened) >= _DEEPEST:
                raise Malformed("arrays in arrays")
            opened.append(one)
            return one
        while opened:
            last = opened[-1]
            last.found.append(one)
            if len(last.found) < last.count:
                return last
            one = Push(last.found) if last.pushed else last.found
            opened.pop()
        self._elements = self._octets = 0
        return one


def _read(data: bytes, at: int) -> tuple[Any, int]:
    """Return the element that begins at ``at``, and where it ends; of an array its head."""
    end = data.find(b"\r\n", at)
    if end < 0:
        if len(data) - at > _LINE:
            raise Malformed("a line without an end")
        raise _Short(len(data) + 1)
    kind = data[at : at + 1]
    line = data[at + 1 : end]
    after = end + 2
    if kind == b"$":
        size = _size(line)
        if size < 0:
            return None, after
        past = after + size
        if len(data) < past + 2:
            raise _Short(past + 2)
        return data[after:past], past + 2
    if kind == b":":
        return _number(line), after
    if kind == b"+":
        return line, after
    if kind == b"-":
        code, _, text = line.partition(b" ")
        error = _ERRORS.get(code)
        words = text if error is not None or code == b"ERR" else line
        return (error or ResponseError)(words.decode("utf-8", "replace")), after
    if kind == b"_":
        return None, after
    if kind == b"*" or kind == b">":
        count = _size(line)
        if count <= 0:
            if kind == b">":
                return Push([]), after
            return (None if count < 0 else []), after
        return _Array(count, kind == b">"), after
    raise Malformed(f"an answer of Redis begins with {kind!r}")


def _size(line: bytes) -> int:
    size = _number(line)
    if not -1 <= size <= _LONGEST:
        raise Malformed(f"a length of {size}")
    return size


def _number(line: bytes) -> int:
    # Longer texts take more than linear time, and are no numbers of Redis (64 bits).
    if len(line) <= 20:
        try:
            return int(line)
        except ValueError:
            pass
    raise Malformed(f"{line[:40]!r} in the place of a number")
