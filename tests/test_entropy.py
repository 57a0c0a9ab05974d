"""sansip.entropy: chance as an argument (RFC 3261 19.3: tags and branches that no peer can guess)."""

from __future__ import annotations

from hashlib import blake2b

from sansip.entropy import Entropy

SEED = bytes(range(16))


def test_the_same_seed_gives_the_same_tokens() -> None:
    """A replay must give the same octets again."""
    first, second = Entropy(SEED), Entropy(SEED)
    assert [first.token() for _ in range(100)] == [second.token() for _ in range(100)]


def test_tokens_are_hashes_of_a_counter() -> None:
    """A journal of an earlier version plays again with the same octets."""
    entropy = Entropy(SEED)
    made = [
        blake2b(count.to_bytes(8, "big"), key=SEED, digest_size=32, person=b"sansip-token").hexdigest()
        for count in (1, 2, 3)
    ]
    assert "".join(entropy.token() for _ in range(12)) == "".join(made)


def test_another_seed_gives_others() -> None:
    """Nothing is shared between two stacks."""
    first, second = Entropy(SEED), Entropy(SEED[::-1])
    assert not {first.token() for _ in range(100)} & {second.token() for _ in range(100)}


def test_tokens_never_repeat() -> None:
    """19.3: at least 32 bits of randomness; here 64, as 16 hexadecimal digits."""
    entropy = Entropy(SEED)
    tokens = [entropy.token() for _ in range(20_000)]
    assert len(set(tokens)) == 20_000
    assert {len(token) for token in tokens} == {16}
    assert set("".join(tokens)) == set("0123456789abcdef")


def test_numbers() -> None:
    """In range, and all of the range."""
    entropy = Entropy(SEED)
    assert {entropy.number(6) for _ in range(500)} == set(range(6))
    assert entropy.number(1) == 0


def test_keyed_hashes() -> None:
    """The same for the same text, whenever it is asked; another key gives another hash."""
    entropy = Entropy(SEED)
    before = entropy.keyed_hash("dialog 1")
    entropy.token()
    assert entropy.keyed_hash("dialog 1") == before
    assert entropy.keyed_hash("dialog 2") != before
    assert Entropy(SEED[::-1]).keyed_hash("dialog 1") != before
    assert len(before) == 16


def test_any_text_can_be_hashed() -> None:
    """Octets of peers that are no UTF-8 come as surrogates."""
    assert Entropy(SEED).keyed_hash("\udcff\x00é") != Entropy(SEED).keyed_hash("\udcfe\x00é")


def test_a_hash_is_no_token() -> None:
    """The two uses of the seed are kept apart."""
    entropy = Entropy(SEED)
    assert entropy.token() != Entropy(SEED).keyed_hash("\x01" + "\x00" * 7)


def test_a_long_seed() -> None:
    """BLAKE2 takes 64 octets of key; a longer seed is cut, not refused."""
    assert Entropy(b"x" * 100).token() == Entropy(b"x" * 64).token()


def test_a_token_that_nobody_has_seen_comes_again() -> None:
    """What was begun and did not happen leaves no trace in what follows: a replay may go another way."""
    first, second = Entropy(SEED), Entropy(SEED)
    for _ in range(9):
        token = second.token()
        second.put_back(token)
        assert second.token() == token == first.token()
