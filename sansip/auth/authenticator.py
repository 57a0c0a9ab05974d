"""Digest authentication of a server: challenges out, credentials checked.

Theory of operation: the verdict on a request is made in two steps, because the
stored HA1 may have to be fetched in between. ``select`` finds the credentials
meant for our realm and checks what needs no password: the nonce, its age and its
count, the algorithm, the guard. It returns an ``Offer``; ``verify`` then compares the
response. Both put a ``Verdict`` into the offer, and where that is no GENUINE the reason
for the log. ``challenges`` makes the header values that go with it.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from sansip.auth.algorithms import compute_response, hash_name, username_hash
from sansip.auth.ephemeral import Ephemeral, split_name
from sansip.auth.guard import Guard
from sansip.auth.nonce import Nonce, Nonces
from sansip.auth.offer import SHOWN, TOO_OLD, Offer, Verdict
from sansip.auth.policy import AuthConfig
from sansip.auth.replay import AHEAD, ONCE, USED, NonceCounts
from sansip.sources import source_of
from sansip.wire.abnf import quote
from sansip.wire.headers.auth import Credentials

if TYPE_CHECKING:
    from sansip.bans import Bans
    from sansip.entropy import Entropy

__all__ = ["Authenticator"]

# The value that an unknown user's response is compared with, so that the comparison takes as long.
_NOBODY = {"MD5": "0" * 32, "SHA-256": "0" * 64, "SHA-512-256": "0" * 64}


class Authenticator:
    """Checks credentials for any realm of one server.

    ``keys``: see ``Nonces``. ``bans``: the sources that are banned. ``began``: the Unix time at which this
    process began, so that it can tell which nonces are older; None for that of the first look.
    """

    __slots__ = ("_config", "_counts", "_ephemeral", "_guard", "_names", "_nonces")

    def __init__(
        self,
        config: AuthConfig,
        keys: Sequence[bytes],
        entropy: Entropy,
        bans: Bans,
        ephemeral: Ephemeral | None = None,
        began: float | None = None,
    ) -> None:
        self._config = config
        self._ephemeral = ephemeral
        self._names = {hash_name(name) for name in config.algorithms}
        self._nonces = Nonces(keys, entropy, config.nonce_lifetime)
        self._counts = NonceCounts(self._nonces.life, config.nonces, began)
        self._guard = Guard(
            bans, config.failures_per_user, config.failures_per_source, config.recovery, config.guarded
        )

    def configure(self, config: AuthConfig) -> None:
        """Go by ``config`` from now on; nonces, counts and bans that stand go on."""
        self._config = config
        self._names = {hash_name(name) for name in config.algorithms}
        self._nonces.lifetime = config.nonce_lifetime
        self._counts.most = config.nonces
        self._guard.bound(
            config.failures_per_user, config.failures_per_source, config.recovery, config.guarded
        )

    def share(self, tell: Callable[[str, str, int], None]) -> None:
        """Be one of several workers: ``tell(source, user, answer)`` tells the others of a wrong password."""
        self._counts.own_only = True
        self._guard.tell = tell

    def hear_of_failure(self, source: str, user: str, answer: int, now: float) -> None:
        """Count a wrong password that another worker has seen."""
        self._guard.failed(source, user, answer, now, told=False)

    def rotate(self, keys: Sequence[bytes], unix: float) -> None:
        """Make nonces with the first of ``keys`` from now on (``Nonces.replace``)."""
        self._nonces.replace(keys, unix)

    @property
    def ephemeral(self) -> Ephemeral | None:
        """The source of users with a time limit, if there is one."""
        return self._ephemeral

    @property
    def matches_uri(self) -> bool:
        """Whether ``uri`` in an answer has to name the same thing as the Request-URI."""
        return self._config.match_uri

    def asked_for(self, credentials: Credentials, unix: float) -> bool:
        """Whether ``credentials`` answer a challenge of ours: no other server may see them."""
        realm, nonce = credentials.realm, credentials.nonce
        return (
            realm is not None
            and nonce is not None
            and self._nonces.read(nonce, realm, None, unix) is not None
        )

    def challenges(
        self, realm: str, source: str, unix: float, now: float, *, stale: bool = False
    ) -> list[str]:
        """Return the values of WWW-/Proxy-Authenticate for ``source``, the preferred first (RFC 8760 2.4)."""
        self._counts.look(unix)
        nonce = self._nonces.make(realm, source_of(source), unix, now)
        end = ", stale=true" if stale else ""
        end += ", userhash=true" if self._config.userhash else ""
        qop = ",".join(self._config.qop)
        return [
            f'Digest realm={quote(realm)}, nonce="{nonce}", qop="{qop}", algorithm={algorithm}{end}'
            for algorithm in self._config.algorithms
        ]

    def select(
        self,
        offered: Sequence[Credentials],
        realm: str,
        source: str,
        unix: float,
        now: float,
        *,
        forgeable: bool = False,
    ) -> Offer:
        """Return the credentials to verify with a provisional GENUINE, or why there are none.

        ``forgeable``: any host could have written ``source`` into the packet.
        """
        self._counts.look(unix)
        if not offered:
            return Offer(Verdict.ABSENT)
        source = source_of(source)
        # RFC 3261 22.3: a request may carry credentials for several realms; and
        # for ours twice, where another server asks in it with nonces of its own.
        mine = [one for one in offered if one.is_digest and one.realm == realm]
        if not mine:
            return Offer(Verdict.ABSENT, reason=_elsewhere(offered[0]))
        credentials, nonce = mine[0], None
        bound = source if forgeable and self._config.bind_nonces else None
        for one in mine:
            nonce = self._nonces.read(one.nonce or "", realm, bound, unix)
            if nonce is not None:
                credentials = one
                break
        offer = Offer(Verdict.ABSENT, credentials, nonce)
        username = credentials.username
        if not credentials.nonce and not credentials.response:
            # RFC 8760 2.7: the credentials of a client that has not been challenged yet.
            return offer
        if username is None or not credentials.response or not credentials.nonce or credentials.uri is None:
            offer.reason = "no username, nonce, uri or response"
            return offer
        if hash_name(credentials.algorithm) not in self._names:
            # RFC 7616 3.4: an answer to a challenge that we did not make.
            offer.reason = f"algorithm {(credentials.algorithm or 'MD5')[:SHOWN]!r} was not offered"
            return offer
        ban = self._guard.barred(source, username[: self._config.username_size], now)
        if ban is not None:
            offer.verdict, offer.reason, offer.ban = Verdict.BARRED, ban.reason, ban
            return offer
        if nonce is None:
            offer.reason = "the nonce is none of ours"
            return offer
        self._check_nonce(offer, nonce, unix)
        return offer

    def _check_nonce(self, offer: Offer, nonce: Nonce, unix: float) -> None:
        """Judge how the nonce of ``offer`` is used."""
        credentials = offer.credentials
        assert credentials is not None
        offer.verdict = Verdict.STALE
        if not nonce.made - AHEAD <= unix <= nonce.made + self._nonces.lifetime:
            offer.reason = TOO_OLD
            return
        if not self._config.other_nodes and nonce.life != self._nonces.life:
            offer.reason = "the nonce was made by another node, or before a restart"
            return
        if not nonce.fits:
            offer.reason = "the nonce was given to another address"
            return
        limited = None if self._ephemeral is None else split_name(credentials.username or "")
        if limited is not None and limited[0] < unix:
            offer.verdict, offer.reason = Verdict.EXPIRED, "the time limit of the user name is over"
            return
        fault = self._quality(credentials)
        if fault:
            offer.verdict, offer.reason = Verdict.ABSENT, fault
            return
        offer.reason = self._counts.objection(nonce, _count_of(credentials))
        if offer.reason:
            return
        offer.verdict = Verdict.GENUINE

    def _quality(self, credentials: Credentials) -> str:
        """Return the fault of the quality of protection that a client chose, "" for none."""
        qop = credentials.qop
        if not qop:
            # RFC 3261 22.4, RFC 8760 2.6 item 8: optional to receive, and then it means "auth". The
            # body is not covered, and without a cnonce there is no -sess (RFC 7616 3.4.2).
            if "qop" in credentials.params or "auth" not in self._config.qop:
                return "an answer without the qop that was offered"
            return "-sess without qop" if (credentials.algorithm or "").endswith("-sess") else ""
        if len(qop) > 1 or qop[0] not in self._config.qop:
            return f"qop {credentials.params['qop'][:SHOWN]!r} was not offered"
        if credentials.nonce_count is None or not credentials.cnonce:
            return "qop without nc and cnonce"
        return ""

    def needs_lookup(self, credentials: Credentials) -> bool:
        """Whether the stored data of the user must be looked up."""
        username = credentials.username or ""
        if len(username) > self._config.username_size:
            return False
        return self._ephemeral is None or split_name(username) is None

    def name_of(self, credentials: Credentials, claimed: Iterable[str] = ()) -> str:
        """Return the user that the user name means: that without a time limit, and not hashed.

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
        offer: Offer,
        method: str,
        body: bytes,
        stored: Mapping[str, str] | None,
        source: str,
        now: float,
        *,
        proven: bool = False,
    ) -> Verdict:
        """Say GENUINE, STALE or DENIED of the credentials that ``select`` gave, in ``offer`` as well.

        The work is the same for a user that does not exist. ``proven``: ``proves`` said so.
        """
        credentials = offer.credentials
        assert credentials is not None
        source = source_of(source)
        if proven:
            return self._counted(offer, source)
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
        if matches and known:
            return self._counted(offer, source)
        # RFC 7616 3.4: these make one answer another than the next.
        answer = hash((credentials.nonce, credentials.params.get("nc"), credentials.cnonce, given))
        offer.ban = self._guard.failed(source, self._counted_name(credentials), answer, now)
        offer.verdict, offer.reason = Verdict.DENIED, "wrong password" if known else "no such user"
        return Verdict.DENIED

    def _counted(self, offer: Offer, source: str) -> Verdict:
        """Say GENUINE of a password that was right, or STALE where its nonce count was used."""
        credentials, nonce = offer.credentials, offer.nonce
        assert credentials is not None
        assert nonce is not None
        self._guard.succeeded(source, self._counted_name(credentials))
        # RFC 7616 3.4: only who knows the password may use up a count.
        if self._counts.accept(nonce, _count_of(credentials)):
            offer.verdict = Verdict.GENUINE
        else:
            offer.verdict, offer.reason = Verdict.STALE, USED
        return offer.verdict

    def _counted_name(self, credentials: Credentials) -> str:
        return (credentials.username or "")[: self._config.username_size]

    @staticmethod
    def _expected(credentials: Credentials, key: str, method: str, body: bytes) -> str:
        qop = credentials.qop
        return compute_response(
            key,
            method,
            credentials.uri or "",
            credentials.nonce or "",
            algorithm=credentials.algorithm,
            qop=qop[0] if qop else None,
            nc=credentials.params.get("nc", ""),
            cnonce=credentials.cnonce or "",
            body=body,
        )

    def authentication_info(
        self,
        offer: Offer,
        stored: Mapping[str, str] | None,
        realm: str,
        source: str,
        unix: float,
        now: float,
    ) -> Callable[[bytes], str] | None:
        """Return what makes the Authentication-Info value of an answer from its body (RFC 7616 3.5).

        None where it is not wanted, or not known to the client: RFC 2069 has none (RFC 3261
        22.4). A nonce past half its life is followed by a new one.
        """
        credentials, nonce = offer.credentials, offer.nonce
        if not self._config.authentication_info or credentials is None or not credentials.qop:
            return None
        key = None if stored is None else stored.get(hash_name(credentials.algorithm) or "")
        if key is None:
            # If there are several secrets, this code does not know which one the client has.
            return None
        begin = ""
        if nonce is None or unix - nonce.made > self._nonces.lifetime / 2:
            begin = f'nextnonce="{self._nonces.make(realm, source_of(source), unix, now)}", '

        def value(body: bytes) -> str:
            # A2 of a response has no method.
            proof = self._expected(credentials, key, "", body)
            nc, cnonce = credentials.params.get("nc", ""), quote(credentials.cnonce or "")
            return f'{begin}qop={credentials.qop[0]}, rspauth="{proof}", cnonce={cnonce}, nc={nc}'

        return value


def _count_of(credentials: Credentials) -> int:
    return credentials.nonce_count or 0 if credentials.qop else ONCE


def _elsewhere(credentials: Credentials) -> str:
    """Return why ``credentials`` are none for our realm."""
    if not credentials.is_digest:
        # RFC 3261 22: never Basic.
        return f"{credentials.scheme[:SHOWN]!r} is not Digest"
    return f"an answer for realm {(credentials.realm or '')[:SHOWN]!r}"
