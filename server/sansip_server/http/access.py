"""Who may do what over HTTP: a token proves a role; without tokens this machine may read.

Theory of operation: of a token nothing is used, not even to look something up, before its signature, audience
and expiry are checked (RFC 8725 2, 3). Its ``kid`` chooses a key of our own file, and the key says by which
algorithm it signs; what the token says of that must be the same. Pages in browsers are kept out by what they
cannot forge: the Host that they asked for (DNS rebinding), their Origin, and a Content-Type that needs leave.
"""

from __future__ import annotations

import ipaddress
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from sansip_server.faults import OperatorError
from sansip_sockets.http import HttpFault, HttpRequest

if TYPE_CHECKING:
    import jwt

    from sansip_server.config.http import HttpSettings

__all__ = ["Access", "Keys", "Role", "demand"]

Role: TypeAlias = Literal["", "read", "operate"]

# Octets of a token that are looked at: honest ones have some hundred.
_TOKEN: Final = 4_096
# Seconds that clocks may differ by.
_LEEWAY: Final = 5.0
# What may sign. "none" is no algorithm, and HS256 needs a key of 32 octets (RFC 7518 3.2).
ALGORITHMS: Final = ("EdDSA", "ES256", "RS256", "PS256", "HS256")


class Keys:
    """The keys of a JWK set file (RFC 7517 5) by ``kid``; read again when the file has changed.

    Raises ``OperatorError`` for a file that cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
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
            self._keys = _read(self._path)
            self._stamp = stamp
        except OSError as error:
            raise OperatorError(
                f"http.keys: {self._path}: {(error.strerror or str(error)).lower()};"
                f" `sansip token NAME --keys {self._path}` makes one"
            ) from None

    def get(self, kid: str) -> jwt.PyJWK | None:
        """Return the key of that name; a file that is gone or broken leaves the keys as they were."""
        try:
            self.look()
        except OperatorError:
            pass
        return self._keys.get(kid)


def _read(path: Path) -> dict[str, jwt.PyJWK]:
    try:
        import jwt
    except ModuleNotFoundError:
        raise OperatorError("http.keys needs PyJWT; pip install 'sansip[http]'") from None
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
        raise OperatorError(f"http.keys: {path}: expected a JWK set (RFC 7517 5): {error}") from None
    return keys


class Access:
    """Judges requests by the table ``[http]``; ``names`` are hosts that this server is called by."""

    def __init__(self, settings: HttpSettings, names: Iterable[str], keys: Keys | None) -> None:
        self._settings = settings
        self._keys = keys
        self._names = {name.lower().strip("[]") for name in (*names, *settings.hosts, "localhost")}
        self._origins = {origin.lower() for origin in settings.origins}

    def admit(self, request: HttpRequest) -> None:
        """Raise ``HttpFault`` for a request that a page of somebody else may have made."""
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
            # DNS rebinding needs a name.
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def role(self, request: HttpRequest) -> Role:
        """Return what the sender of ``request`` may do. Raises ``HttpFault`` 401 for a bad token."""
        if self._keys is None:
            return "read"
        given = request.header("authorization")
        if given is None:
            # A page in a browser has no other way to show a token when it opens a WebSocket.
            shown = [one[7:] for one in request.tokens("sec-websocket-protocol") if one.startswith("bearer.")]
            if len(shown) != 1:
                return ""
            given = f"Bearer {shown[0]}"
        scheme, _, token = given.partition(" ")
        # RFC 6750 2.1
        if scheme.lower() != "bearer" or not token or len(token) > _TOKEN:
            raise self._unproved("expected Authorization: Bearer TOKEN")
        return self._role_of(token.strip())

    def _role_of(self, token: str) -> Role:
        import jwt

        assert self._keys is not None
        try:
            head = jwt.get_unverified_header(token)
            kid = head.get("kid")
            key = self._keys.get(kid) if isinstance(kid, str) else None
            # RFC 8725 3.1: the key says how it signs, never the token.
            if key is None or head.get("alg") != key.algorithm_name:
                raise self._unproved("no key of ours signed it")
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[key.algorithm_name],
                audience=self._settings.audience,
                issuer=self._settings.issuer or None,
                leeway=_LEEWAY,
                options={"require": ["exp", "aud"], "verify_iat": False},
            )
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
            raise self._unproved(str(error)) from None
        role = claims.get("role")
        return role if role in ("read", "operate") else ""

    @staticmethod
    def _unproved(text: str) -> HttpFault:
        # RFC 6750 3.1
        return HttpFault(401, text, ("WWW-Authenticate", 'Bearer realm="sansip", error="invalid_token"'))


def demand(role: Role, wanted: Literal["read", "operate"]) -> None:
    """Raise ``HttpFault`` where ``role`` is not enough."""
    if not role:
        # RFC 6750 3: no error code where no token came.
        raise HttpFault(401, "a token is needed", ("WWW-Authenticate", 'Bearer realm="sansip"'))
    if wanted == "operate" and role != "operate":
        raise HttpFault(403, "the role read may not do that; a token with the role operate may")
