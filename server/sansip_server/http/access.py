"""Rights over HTTP: a token or a password proves a role; without both this machine may read.

Theory of operation: ``sansip_server.tokens`` judges a token, Digest (RFC 7616) a password, each before
anything else of the request is used. A foreign page in a browser cannot forge the Host that it asked for (DNS
rebinding), its Origin, or a Content-Type that needs permission, and the server checks all three. So
credentials that a browser adds by itself, such as those of Digest, do not help a foreign page.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeAlias

from sansip_server.http.digest import Digest
from sansip_server.tokens import SIZE, Keys, TokenRefused, Tokens
from sansip_sockets.http import HttpFault, HttpRequest

if TYPE_CHECKING:
    from sansip_server.config.http import HttpSettings

__all__ = ["Access", "Keys", "Role", "demand"]

Role: TypeAlias = Literal["", "read", "operate"]
Fields: TypeAlias = list[tuple[str, str]]

_BEARER = 'Bearer realm="sansip"'


class Access:
    """Judges requests by the table ``[http]``; ``names`` are the host names of this server."""

    def __init__(self, settings: HttpSettings, names: Iterable[str], keys: Keys | None) -> None:
        self._tokens = None if keys is None else Tokens(keys, settings.audience, settings.issuer)
        self._names = {name.lower().strip("[]") for name in (*names, *settings.hosts, "localhost")}
        self._origins = {origin.lower() for origin in settings.origins}
        self._users = {user.name: user for user in settings.users}
        self._realm = settings.realm
        self._digest = Digest(settings.digest()) if self._users else None

    def admit(self, request: HttpRequest) -> None:
        """Raise ``HttpFault`` for a request that a foreign page may have made."""
        host = request.header("host")
        if host is None or not self._is_ours(host):
            raise HttpFault(421, f"the Host {host!r:.80} is none of this server (http.hosts)")
        origin = request.header("origin")
        if origin is not None and origin.lower() not in self._origins:
            scheme = "https" if request.secure else "http"
            if origin.lower() != f"{scheme}://{host.lower()}":
                raise HttpFault(403, f"pages of {origin!r:.80} may not ask (http.origins)")

    def _is_ours(self, host: str) -> bool:
        name = host.lower()
        name = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
        if name in self._names:
            return True
        try:
            # An address is safe: DNS rebinding needs a name.
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def role(self, request: HttpRequest) -> Role:
        """Return the role of the sender of ``request``. Raises ``HttpFault`` 401 for a bad proof.

        A proof of Digest is good for one look.
        """
        if self._tokens is None and self._digest is None:
            return "read"
        given = request.header("authorization")
        if given is None:
            # A page in a browser has no other way to show a token when it opens a WebSocket.
            shown = [one[7:] for one in request.tokens("sec-websocket-protocol") if one.startswith("bearer.")]
            if len(shown) != 1:
                return ""
            given = f"Bearer {shown[0]}"
        scheme, _, rest = given.partition(" ")
        if scheme.lower() == "digest" and self._digest is not None:
            return self._role_of_user(request, self._digest)
        # RFC 6750 2.1
        if scheme.lower() != "bearer" or not rest or len(rest) > SIZE or self._tokens is None:
            raise self._unproved(request, "expected Authorization: " + self._expected)
        try:
            role = self._tokens.claims(rest.strip()).get("role")
        except TokenRefused as error:
            raise self._unproved(request, str(error)) from None
        return role if role in ("read", "operate") else ""

    def _role_of_user(self, request: HttpRequest, digest: Digest) -> Role:
        others = [("WWW-Authenticate", _BEARER)] if self._tokens is not None else []
        offer = digest.offered(request, self._realm, others)
        user = self._users.get(offer.credentials.username or "") if offer.credentials else None
        digest.prove(request, self._realm, offer, None if user is None else user.keys, others)
        assert user is not None
        return user.role

    def standing(self, request: HttpRequest) -> Callable[[], Role]:
        """Return a function that gives the role again later: a token may have ended by then."""
        given = request.header("authorization") or ""
        if given.partition(" ")[0].lower() == "digest" and self._digest is not None:
            role = self.role(request)
            return lambda: role
        return partial(self.role, request)

    def challenges(self, request: HttpRequest, error: str = "") -> Fields:
        """Return the WWW-Authenticate fields of a 401."""
        fields: Fields = []
        if self._tokens is not None or self._digest is None:
            # RFC 6750 3: no error code if no token came.
            fields.append(("WWW-Authenticate", _BEARER + (f', error="{error}"' if error else "")))
        if self._digest is not None:
            fields += self._digest.challenges(self._realm, request.remote)
        return fields

    def demand(self, request: HttpRequest, wanted: Literal["read", "operate"]) -> Role:
        """Return the role of ``request``. Raises ``HttpFault`` if it is not enough."""
        role = self.role(request)
        demand(role, wanted, self.challenges(request) if not role else ())
        return role

    @property
    def _expected(self) -> str:
        known = [text for text, there in (("Bearer TOKEN", self._tokens), ("Digest", self._digest)) if there]
        return " or ".join(known)

    def _unproved(self, request: HttpRequest, text: str) -> HttpFault:
        # RFC 6750 3.1
        return HttpFault(401, text, *self.challenges(request, "invalid_token"))


def demand(
    role: Role, wanted: Literal["read", "operate"], challenges: Iterable[tuple[str, str]] = ()
) -> None:
    """Raise ``HttpFault`` if ``role`` is not enough."""
    if not role:
        fields = list(challenges) or [("WWW-Authenticate", _BEARER)]
        raise HttpFault(401, "a token or a password is needed", *fields)
    if wanted == "operate" and role != "operate":
        raise HttpFault(403, "the role read may not do that; one with the role operate may")
