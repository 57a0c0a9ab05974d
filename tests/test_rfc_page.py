"""docs/rfcs.md says what the citations in the code say."""

from __future__ import annotations

from tools.rfc_page import PAGE, citations, page


def test_up_to_date() -> None:
    """The page is written by ``python -m tools.rfc_page``; run it when this fails."""
    assert PAGE.read_text(encoding="utf-8") == page()


def test_citations() -> None:
    """Several sections of one RFC, a comment that goes on, and text that is no section."""
    text = "# RFC 3261 17.1.4, 17.2.4: both\n    # RFC\n    # 5626 5.3\n# RFC 3261 500 ms, RFC 6890: this"
    assert list(citations(text)) == [(3261, "17.1.4"), (3261, "17.2.4"), (5626, "5.3")]
