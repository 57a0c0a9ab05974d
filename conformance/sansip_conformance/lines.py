"""The lines of a trace file: the place of the reader, and its message about a mistake.

Theory of operation: a file is read line by line. Indented lines belong to the line
above them; ``indented`` takes them, ``block`` reads them as a message. A mistake is a
``TraceSyntaxError`` with file, line, and what to write instead.
"""

from __future__ import annotations

import re

from sansip_conformance.trace import Block, Line

__all__ = ["Lines", "TraceSyntaxError"]

_FIELD = r"[A-Za-z][\w.!%*+`'~-]*"
# Lines of a message that are no header fields, most particular first: the kind, and its pattern
# with the groups "name" and "value".
_KINDS = (
    ("absent", re.compile(r"-\s*(?P<name>[A-Za-z][\w-]*)(?P<value>)")),
    ("like", re.compile(r"like (?P<name>[\w-]+)(?: except (?P<value>.+))?")),
    ("count", re.compile(r"count (?P<name>[A-Za-z][\w-]*) (?P<value>\d+)")),
    ("credentials", re.compile(r"credentials (?P<name>\S+) (?P<value>\S.*)")),
    ("contains", re.compile(rf"(?P<name>{_FIELD})\s*~\s*(?P<value>.*)")),
    ("lacks", re.compile(rf"(?P<name>{_FIELD})\s*!~\s*(?P<value>.*)")),
)
_START = re.compile(r"SIP/2\.0 \d|[A-Za-z]+ \S+ SIP/2\.0$")
_HEADER = re.compile(r"([^\s:][^:]*?)\s*:\s*(.*)")


class TraceSyntaxError(ValueError):
    """A trace file that cannot be read. ``str()`` is ``file:line: what; the fix``."""

    def __init__(self, path: str, line: int, problem: str) -> None:
        super().__init__(f"{path}:{line}: {problem}")
        self.path = path
        self.line = line
        self.problem = problem


class Lines:
    """The lines of one file. ``at`` is the number of the line last taken, from 1."""

    def __init__(self, text: str, path: str) -> None:
        self.path = path
        self.at = 0
        self._lines = text.replace("\r\n", "\n").split("\n")

    def fail(self, problem: str, line: int | None = None) -> TraceSyntaxError:
        """Return the error for ``line``, the one last taken by default."""
        return TraceSyntaxError(self.path, self.at if line is None else line, problem)

    def next(self) -> str | None:
        """Take the next line that begins in the first column, without its comment; None at the end."""
        while self.at < len(self._lines):
            line = self._lines[self.at]
            self.at += 1
            if not line.strip() or line.startswith("#"):
                continue
            if line[0] in " \t":
                raise self.fail("an indented line belongs below a step; begin this one in the first column")
            line = re.sub(r"\s+#(?:\s.*)?$", "", line).rstrip()
            # Before the comment there may have been only other white space.
            if line:
                return line
        return None

    def indented(self) -> list[str]:
        """Take the indented lines that follow; blank ones count when more follow. Dedented."""
        taken: list[str] = []
        blank = 0
        start = at = self.at
        while at < len(self._lines):
            line = self._lines[at]
            if not line.strip():
                blank += 1
            elif line[0] in " \t":
                taken += [""] * blank
                blank = 0
                taken.append(line)
            else:
                break
            at += 1
        self.at = start + len(taken)
        margin = min((len(line) - len(line.lstrip()) for line in taken if line.strip()), default=0)
        return [line[margin:] for line in taken]

    def block(self, *, raw: bool = False) -> Block:
        """Take the indented message that follows."""
        first = self.at + 1
        lines = self.indented()
        block = Block(raw="\n".join(lines))
        if raw:
            return block
        for number, line in enumerate(lines):
            if not line.strip():
                block.body = "\n".join(lines[number + 1 :])
                break
            block.lines.append(self._message_line(line, first + number, number == 0))
        return block

    def _message_line(self, line: str, number: int, is_first: bool) -> Line:
        if line.startswith("#"):
            return Line("comment", "", "", number)
        for kind, pattern in _KINDS:
            if match := pattern.fullmatch(line):
                return Line(kind, match["name"], match["value"] or "", number)
        if is_first and _START.match(line):
            return Line("start", "", line, number)
        if match := _HEADER.fullmatch(line):
            return Line("header", match[1], match[2].rstrip(), number)
        raise self.fail(
            f"`{line[:40]}` is no header field; write `Name: value`, `-Name`, `Name ~ value` or `like inv`",
            number,
        )
