"""User names with a time limit (TURN-REST, Kamailio's auth_ephemeral)."""

from __future__ import annotations

import pytest

from sansip.auth import Ephemeral, ha1
from sansip.auth.ephemeral import split_name

SECRET, OLD = b"sixteen octets..", b"the one before.."


def test_a_password_as_others_make_it() -> None:
    """base64(HMAC-SHA1(secret, name)): the value is openssl's, so a web application can do without us.

    printf '%s' 1800000000:alice | openssl dgst -sha1 -hmac 'sixteen octets..' -binary | base64
    """
    made = Ephemeral([SECRET]).make("alice", 1_800_000_000)
    assert made == ("1800000000:alice", "kV4mJlr9gw7+KWUwnf9TWkzUPEU=")


def test_every_secret_and_hash_is_good() -> None:
    """Rotation: passwords of the secret before stay good while it is in the list."""
    both = Ephemeral([SECRET, OLD])
    for maker in (Ephemeral([SECRET]), Ephemeral([OLD])):
        for algorithm in ("SHA-1", "SHA-256"):
            name, password = maker.make("alice", 1_800_000_000, algorithm)
            assert ha1(name, "r", password, "SHA-256") in both.keys(name, "r", "SHA-256")
    both.replace([SECRET])
    name, password = Ephemeral([OLD]).make("alice", 1_800_000_000)
    assert ha1(name, "r", password) not in both.keys(name, "r", "MD5")


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("1800000000:alice", (1_800_000_000, "alice")),
        ("1800000000:al:ice", (1_800_000_000, "al:ice")),
        ("1800000000:", None),
        ("alice", None),
        (":alice", None),
        ("1234:alice", None),
        ("9" * 13 + ":alice", None),
        ("18000000\u0660\u0660:alice", None),
        ("-180000000:alice", None),
    ],
)
def test_names(name: str, found: tuple[int, str] | None) -> None:
    """Ordinary user names with a colon are left alone."""
    assert split_name(name) == found


@pytest.mark.parametrize("secrets", [[], [b""], [b"short"], [SECRET, b"short"]])
def test_secrets_that_could_be_guessed(secrets: list[bytes]) -> None:
    with pytest.raises(ValueError, match="16 octets"):
        Ephemeral(secrets)
