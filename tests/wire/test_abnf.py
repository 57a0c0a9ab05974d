"""Tokens and quoted strings."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sansip.wire.abnf import QUOTED, compiled, is_token, quote, unquote

QUOTED_STRING = compiled(QUOTED)
# RFC 3261 25.1: what a quoted string can carry; CR and LF cannot be escaped.
SAYABLE = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]))


def test_tokens() -> None:
    """RFC 3261 25.1, with the characters of RFC 4475 3.1.1.2."""
    assert is_token("!interesting-Method0123456789_*+`.%indeed'~")
    for text in ("", "a b", "a:b", "a@b", "é", "a\n", "(a)", '"a"', "٣"):
        assert not is_token(text), text


@given(SAYABLE)
def test_quoting_is_undone(text: str) -> None:
    """Any text, once quoted, is a quoted-string, and says the same."""
    quoted = quote(text)
    assert QUOTED_STRING.fullmatch(quoted)
    assert unquote(quoted) == text


def test_unquote_leaves_what_is_not_quoted() -> None:
    """A token says itself."""
    assert unquote("token") == "token"
    assert unquote('"') == '"'
    assert unquote("") == ""


def test_escapes_within_quotes() -> None:
    """RFC 3261 25.1: quoted-pair, and no bare control."""
    assert unquote(r'"a\"b\\c\d"') == 'a"b\\cd'
    assert not QUOTED_STRING.fullmatch('"a\x00b"')
    assert QUOTED_STRING.fullmatch('"a\\\x00b"')
    assert not QUOTED_STRING.fullmatch('"a\\"')
