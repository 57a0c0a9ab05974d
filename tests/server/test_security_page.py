"""docs/security.md names a test for every row: each exists, or the table is a promise without proof."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "security.md"
# `interop/test_x.py::test_y`, also with tests/ before it; `::test_z` is of the file named before.
NAMED = re.compile(r"`(?:tests/)?((?:[a-z_0-9]+/)*[a-z_0-9]+\.py)?(?:::(\w+))?`")


@cache
def text(path: Path) -> str:
    return path.read_text("utf-8")


def rows() -> Iterator[tuple[int, str]]:
    """Yield the number and the last cell of each row that is no head."""
    lines = text(PAGE).splitlines()
    for number, line in enumerate(lines, 1):
        is_head = number < len(lines) and set(lines[number]) <= set("|-")
        if line.startswith("|") and not set(line) <= set("|-") and not is_head:
            yield number, line.rstrip("|").rpartition("|")[2]


def faults() -> Iterator[str]:
    for number, cell in rows():
        named = [match for match in NAMED.finditer(cell) if match[1] or match[2]]
        if not named and "table above" not in cell:
            yield f"line {number}: no test is named in {cell!r}"
        path: Path | None = None
        for match in named:
            if match[1]:
                path = ROOT / "tests" / match[1]
                if not path.is_file():
                    yield f"line {number}: there is no {match[1]}"
                    path = None
            if match[2] and (path is None or f"def {match[2]}(" not in text(path)):
                yield f"line {number}: {match[0]} is no test"


def test_every_test_exists() -> None:
    """A test that was renamed, or never landed, is found here."""
    assert list(faults()) == []


def test_tables_are_whole() -> None:
    """A blank line within a table ends it: what follows would be text with bars."""
    lines = text(PAGE).splitlines()
    torn = [
        number + 1
        for number in range(1, len(lines) - 1)
        if not lines[number] and lines[number - 1].startswith("|") and lines[number + 1].startswith("|")
    ]
    assert torn == []
