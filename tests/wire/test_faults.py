"""The text about a peer's mistake is fit for a Reason-Phrase and a log line."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sansip.wire import Response
from sansip.wire.faults import excerpt, malformed


@given(st.text())
def test_excerpts(text: str) -> None:
    """Printable, short, without line ends; so the phrase can always be sent."""
    shown = excerpt(text)
    assert shown.isascii()
    assert shown.isprintable()
    assert len(shown) <= 10 * 48
    error = malformed("To", f"got {text[:10]!r}: {shown!r}", "RFC 3261 20.39")
    assert Response.build(error.status, excerpt(error.reason), []).to_bytes()


def test_fields_are_named() -> None:
    """The reason begins with the field, if one is at fault."""
    error = malformed("CSeq", "missing", "RFC 3261 20.16")
    assert (error.reason, error.field, error.section, error.status) == (
        "CSeq: missing",
        "CSeq",
        "RFC 3261 20.16",
        400,
    )
    assert malformed("", "too large", "RFC 3261 21.5.7", status=513).reason == "too large"
