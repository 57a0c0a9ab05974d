"""Bencode is read strictly and bounded: a relay's datagram may be anybody's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansip.modules.media import bencode

VALUES = st.recursive(
    st.integers(-(2**60), 2**60) | st.binary(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("abc-é", max_size=5), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(VALUES)
def test_round_trip(value: object) -> None:
    """What is written reads alike."""
    assert bencode.read(bencode.write(value)) == value


def test_written() -> None:
    """kamailio.md 10.3: keys in order, text as octets."""
    assert bencode.write({"command": "ping", "a": [1, b"x"]}) == b"d1:ali1e1:xe7:command4:pinge"
    assert bencode.read(b"x d6:result4:ponge", 2) == {"result": b"pong"}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x",
        b"5:abc",
        b"-1:a",
        b"99999999999999999999999:a",
        b"i",
        b"ie",
        b"i-e",
        b"i1",
        b"i1x",
        b"l",
        b"d",
        b"d1:a",
        b"di1ei2ee",
        b"1:ab",
        b"le ",
        b"i" + b"9" * 5000 + b"e",
        b"l" * 100_000,
        b"d1:a" * 100_000,
        b":",
        b"1",
        b"i\xd9\xa1e",
    ],
)
def test_malformed(data: bytes) -> None:
    """Each fault is a ValueError: no deep recursion, no length that lies, nothing behind the value."""
    with pytest.raises(ValueError):
        bencode.read(data)


@given(st.binary(max_size=200))
def test_any_octets(data: bytes) -> None:
    """A value or a ValueError."""
    try:
        bencode.read(data)
    except ValueError:
        pass
