"""conformance/presence.md: each rule names traces and tests, and all of them exist."""

from __future__ import annotations

import re
from pathlib import Path

from sansip_conformance import load_suites

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "conformance/presence.md"


def rows() -> list[str]:
    """The lines of the tables that name a rule."""
    lines = PAGE.read_text().splitlines()
    return [one for one in lines if one.startswith("| ") and not one.startswith("| rule ")]


def test_each_rule_is_shown() -> None:
    """A rule that no trace and no test names is not checked."""
    assert len(rows()) > 30
    for row in rows():
        assert re.findall(r"`([\w.-]+/[^`]+)`", row.split(" | ")[2]), row


def test_what_is_named_exists() -> None:
    """A row that names a trace by its old name shows nothing."""
    traces = {one.id for one in load_suites()}
    for name in re.findall(r"`([\w.-]+/[^`]+)`", "\n".join(rows())):
        path, colons, function = name.partition("::")
        if colons:
            assert f"def {function}(" in (ROOT / path).read_text(), name
        else:
            assert name in traces, name
