"""The [bearer] table: tokens of phones (RFC 8898)."""

from __future__ import annotations

from dataclasses import dataclass

from sansip.auth import BearerConfig

__all__ = ["BearerSettings"]


@dataclass(slots=True)
class BearerSettings:
    """Tokens of phones beside their passwords (RFC 8898); needs `auth = "digest"`. docs/authentication.md.

    Attributes:
        authz_server: https URI of the server that phones get tokens from; None: no token is taken.
        scope: what a token must be good for, words with spaces between; also told to phones.
        keys: file with the JWK set (RFC 7517) that tokens are checked by, relative to this file; read
            again when it has changed. `sansip token alice@example.org --keys FILE --audience sip` makes one.
        audience: what the `aud` of a token must be; another than `http.audience`.
        issuer: what its `iss` must be; `""` is any.
        claim: the claim that names the user, as `alice@example.org`.
    """

    authz_server: str | None = None
    scope: str = ""
    keys: str | None = None
    audience: str = "sip"
    issuer: str = ""
    claim: str = "sub"

    def config(self) -> BearerConfig | None:
        """Return what the core says to phones; None where tokens are not taken."""
        return None if self.authz_server is None else BearerConfig(self.authz_server, self.scope)
