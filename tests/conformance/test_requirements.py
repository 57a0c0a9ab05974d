"""The index of requirements is that of the traces, and nothing in it is open without a word."""

from __future__ import annotations

from pathlib import Path

import pytest

from sansip_conformance import load_suites, read_text
from sansip_conformance.requirements import OTHERS, coverage, extract, extract_other, page

PAGE = Path(__file__).parents[2] / "conformance" / "requirements.md"


def test_the_page_is_up_to_date() -> None:
    """Written by `python -m sansip_conformance.requirements > conformance/requirements.md`."""
    assert PAGE.read_text("utf-8") == page(load_suites())


@pytest.mark.parametrize("rfc", ["3261", *OTHERS])
def test_each_is_covered_or_has_a_reason(rfc: str) -> None:
    """An uncovered requirement without a reason is a trace that somebody has to write."""
    rows = coverage(load_suites(), rfc)
    assert len(rows) > 50
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


def test_extraction_of_another_rfc() -> None:
    """Its contents are passed over, page ends as well; a heading may begin with a digit."""
    text = (
        "\n6.  MSRP URIs . . . 9\n\n6.  MSRP URIs\n\n   The URI MUST have a port and\n\n\n\n"
        "Campbell, et al.            Standards Track                    [Page 9]\n\f\n"
        "RFC 4975                          MSRP                    September 2007\n\n\n"
        "   a session.\n\n10.5.  413\n\n   It SHOULD stop.\n\n11.  Examples\n\n   It MUST shine.\n"
    )
    found = extract_other(text, "4975")
    assert [(one["id"], one["level"]) for one in found] == [("6/1", "MUST"), ("10.5/1", "SHOULD")]
    assert found[0]["lead"] == "The URI MUST have a port and a session."


def test_citations_cover_their_own_rfc() -> None:
    """A section of one RFC covers nothing of another."""
    text = "rfc: RFC 4976 6.4.1\nendpoint alice udp\nalice > proxy OPTIONS sip:biloxi.test\n"
    traces = read_text(text, "x.trace")
    covered = {
        rfc: [one["section"] for one, ids, _ in coverage(traces, rfc) if ids] for rfc in ("3261", *OTHERS)
    }
    assert set(covered.pop("4976")) == {"6.4.1"}
    assert not any(covered.values())
