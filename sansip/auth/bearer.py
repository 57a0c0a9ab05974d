"""Tokens in SIP (RFC 8898): their challenge, and the question which user a token proves.

Theory of operation: the outside judges a token (``ShownToken``), because that takes keys and the time of day.
The core does the rest: it tells phones where to get tokens, finds the field of a token, and lets no token
leave this server.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sansip.wire.abnf import quote

if TYPE_CHECKING:
    from sansip.wire.headers.auth import Credentials

__all__ = ["BearerConfig", "ShownToken", "bearer_challenge", "tokens_in"]


@dataclass(slots=True)
class BearerConfig:
    """Where phones get their tokens: the https URI of the authorization server, and the scope to ask for."""

    authz_server: str
    scope: str = ""


@dataclass(slots=True)
class ShownToken:
    """The question which user a token proves.

    The answer is a mapping: ``user`` is ``alice@example.com``; or ``error`` is ``invalid_token`` or
    ``invalid_scope``, and ``reason`` says why, for the log.
    """

    token: str


def bearer_challenge(config: BearerConfig, realm: str, error: str = "") -> str:
    """Return a WWW-/Proxy-Authenticate value (RFC 8898 4)."""
    value = f"Bearer realm={quote(realm)}, authz_server={quote(config.authz_server)}"
    if config.scope:
        value += f", scope={quote(config.scope)}"
    return f'{value}, error="{error}"' if error else value


def tokens_in(offered: Sequence[Credentials]) -> list[str]:
    """Return the tokens among ``offered``."""
    return [one.token for one in offered if one.scheme.lower() == "bearer" and one.token]
