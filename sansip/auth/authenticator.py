"""Digest authentication of a server: challenges out, credentials checked.

Theory of operation: the verdict on a request is made in two steps, because the
stored HA1 may have to be fetched in between. ``select`` finds the credentials
meant for our realm and checks what needs no password: the nonce, its age, the
algorithm, the guard. ``verify`` then compares the response. Both give a
``Verdict``, and ``challenges`` makes the header values that go with it.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from sansip.auth.algorithms import HASHES, compute_response, hash_name, username_hash
from sansip.auth.ephemeral import Ephemeral, split_name
from sansip.auth.guard import Guard
from sansip.auth.nonce import Nonces
from sansip.auth.replay import NonceCounts
from sansip.sources import source_of
from sansip.wire.abnf import quote
from sansip.wire.headers.auth import Credentials

if TYPE_CHECKING:
    from sansip.entropy import Entropy

__all__ = ["AuthConfig", "Authenticator", "Lookup", "Verdict"]

# What an unknown user's response is compared with, so that it takes as long.
_NOBODY = {"MD5": "0" * 32, "SHA-256": "0" * 64, "SHA-512-256": "0" * 64}


@dataclass(slots=True)
class AuthConfig:
    """Policy of authentication.

    Attributes:
        algorithms: offered, most preferred first (RFC 8760 2.3): `MD5`, `SHA-256`,
            `SHA-512-256`, each also with `-sess`. A client answers the topmost that it
            knows (2.4); but in the field many give up when they meet another than MD5, even below
            it, so that is the default. `["SHA-256", "MD5"]` where phones can; keys for all
            are stored, so it can be changed at any time.
        qop: qualities of protection offered (RFC 7616 3.3): `auth`, and `auth-int`,
            which covers the body as well. Some phones stumble over a list of two.
        realms: realms that are not called like their domain, as `"domain realm"`. The
            keys of users are bound to their realm: it must stay what it was when they
            came from another server.
        nonce_lifetime: seconds a nonce may be used.
        nonces: nonce counts remembered at the most.
        authentication_info: prove in each 200 to a REGISTER that we know the password, too,
            and renew the nonce before it grows stale (RFC 7616 3.5).
        userhash: have clients that can hide the user name by hashing it (RFC 7616
            3.4.4). It is found where it is the user of To or From.
        username_size: octets of a user name that is looked up; longer ones are unknown.
        guarded: sources, and pairs of source and user, whose failures are remembered, and
            pairs that were right; about 400 octets each. The oldest is forgotten.
        failures_per_user: wrong passwords outstanding of one source for one user.
        failures_per_source: the same for one source and all users.
        recovery: seconds after which one failure is forgotten.
    """

    algorithms: tuple[str, ...] = ("MD5",)
    qop: tuple[str, ...] = ("auth",)
    realms: tuple[str, ...] = ()
    nonce_lifetime: float = 300.0
    nonces: int = 100_000
    authentication_info: bool = False
    userhash: bool = False
    username_size: int = 255
    guarded: int = 100_000
    failures_per_user: int = 10
    failures_per_source: int = 100
    recovery: float = 30.0

    def __post_init__(self) -> None:
        for algorithm in self.algorithms:
            if hash_name(algorithm) is None:
                raise ValueError(f"unknown digest algorithm {algorithm!r}; known are {', '.join(HASHES)}")
        for qop in self.qop:
            if qop not in ("auth", "auth-int"):
                raise ValueError(f"unknown qop {qop!r}; known are auth, auth-int")
        if not self.algorithms or not self.qop:
            # RFC 8760 2.6 item 8: a challenge always has a qop.
            raise ValueError("algorithms and qop need at least one value each")
        for line in self.realms:
            if not all(line.partition(" ")[::2]):
                raise ValueError(f"expected 'domain realm', found {line!r}")

    def realm_by_domain(self) -> dict[str, str]:
        """Return ``realms`` as a mapping; domains are in lower case."""
        pairs = (line.partition(" ")[::2] for line in self.realms)
        return {domain.lower(): realm.strip() for domain, realm in pairs}


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
    # A user name with a time limit, which is over.
    EXPIRED = "expired"


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

    __slots__ = ("_config", "_counts", "_ephemeral", "_guard", "_names", "_nonces")

    def __init__(
        self,
        config: AuthConfig,
        keys: Sequence[bytes],
        entropy: Entropy,
        ephemeral: Ephemeral | None = None,
    ) -> None:
        self._config = config
        self._ephemeral = ephemeral
        self._names = {hash_name(name) for name in config.algorithms}
        self._nonces = Nonces(keys, entropy, config.nonce_lifetime)
        self._counts = NonceCounts(config.nonces)
        self._guard = Guard(
            config.failures_per_user, config.failures_per_source, config.recovery, config.guarded
        )

    def rotate(self, keys: Sequence[bytes], unix: float) -> None:
        """Make nonces with the first of ``keys`` from now on (``Nonces.replace``)."""
        self._nonces.replace(keys, unix)

    @property
    def ephemeral(self) -> Ephemeral | None:
        """Who knows users with a time limit, if anybody does."""
        return self._ephemeral

    def asked_for(self, credentials: Credentials, unix: float) -> bool:
        """Whether ``credentials`` answer a challenge of ours: they are nobody else's to see."""
        realm, nonce = credentials.realm, credentials.nonce
        return realm is not None and nonce is not None and self._nonces.age(nonce, realm, unix) is not None

    def challenges(self, realm: str, unix: float, *, stale: bool = False) -> list[str]:
        """Return the values of WWW-/Proxy-Authenticate, most preferred first (RFC 8760 2.4)."""
        nonce = self._nonces.make(realm, unix)
        end = ", stale=true" if stale else ""
        end += ", userhash=true" if self._config.userhash else ""
        qop = ",".join(self._config.qop)
        return [
            f'Digest realm={quote(realm)}, nonce="{nonce}", qop="{qop}", algorithm={algorithm}{end}'
            for algorithm in self._config.algorithms
        ]

    def select(
        self, offered: Sequence[Credentials], realm: str, source: str, unix: float, now: float
    ) -> tuple[Verdict, Credentials | None]:
        """Return the credentials to verify with a provisional GENUINE, or why there are none."""
        # RFC 3261 22.3: a request may carry credentials for several realms; and
        # for ours twice, where another server asks in it with nonces of its own.
        mine = [one for one in offered if one.is_digest and one.realm == realm]
        if not mine:
            return Verdict.ABSENT, None
        credentials, age = mine[0], None
        for one in mine:
            age = self._nonces.age(one.nonce or "", realm, unix)
            if age is not None:
                credentials = one
                break
        username = credentials.username
        if username is None or not credentials.response or not credentials.nonce or credentials.uri is None:
            return Verdict.ABSENT, None
        if hash_name(credentials.algorithm) not in self._names:
            # RFC 7616 3.4: an answer to a challenge that we did not make.
            return Verdict.ABSENT, None
        if not self._guard.allowed(source_of(source), username[: self._config.username_size], now):
            return Verdict.BARRED, None
        if age is None:
            return Verdict.ABSENT, None
        if not self._nonces.is_fresh(age):
            return Verdict.STALE, None
        limited = None if self._ephemeral is None else split_name(username)
        if limited is not None and limited[0] < unix:
            return Verdict.EXPIRED, None
        qop = credentials.qop
        if not qop or qop[0] not in self._config.qop or len(qop) > 1:
            # RFC 8760 2.6 item 8: qop was offered, and an answer without it could be replayed.
            return Verdict.ABSENT, None
        if credentials.nonce_count is None or not credentials.cnonce:
            return Verdict.ABSENT, None
        return Verdict.GENUINE, credentials

    def needs_lookup(self, credentials: Credentials) -> bool:
        """Whether somebody has to be asked what is stored of the user."""
        username = credentials.username or ""
        if len(username) > self._config.username_size:
            return False
        return self._ephemeral is None or split_name(username) is None

    def name_of(self, credentials: Credentials, claimed: Iterable[str] = ()) -> str:
        """Return whom the user name means: that without a time limit, and not hashed.

        ``claimed``: the names that it may be the hash of (RFC 7616 3.4.4).
        """
        username = credentials.username or ""
        if credentials.params.get("userhash", "").lower() == "true":
            for name in claimed:
                if username_hash(name, credentials.realm or "", credentials.algorithm) == username.lower():
                    return name
        limited = None if self._ephemeral is None else split_name(username)
        return username if limited is None else limited[1]

    def proves(self, credentials: Credentials, method: str, body: bytes, stored: Mapping[str, str]) -> bool:
        """Whether ``credentials``, that ``select`` gave, prove a key of ``stored``. Counts nothing."""
        key = stored.get(hash_name(credentials.algorithm) or "")
        if key is None:
            return False
        given = (credentials.response or "").lower().encode("utf-8", "surrogateescape")
        expected = self._expected(credentials, key, method, body)
        return hmac.compare_digest(given, expected.encode("utf-8", "surrogateescape"))

    def verify(
        self,
        credentials: Credentials,
        method: str,
        body: bytes,
        stored: Mapping[str, str] | None,
        source: str,
        now: float,
        *,
        proven: bool = False,
    ) -> Verdict:
        """Return GENUINE, STALE or DENIED for credentials that ``select`` gave.

        The work is the same for a user that does not exist. ``proven``: ``proves`` said so.
        """
        if proven:
            return self._counted(credentials, source_of(source), now)
        name = hash_name(credentials.algorithm)
        assert name is not None
        key = None if stored is None else stored.get(name)
        keys = [key or _NOBODY[name]]
        known = key is not None
        if self._ephemeral is not None and split_name(credentials.username or "") is not None:
            keys = self._ephemeral.keys(credentials.username or "", credentials.realm or "", name)
            known = True
        given = (credentials.response or "").lower().encode("utf-8", "surrogateescape")
        matches = False
        for key in keys:
            expected = self._expected(credentials, key, method, body)
            matches |= hmac.compare_digest(given, expected.encode("utf-8", "surrogateescape"))
        username = (credentials.username or "")[: self._config.username_size]
        source = source_of(source)
        if not matches or not known:
            self._guard.failed(source, username, now)
            return Verdict.DENIED
        return self._counted(credentials, source, now)

    def _counted(self, credentials: Credentials, source: str, now: float) -> Verdict:
        """Return GENUINE for a password that was right, or STALE where its nonce count was used."""
        self._guard.succeeded(source, (credentials.username or "")[: self._config.username_size])
        # RFC 7616 3.4: only who knows the password may use up a count.
        if not self._counts.accept(credentials.nonce or "", credentials.nonce_count or 0):
            return Verdict.STALE
        return Verdict.GENUINE

    @staticmethod
    def _expected(credentials: Credentials, key: str, method: str, body: bytes) -> str:
        return compute_response(
            key,
            method,
            credentials.uri or "",
            credentials.nonce or "",
            algorithm=credentials.algorithm,
            qop=credentials.qop[0],
            nc=credentials.params.get("nc", ""),
            cnonce=credentials.cnonce or "",
            body=body,
        )

    def praise(
        self, credentials: Credentials, stored: Mapping[str, str] | None, realm: str, unix: float
    ) -> Callable[[bytes], str] | None:
        """Return what makes the Authentication-Info value of an answer from its body (RFC 7616 3.5).

        None where it is not wanted. A nonce past half its life is followed by a new one.
        """
        if not self._config.authentication_info:
            return None
        name = hash_name(credentials.algorithm) or ""
        key = None if stored is None else stored.get(name)
        if key is None:
            # Of several secrets it is not known here which one the client has.
            return None
        age = self._nonces.age(credentials.nonce or "", realm, unix) or 0.0
        begin = f'nextnonce="{self._nonces.make(realm, unix)}", ' if age > self._nonces.lifetime / 2 else ""

        def value(body: bytes) -> str:
            # A2 of a response has no method.
            proof = self._expected(credentials, key, "", body)
            nc, cnonce = credentials.params.get("nc", ""), quote(credentials.cnonce or "")
            return f'{begin}qop={credentials.qop[0]}, rspauth="{proof}", cnonce={cnonce}, nc={nc}'

        return value
