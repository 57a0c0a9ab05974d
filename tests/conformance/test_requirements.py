"""The index of requirements is that of the traces, and nothing in it is open without a word."""

from __future__ import annotations

from pathlib import Path

from sansip_conformance import load_suites
from sansip_conformance.requirements import coverage, extract, page

PAGE = Path(__file__).parents[2] / "conformance" / "requirements.md"


def test_the_page_is_up_to_date() -> None:
    """Written by `python -m sansip_conformance.requirements > conformance/requirements.md`."""
    assert PAGE.read_text("utf-8") == page(load_suites())


def test_each_is_covered_or_has_a_reason() -> None:
    """An uncovered requirement without a reason is a trace that somebody has to write."""
    rows = coverage(load_suites())
    assert [one["id"] for one, ids, reason in rows if not ids and not reason] == []


def test_extraction() -> None:
    """Sentences with a keyword are found, with section, step and number."""
    text = "x" * 20_000 + (
        "\n8.1 UAC Behavior\n\n   The UAC MUST dance.  It may rest.\n\n16.3 Request Validation\n\n"
        "      1. Reasonable syntax\n\n   An element SHOULD NOT refuse.\n"
    )
    found = extract(text)
    assert [(one["id"], one["step"], one["level"]) for one in found] == [
        ("8.1/1", "", "MUST"),
        ("16.3/1", "1", "SHOULD NOT"),
    ]
