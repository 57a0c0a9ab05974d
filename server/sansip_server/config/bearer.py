"""The [bearer] table: tokens of phones (RFC 8898)."""

from __future__ import annotations

from dataclasses import dataclass

from sansip.auth import BearerConfig

__all__ = ["BearerSettings"]


@dataclass(slots=True)
class BearerSettings:
    """Tokens of phones beside their passwords (RFC 8898); needs `auth = "digest"`. docs/authentication.md.

    Attributes:
        authz_server: https URI of the server that phones get tokens from; None: the server takes no token.
        scope: the scope that a token must have, words with spaces between; the server also tells
            it to phones.
        keys: file with the JWK set (RFC 7517) that checks tokens, relative to this file; the server reads it
            again when it has changed. `sansip token alice@example.org --keys FILE --audience sip` makes one.
        audience: the `aud` that a token must have; it must differ from `http.audience`.
        issuer: the `iss` that a token must have; `""` is any.
        claim: the claim that names the user, as `alice@example.org`.
    """

    authz_server: str | None = None
    scope: str = ""
    keys: str | None = None
    audience: str = "sip"
    issuer: str = ""
    claim: str = "sub"

    def config(self) -> BearerConfig | None:
        """Return the values that the core tells phones; None if the server takes no tokens."""
        return None if self.authz_server is None else BearerConfig(self.authz_server, self.scope)
