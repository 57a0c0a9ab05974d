"""Seals: only the holder of the key opens them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sansip.seal import MAC_SIZE, Sealer

SEALER = Sealer(b"a key of sixteen", b"sansip-test")
TEXTS = st.binary(min_size=1, max_size=1024)


def opened(sealer: Sealer, sealed: str, bound: bytes = b"") -> bytes | None:
    read = sealer.read(sealed)
    return read[1] if read is not None and sealer.proves(*read, bound) else None


@given(TEXTS, st.binary(max_size=40))
def test_opened(text: bytes, bound: bytes) -> None:
    """Any text up to 1 KiB, bound to anything."""
    sealed = SEALER.seal(text, bound)
    assert opened(SEALER, sealed, bound) == text
    assert opened(SEALER, sealed, bound + b"x") is None
    assert opened(Sealer(b"another sixteen..", b"sansip-test"), sealed, bound) is None
    assert opened(Sealer(b"a key of sixteen", b"sansip-else"), sealed, bound) is None


@given(TEXTS, st.data())
def test_one_changed_character(text: bytes, data: st.DataObject) -> None:
    """It has one spelling, and every bit of it counts."""
    sealed = SEALER.seal(text)
    index = data.draw(st.integers(0, len(sealed) - 1))
    other = data.draw(st.sampled_from("AZaz09-_.é"))
    if sealed[index] != other:
        assert opened(SEALER, sealed[:index] + other + sealed[index + 1 :]) is None


def test_it_says_nothing() -> None:
    """Texts that differ in one bit have nothing in common when sealed."""
    one, other = SEALER.seal(bytes(100)), SEALER.seal(bytes(99) + b"\x01")
    assert sum(a == b for a, b in zip(one, other, strict=True)) < 20


def test_text_and_bound_are_kept_apart() -> None:
    """Octets moved from the one to the other are a forgery."""
    assert SEALER.seal(b"ab", b"c")[:MAC_SIZE] != SEALER.seal(b"a", b"bc")[:MAC_SIZE]


@given(st.text(max_size=80))
def test_any_text(text: str) -> None:
    """Nothing makes it raise."""
    assert opened(SEALER, text) is None
