"""On which line of a TOML file a key stands, so that a fault can be found.

Theory of operation: the standard parser gives values without positions. A
key stands at the start of a line, after the last table header; that is enough to
point at it. For a key inside an inline table, the line is that of its outer key. A key that
cannot be found has no line; the fault still names its path.
"""

from __future__ import annotations

import re

__all__ = ["KeyLines"]

_PART = r"""(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')"""
_NAME = rf"{_PART}(?:[ \t]*\.[ \t]*{_PART})*"
_TABLE = re.compile(rf"[ \t]*\[\[?[ \t]*({_NAME})[ \t]*\]")
_KEY = re.compile(rf"[ \t]*({_NAME})[ \t]*=")
_PARTS = re.compile(_PART)
_INDEX = re.compile(r"\[\d+\]")


class KeyLines:
    """The line (from 1) of each key and table of ``text``."""

    def __init__(self, text: str) -> None:
        self._lines: dict[str, int] = {}
        # Name of a repeated table -> how many there were.
        repeated: dict[str, int] = {}
        table: list[str] = []
        for number, line in enumerate(text.splitlines(), 1):
            if found := _TABLE.match(line):
                table = _names(found[1])
                if line.lstrip().startswith("[["):
                    name = ".".join(table)
                    self._lines.setdefault(name, number)
                    repeated[name] = repeated.get(name, 0) + 1
                    table[-1] += f"[{repeated[name] - 1}]"
                    self._lines[".".join(table)] = number
                self._lines.setdefault(".".join(table), number)
            elif found := _KEY.match(line):
                path = [*table, *_names(found[1])]
                for depth in range(len(table) + 1, len(path) + 1):
                    name = ".".join(path[:depth])
                    self._lines.setdefault(name, number)
                    self._lines.setdefault(_INDEX.sub("", name), number)

    def find(self, path: str) -> int | None:
        """Return the line of ``path`` (``limits.branches``, ``listen[2]``), or of the key that holds it."""
        while path:
            # A list in one line has no line for each of its elements.
            for name in (path, _INDEX.sub("", path)):
                if name in self._lines:
                    return self._lines[name]
            path = path.rpartition(".")[0]
        return None


def _names(dotted: str) -> list[str]:
    return [part.strip("\"'") for part in _PARTS.findall(dotted)]
