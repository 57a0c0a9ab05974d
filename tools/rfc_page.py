"""Writes docs/rfcs.md: for each section of an RFC, the files that obey it and the tests that check it.

Theory of operation: the code cites the section above the line that obeys it, and a test above the assertion
that checks it (CONTRIBUTING.md). A citation is ``RFC 3261 16.6`` with any further sections after commas; a
comment may break the line in it. A test compares the page with what this makes.

Run ``python -m tools.rfc_page`` to write the page.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

__all__ = ["PAGE", "citations", "page"]

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "rfcs.md"
SOURCES = ("sansip", "adapters", "server", "conformance")
HEAD = """\
# RFC sections and the files that obey them

`python -m tools.rfc_page` writes this page from the citations in the code. A section without a test here may
be checked all the same: by a trace of `conformance/`, or by a test that cites a neighbour.
"""

_SECTION = r"(?:[A-Z]\.)?\d+(?:\.\d+)*\b(?!\s*(?:ms|s|octets|seconds)\b)"
_CITATION = re.compile(rf"RFC (\d{{3,4}}) ({_SECTION}(?:(?:, | and |, and ){_SECTION}(?!:? RFC))*)")
# A comment or a docstring goes on with the next line.
_BREAK = re.compile(r"\n\s*(?:#:? )?\s*")
# RFC -> section -> files
Index = dict[int, dict[str, set[str]]]


def citations(text: str) -> Iterator[tuple[int, str]]:
    """Yield each (RFC, section) that ``text`` cites."""
    for found in _CITATION.finditer(_BREAK.sub(" ", text)):
        for section in re.findall(_SECTION, found[2]):
            yield int(found[1]), section


def _index(folders: tuple[str, ...]) -> Index:
    index: Index = defaultdict(lambda: defaultdict(set))
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            for number, section in citations(path.read_text(encoding="utf-8")):
                index[number][section].add(str(path.relative_to(ROOT)))
    return index


def _order(section: str) -> list[tuple[bool, int, str]]:
    return [(not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in section.split(".")]


def _cell(files: set[str], shorter: str = "") -> str:
    return ", ".join(f"`{file.removeprefix(shorter)}`" for file in sorted(files))


def page() -> str:
    """Return the page."""
    sources, tests = _index(SOURCES), _index(("tests",))
    lines = [HEAD]
    for number in sorted(sources):
        lines.append(f"## [RFC {number}](https://www.rfc-editor.org/rfc/rfc{number})\n")
        lines += ["| Section | Files | Tests (under `tests/`) |", "|---|---|---|"]
        for section in sorted(sources[number], key=_order):
            checks = _cell(tests[number][section], "tests/")
            lines.append(f"| {section} | {_cell(sources[number][section])} | {checks} |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
