"""Tokens (JWT, RFC 7519): checks their claims, for HTTP and for phones (RFC 8898).

Theory of operation: the server uses no claim of a token, not even for a look-up, before it has checked its
signature, audience and expiry (RFC 8725 2, 3). Its ``kid`` chooses a key of our own file. The key names its
algorithm, and the token must name the same.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sansip_server.faults import OperatorError

if TYPE_CHECKING:
    import jwt

__all__ = ["Keys", "TokenRefused", "Tokens"]

# The largest token in octets: honest ones have a few hundred.
SIZE: Final = 4_096
# Seconds that clocks may differ by.
_LEEWAY: Final = 5.0
# The algorithms that may sign. "none" is not one of them, and HS256 needs a key of 32 octets (RFC 7518 3.2).
ALGORITHMS: Final = ("EdDSA", "ES256", "RS256", "PS256", "HS256")


class TokenRefused(Exception):
    """A token proves nothing; the text says why."""


class Keys:
    """The keys of a JWK set file (RFC 7517 5) by ``kid``; read again when the file has changed.

    Raises ``OperatorError`` for a file that cannot be used.
    """

    def __init__(self, path: Path, key: str = "http.keys") -> None:
        self._path = path
        self._key = key
        self._stamp: tuple[int, int] = (0, 0)
        self._keys: dict[str, jwt.PyJWK] = {}
        self.look()

    def look(self) -> None:
        """Read the file, if it has changed."""
        try:
            status = os.stat(self._path)
            stamp = (status.st_mtime_ns, status.st_ino)
            if stamp == self._stamp:
                return
            self._keys = _read(self._path, self._key)
            self._stamp = stamp
        except OSError as error:
            raise OperatorError(
                f"{self._key}: {self._path}: {(error.strerror or str(error)).lower()};"
                f" `sansip token NAME --keys {self._path}` makes one"
            ) from None

    def get(self, kid: str) -> jwt.PyJWK | None:
        """Return the key of that name; if the file is gone or broken, the keys stay as they were."""
        try:
            self.look()
        except OperatorError:
            pass
        return self._keys.get(kid)


def _read(path: Path, setting: str) -> dict[str, jwt.PyJWK]:
    try:
        import jwt
    except ModuleNotFoundError:
        raise OperatorError(f"{setting} needs PyJWT; pip install 'sansip[http]'") from None
    keys: dict[str, jwt.PyJWK] = {}
    try:
        entries = json.loads(path.read_bytes())["keys"]
        for index, entry in enumerate(entries):
            kid, algorithm = entry.get("kid"), entry.get("alg")
            if not isinstance(kid, str) or algorithm not in ALGORITHMS:
                raise ValueError(f"key {index} needs kid, and alg of {', '.join(ALGORITHMS)}")
            if algorithm == "HS256" and len(entry.get("k", "")) < 43:
                raise ValueError(f"key {index}: HS256 needs 32 octets (RFC 7518 3.2)")
            keys[kid] = jwt.PyJWK(entry, algorithm)
    except (ValueError, TypeError, KeyError, AttributeError, jwt.PyJWTError) as error:
        raise OperatorError(f"{setting}: {path}: expected a JWK set (RFC 7517 5): {error}") from None
    return keys


class Tokens:
    """Judges tokens that a key of ``keys`` signed for ``audience``, by ``issuer`` unless that is ""."""

    def __init__(self, keys: Keys, audience: str, issuer: str = "") -> None:
        self._keys = keys
        self._audience = audience
        self._issuer = issuer

    def claims(self, token: str) -> dict[str, Any]:
        """Return the claims of a genuine token. Raises ``TokenRefused``."""
        import jwt

        if not 0 < len(token) <= SIZE:
            raise TokenRefused(f"expected a token of at most {SIZE} octets")
        try:
            head = jwt.get_unverified_header(token)
            kid = head.get("kid")
            key = self._keys.get(kid) if isinstance(kid, str) else None
            # RFC 8725 3.1: the key names the algorithm, never the token.
            if key is None or head.get("alg") != key.algorithm_name:
                raise TokenRefused("no key of ours signed it")
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[key.algorithm_name],
                audience=self._audience,
                issuer=self._issuer or None,
                leeway=_LEEWAY,
                options={"require": ["exp", "aud"], "verify_iat": False},
            )
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
            raise TokenRefused(str(error)) from None
        return claims
