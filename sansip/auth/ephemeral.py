"""Users for an hour: names with a time limit in them, passwords made with a secret.

Theory of operation: a web application gives its visitor the name ``EXPIRY:USER`` (Unix time, then the user)
and the password base64(HMAC(secret, name)), as TURN servers take them and Kamailio's ``auth_ephemeral`` does.
A server that has the secret computes the same password, so it stores no data of such a user. A password in a
page's source is soon of no use. Secrets are rotated as keys of nonces are: the first makes passwords, all are
good.
"""

from __future__ import annotations

import hmac
from base64 import b64encode
from collections.abc import Sequence
from typing import Final

from sansip.auth.algorithms import ha1

__all__ = ["EPHEMERAL_HASHES", "Ephemeral", "split_name"]

# As they are called on the command line -> name in hashlib. SHA-1 is in common use here; its weakness does
# not matter inside an HMAC (RFC 6194 3.3).
EPHEMERAL_HASHES: Final = {"SHA-1": "sha1", "SHA-256": "sha256"}
# Digits of a Unix time: from 1973 to the year 33658.
_LEAST, _MOST = 9, 12


def split_name(username: str) -> tuple[int, str] | None:
    """Return (Unix time of expiry, user) of a user name with a time limit, None for any other."""
    expiry, colon, user = username.partition(":")
    if not (colon and user and expiry.isascii() and expiry.isdigit() and _LEAST <= len(expiry) <= _MOST):
        return None
    return int(expiry), user


class Ephemeral:
    """Knows the users of ``secrets``, the newest first (16 octets or more each)."""

    __slots__ = ("_secrets",)

    def __init__(self, secrets: Sequence[bytes]) -> None:
        self._secrets: list[bytes] = []
        self.replace(secrets)

    def replace(self, secrets: Sequence[bytes]) -> None:
        """Use ``secrets`` from now on; passwords of those that are gone are wrong at once."""
        if not secrets or any(len(secret) < 16 for secret in secrets):
            raise ValueError("passwords with a time limit need at least one secret, of 16 octets or more")
        self._secrets = list(secrets)

    def make(self, user: str, expiry: int, algorithm: str = "SHA-1") -> tuple[str, str]:
        """Return (user name, password) for ``user`` until Unix time ``expiry``.

        Raises ``KeyError`` for an ``algorithm`` that is not in ``EPHEMERAL_HASHES``.
        """
        name = f"{expiry}:{user}"
        return name, _password(self._secrets[0], name, EPHEMERAL_HASHES[algorithm])

    def keys(self, username: str, realm: str, algorithm: str) -> list[str]:
        """Return HA1 for every password that is good for ``username``."""
        return [
            ha1(username, realm, _password(secret, username, name), algorithm)
            for secret in self._secrets
            for name in EPHEMERAL_HASHES.values()
        ]


def _password(secret: bytes, username: str, name: str) -> str:
    return b64encode(hmac.digest(secret, username.encode("utf-8", "surrogateescape"), name)).decode()
