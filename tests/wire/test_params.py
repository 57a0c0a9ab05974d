"""Parameter lists."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansip.errors import LocalProtocolError, RemoteProtocolError
from sansip.wire import format_params, parse_params, quote

TOKENS = st.text("abcXYZ019-.!%*_+`'~", min_size=1, max_size=8)
VALUES = (
    st.none()
    | TOKENS
    | st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"])).map(quote)
)


def test_shapes() -> None:
    """RFC 3261 25.1: flags, tokens, hosts, quoted strings; white space around ; and =."""
    text = ' ;  lr ; Tag\t= "a;b, \\"c" ;received=2001:db8::1;maddr=[::1] '
    assert parse_params(text, "X", "") == {
        "lr": None,
        "tag": '"a;b, \\"c"',
        "received": "2001:db8::1",
        "maddr": "[::1]",
    }
    assert parse_params("", "X", "") == {}


@pytest.mark.parametrize(
    "text", [";", ";;a", ";a=", ";a=;b", ";a b", "a", ';a="', ";a;A=1", ";é", ";a=é", ",;a"]
)
def test_malformed(text: str) -> None:
    """The error names the field."""
    with pytest.raises(RemoteProtocolError, match=r"^X: "):
        parse_params(text, "X", "RFC 0 0")


@given(st.dictionaries(TOKENS.map(str.lower), VALUES))
def test_round_trip(params: dict[str, str | None]) -> None:
    """Formatted parameters parse to the same ones, in the same order."""
    text = format_params(params)
    assert parse_params(text, "X", "") == params
    assert list(parse_params(text, "X", "")) == list(params)


@pytest.mark.parametrize(
    "params", [{"a b": None}, {"a": "b c"}, {"a": "x\r\nEvil: 1"}, {"": None}, {"a": ""}]
)
def test_what_cannot_be_written(params: dict[str, str | None]) -> None:
    """A value that needs quotes must come quoted."""
    with pytest.raises(LocalProtocolError):
        format_params(params)
