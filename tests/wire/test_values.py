"""Folds and comma-separated lists."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansip.wire import quote, split_values, unfold
from sansip.wire.values import line_value


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", [""]),
        ("a", ["a"]),
        (" a , b,c ", ["a", "b", "c"]),
        ("a,,b,", ["a", "", "b", ""]),
        ('"x, y" <sip:a,b@h>, <sip:c>', ['"x, y" <sip:a,b@h>', "<sip:c>"]),
        (r'"\",",b', [r'"\","', "b"]),
        ('"open, a, b', ['"open, a, b']),
        ("<open, a, b", ["<open, a, b"]),
        ('<a>,"b"x,>', ["<a>", '"b"x', ">"]),
        ('"a\\', ['"a\\']),
    ],
)
def test_splitting(text: str, parts: list[str]) -> None:
    """A comma within quotes or angle brackets separates nothing."""
    assert split_values(text) == parts


@given(
    st.lists(
        st.text('ab ,<>\\"').map(quote) | st.just("<sip:a,b@h>") | st.text("abc;=", min_size=1), min_size=1
    )
)
def test_joining_is_undone(values: list[str]) -> None:
    """RFC 3261 7.3.1: values joined by commas are the same values."""
    assert split_values(", ".join(values)) == values


@given(st.text('a,"<>\\ '))
def test_nothing_is_lost(text: str) -> None:
    """For any text, only commas and outer white space go."""
    joined = ",".join(split_values(text))
    assert joined.replace(" ", "") == text.replace(" ", "")


def test_folds() -> None:
    """RFC 3261 7.3.1: each fold with the white space around it is one space."""
    assert unfold("alpha  \r\n\t beta\r\n gamma  ") == "alpha beta gamma"
    assert unfold("a\r\n \r\n b") == "a b"
    assert line_value("X :\r\n  a\r\n\tb ") == "a b"
    assert line_value("X:") == ""
