"""Nonces that prove themselves, and keys that are rotated."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansip.auth.nonce import Nonce, Nonces
from sansip.entropy import Entropy

OLD, NEW, NEWEST = b"o" * 16, b"n" * 16, b"x" * 16
HERE = "192.0.2.1"


def nonces(*keys: bytes, seed: bytes = b"seed" * 4) -> Nonces:
    return Nonces(keys, Entropy(seed), 300.0)


def read(ring: Nonces, nonce: str, unix: float = 1000.0, realm: str = "r") -> Nonce | None:
    return ring.read(nonce, realm, None, unix)


def test_every_node_of_a_keyring() -> None:
    """Made with the first key, verified with all: so keys are brought out node by node."""
    made = nonces(OLD).make("r", HERE, 1000.0, 5.0)
    other = nonces(NEW, OLD, seed=b"node" * 4)
    seen = read(other, made)
    assert seen is not None
    assert seen.made == 1000
    assert seen.life != other.life
    assert read(nonces(OLD, NEW), other.make("r", HERE, 1000.0, 5.0))
    assert read(nonces(NEW), made) is None
    assert read(nonces(OLD), made, realm="other") is None


def test_a_key_that_was_taken_away() -> None:
    """A nonce of a removed key is good to the end of its life, and no longer."""
    ring = nonces(OLD)
    made = ring.make("r", HERE, 1000.0, 5.0)
    ring.replace([NEW], 1100.0)
    assert read(ring, made, 1399.0)
    assert read(ring, made, 1401.0) is None
    assert read(nonces(NEW), ring.make("r", HERE, 1100.0, 5.0), 1100.0)
    # Taken back, it is a key like any other; and too many are not remembered.
    ring.replace([OLD, NEW], 1200.0)
    assert read(ring, made, 1_000_000.0)
    for number in range(50):
        ring.replace([b"%016d" % number], 1200.0)
    assert len(ring._retired) == 8


def test_whom_it_was_given_to() -> None:
    """A stranger's nonce is none for another address, from any sender; no port is looked at."""
    ring = nonces(NEW, OLD)
    made = nonces(OLD).make("r", HERE, 1000.0, 5.0)
    for source, fits in ((HERE, True), ("192.0.2.2", False), (None, True)):
        seen = ring.read(made, "r", source, 1000.0)
        assert seen is not None
        assert seen.fits is fits


def test_which_is_newer() -> None:
    """A process tells its nonces apart by its own clock, which no operator sets; uptime does not show."""
    ring = nonces(OLD)
    made = [ring.make("r", HERE, 1000.0, now) for now in (5.0, 5.0, 5.000001, 86_400.0)]
    seen = [read(ring, one) for one in made]
    ticks = [one.tick for one in seen if one is not None]
    assert len(set(made)) == 4
    assert [tick - ticks[0] for tick in ticks] == [0, 0, 1, 86_395_000_000]
    assert ticks[0] > 5_000_000
    assert {len(one) for one in made} == {48}


@given(st.text(max_size=60), st.integers(0, 47), st.characters())
def test_forgeries(text: str, place: int, char: str) -> None:
    """Any text, and ours with one character changed: None, and no exception."""
    ring = nonces(OLD)
    made = ring.make("r", HERE, 1000.0, 5.0)
    assert read(ring, text) is None
    changed = made[:place] + char + made[place + 1 :]
    assert changed == made or read(ring, changed) is None


@pytest.mark.parametrize("keys", [[], [b"short"], [NEW, b""]])
def test_keys_that_could_be_guessed(keys: list[bytes]) -> None:
    with pytest.raises(ValueError, match="16 octets"):
        nonces(*keys)
    with pytest.raises(ValueError, match="16 octets"):
        nonces(NEWEST).replace(keys, 0.0)
