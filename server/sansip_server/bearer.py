"""Tokens of phones (RFC 8898): which user one proves, by the code that judges those of HTTP.

Theory of operation: the core asks ``ShownToken``; keys, audience, expiry and scope are looked at in a worker
thread. The claim that names the user has to be an address: a name alone would mean a user in each of our
domains.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sansip.auth import ShownToken
from sansip_server.config.bearer import BearerSettings
from sansip_server.faults import OperatorError
from sansip_server.tokens import Keys, TokenRefused, Tokens
from sansip_sockets import handler

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Bearer", "open_bearer"]

# RFC 3261 25.1: a user without escapes, and a host.
_ADDRESS: Final = re.compile(
    r"(?:sips?:)?([A-Za-z0-9\-_.!~*'()&=+$,;?/]{1,255})@([A-Za-z0-9.\-]{1,253}|\[[0-9a-fA-F:.]+\])"
)


class Bearer:
    """Judges tokens by ``settings``. Raises ``OperatorError`` for keys that cannot be used."""

    def __init__(self, settings: BearerSettings) -> None:
        assert settings.keys is not None
        self._settings = settings
        self._tokens = Tokens(Keys(Path(settings.keys), "bearer.keys"), settings.audience, settings.issuer)

    @property
    def handlers(self) -> dict[type, Callable[..., Any]]:
        """The functions that the adapter calls."""
        return {ShownToken: self._judge}

    def user(self, token: str) -> dict[str, str]:
        """Return which user ``token`` proves (see ``ShownToken``)."""
        try:
            claims = self._tokens.claims(token)
        except TokenRefused as error:
            return {"error": "invalid_token", "reason": str(error)}
        scope = claims.get("scope", "")
        given = set(scope.split()) if isinstance(scope, str) else set()
        if not given.issuperset(self._settings.scope.split()):
            return {"error": "invalid_scope", "reason": f"its scope lacks some of {self._settings.scope!r}"}
        name = claims.get(self._settings.claim)
        found = _ADDRESS.fullmatch(name) if isinstance(name, str) else None
        if found is None:
            return {"error": "invalid_token", "reason": f"its claim {self._settings.claim} is no address"}
        return {"user": f"{found[1]}@{found[2].lower()}"}

    @handler(parallel=2)
    def _judge(self, question: ShownToken) -> dict[str, str]:
        return self.user(question.token)


def open_bearer(settings: BearerSettings, auth: str | None) -> Bearer | None:
    """Return the judge of phones' tokens; None if the server takes none. Raises ``OperatorError``."""
    if settings.authz_server is not None and auth != "digest":
        raise OperatorError('[bearer]: tokens are taken beside passwords; set auth = "digest" and a store')
    return None if settings.authz_server is None else Bearer(settings)
