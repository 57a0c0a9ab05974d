"""Digest authentication of a server: challenges out, credentials checked.

Theory of operation: the verdict on a request is made in two steps, because the
stored HA1 may have to be fetched in between. ``select`` finds the credentials
meant for our realm and checks what needs no password: the nonce, its age, the
algorithm, the guard. ``verify`` then compares the response. Both give a
``Verdict``, and ``challenges`` makes the header values that go with it.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from sansip.auth.algorithms import HASHES, compute_response, hash_name
from sansip.auth.guard import Guard
from sansip.auth.nonce import Nonces
from sansip.auth.replay import NonceCounts
from sansip.wire.abnf import quote
from sansip.wire.headers.auth import Credentials

if TYPE_CHECKING:
    from sansip.entropy import Entropy

__all__ = ["AuthConfig", "Authenticator", "Lookup", "Verdict"]

# What an unknown user's response is compared with, so that it takes as long.
_NOBODY = "0" * 64


@dataclass(slots=True)
class AuthConfig:
    """Policy of authentication.

    Attributes:
        algorithms: offered, most preferred first (RFC 8760 2.4).
        qop: qualities of protection offered (RFC 7616 3.3).
        nonce_lifetime: seconds a nonce may be used.
        nonces: nonce counts remembered at the most.
        failures_per_user: wrong passwords outstanding of one source for one user.
        failures_per_source: the same for one source and all users.
        recovery: seconds after which one failure is forgotten.
    """

    algorithms: tuple[str, ...] = ("SHA-256", "MD5")
    qop: tuple[str, ...] = ("auth",)
    nonce_lifetime: float = 300.0
    nonces: int = 100_000
    failures_per_user: int = 10
    failures_per_source: int = 100
    recovery: float = 30.0

    def __post_init__(self) -> None:
        for algorithm in self.algorithms:
            if hash_name(algorithm) is None:
                raise ValueError(f"unknown digest algorithm {algorithm!r}; known are {', '.join(HASHES)}")


class Verdict(Enum):
    """What is known of who sent a request."""

    # The password was right.
    GENUINE = "genuine"
    # No credentials for our realm: to be challenged.
    ABSENT = "absent"
    # The nonce is too old or was used: to be challenged with stale=true.
    STALE = "stale"
    # Wrong user or password.
    DENIED = "denied"
    # Too many wrong passwords from there; not looked at.
    BARRED = "barred"


@dataclass(slots=True)
class Lookup:
    """The question for what is stored of a user.

    The answer is a mapping from hash name (``"SHA-256"``, ``"MD5"``…) to HA1 in
    hexadecimal, or None where there is no such user.
    """

    username: str
    realm: str


class Authenticator:
    """Checks credentials for any realm of one server. ``keys``: see ``Nonces``."""

    __slots__ = ("_config", "_counts", "_guard", "_nonces")

    def __init__(self, config: AuthConfig, keys: Sequence[bytes], entropy: Entropy) -> None:
        self._config = config
        self._nonces = Nonces(keys, entropy, config.nonce_lifetime)
        self._counts = NonceCounts(config.nonces)
        self._guard = Guard(
            config.failures_per_user, config.failures_per_source, config.recovery, config.nonces
        )

    def challenges(self, realm: str, unix: float, *, stale: bool = False) -> list[str]:
        """Return the values of WWW-/Proxy-Authenticate, most preferred first (RFC 8760 2.4)."""
        nonce = self._nonces.make(realm, unix)
        end = ", stale=true" if stale else ""
        qop = ",".join(self._config.qop)
        return [
            f'Digest realm={quote(realm)}, nonce="{nonce}", qop="{qop}", algorithm={algorithm}{end}'
            for algorithm in self._config.algorithms
        ]

    def select(
        self, offered: Sequence[Credentials], realm: str, source: str, unix: float, now: float
    ) -> tuple[Verdict, Credentials | None]:
        """Return the credentials to verify with a provisional GENUINE, or why there are none."""
        # RFC 3261 22.3: a request may carry credentials for several realms.
        mine = [one for one in offered if one.is_digest and one.realm == realm]
        if not mine:
            return Verdict.ABSENT, None
        credentials = mine[0]
        username = credentials.username
        if username is None or not credentials.response or not credentials.nonce or credentials.uri is None:
            return Verdict.ABSENT, None
        if hash_name(credentials.algorithm) not in {hash_name(name) for name in self._config.algorithms}:
            # RFC 7616 3.4: an answer to a challenge that we did not make.
            return Verdict.ABSENT, None
        if not self._guard.allowed(source, username, now):
            return Verdict.BARRED, None
        age = self._nonces.age(credentials.nonce, realm, unix)
        if age is None:
            return Verdict.ABSENT, None
        if not self._nonces.is_fresh(age):
            return Verdict.STALE, None
        qop = credentials.qop
        if not qop or qop[0] not in self._config.qop or len(qop) > 1:
            # RFC 8760 2.6: qop was offered, and an answer without it could be replayed.
            return Verdict.ABSENT, None
        if credentials.nonce_count is None or not credentials.cnonce:
            return Verdict.ABSENT, None
        return Verdict.GENUINE, credentials

    def verify(
        self,
        credentials: Credentials,
        method: str,
        body: bytes,
        stored: Mapping[str, str] | None,
        source: str,
        now: float,
    ) -> Verdict:
        """Return GENUINE, STALE or DENIED for credentials that ``select`` gave."""
        name = hash_name(credentials.algorithm)
        assert name is not None
        assert credentials.nonce is not None
        assert credentials.uri is not None
        key = None if stored is None else stored.get(name)
        expected = compute_response(
            key or _NOBODY,
            method,
            credentials.uri,
            credentials.nonce,
            algorithm=credentials.algorithm,
            qop=credentials.qop[0],
            nc=credentials.params.get("nc", ""),
            cnonce=credentials.cnonce or "",
            body=body,
        )
        given = (credentials.response or "").lower()
        username = credentials.username or ""
        matches = hmac.compare_digest(
            given.encode("utf-8", "surrogateescape"), expected.encode("utf-8", "surrogateescape")
        )
        if not matches or key is None:
            self._guard.failed(source, username, now)
            return Verdict.DENIED
        self._guard.succeeded(source, username)
        # RFC 7616 3.4: only who knows the password may use up a count.
        if not self._counts.accept(credentials.nonce, credentials.nonce_count or 0):
            return Verdict.STALE
        return Verdict.GENUINE
