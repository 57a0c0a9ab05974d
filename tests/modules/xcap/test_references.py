"""References in attribute values, as XML 1.0 has them."""

from __future__ import annotations

import pytest

from sansip.modules.xcap.references import normalised, resolved


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("a", "a"),
        ("&lt;&gt;&amp;&quot;&apos;", "<>&\"'"),
        ("&#65;&#x41;&#x1F600;", "AA\U0001f600"),
        ("&amp;lt;", "&lt;"),
        ("&", None),
        ("&x;", None),
        ("&#0;", None),
        ("&#xD800;", None),
        ("&#x110000;", None),
        ("&#xFFFE;", None),
        ("&lt", None),
    ],
)
def test_resolved(text: str, plain: str | None) -> None:
    """XML 1.0 4.1: without a DTD there are five names, and characters that XML has."""
    assert resolved(text) == plain


def test_normalised() -> None:
    """XML 1.0 2.11, 3.3.3: line ends and tabs are spaces, but not those that a reference names."""
    assert normalised("a\r\nb\tc\nd\re&#10;") == "a b c d e\n"
