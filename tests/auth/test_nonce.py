"""Nonces that prove themselves, and keys that are rotated."""

from __future__ import annotations

import pytest

from sansip.auth.nonce import Nonces
from sansip.entropy import Entropy

OLD, NEW, NEWEST = b"o" * 16, b"n" * 16, b"x" * 16


def nonces(*keys: bytes) -> Nonces:
    return Nonces(keys, Entropy(b"seed" * 4), 300.0)


def test_every_node_of_a_keyring() -> None:
    """Made with the first key, verified with all: so keys are brought out node by node."""
    made = nonces(OLD).make("r", 1000.0)
    assert nonces(NEW, OLD).age(made, "r", 1010.0) == 10.0
    assert nonces(OLD, NEW).age(nonces(NEW, OLD).make("r", 1000.0), "r", 1000.0) == 0.0
    assert nonces(NEW).age(made, "r", 1010.0) is None
    assert nonces(OLD).age(made, "other", 1010.0) is None


def test_a_key_that_was_taken_away() -> None:
    """What it made is good to the end of its life, and no longer."""
    ring = nonces(OLD)
    made = ring.make("r", 1000.0)
    ring.replace([NEW], 1100.0)
    assert ring.age(made, "r", 1399.0) == 399.0
    assert ring.age(made, "r", 1401.0) is None
    assert nonces(NEW).age(ring.make("r", 1100.0), "r", 1100.0) == 0.0
    # Taken back, it is a key like any other; and too many are not remembered.
    ring.replace([OLD, NEW], 1200.0)
    assert ring.age(made, "r", 1_000_000.0) is not None
    for number in range(50):
        ring.replace([b"%016d" % number], 1200.0)
    assert len(ring._retired) == 8


@pytest.mark.parametrize("keys", [[], [b"short"], [NEW, b""]])
def test_keys_that_could_be_guessed(keys: list[bytes]) -> None:
    with pytest.raises(ValueError, match="16 octets"):
        nonces(*keys)
    with pytest.raises(ValueError, match="16 octets"):
        nonces(NEWEST).replace(keys, 0.0)
