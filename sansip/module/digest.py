"""Digest for a protocol of a module: users of this server prove who they are, as they do in SIP.

Theory of operation: ``core.digest()`` has the server's settings and bans, with nonces of the module's own. A
message that carries credentials is given to ``prove``, which looks the user up and answers with a ``Proof``:
the user; or challenges; or that the source has tried too many passwords. Wrong passwords count for the source
together with those of SIP.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from sansip.auth import AuthConfig, Authenticator, Lookup, Offer, Users, Verdict
from sansip.errors import RemoteProtocolError
from sansip.routing.awaitables import Question
from sansip.wire.headers.auth import parse_credentials

if TYPE_CHECKING:
    from sansip.bans import Bans
    from sansip.clock import Wall
    from sansip.entropy import Entropy

__all__ = ["Digest", "Proof"]


@dataclass(slots=True)
class Proof:
    """The result of a look at credentials.

    Attributes:
        user: who has proved it; "" where nobody has.
        challenges: the values of WWW-Authenticate, the preferred one first.
        info: the value of Authentication-Info for a 200; "" where nobody has proved anything.
        wait: seconds for which the source is barred; 0 where it is not.
        reason: why it was not believed, as text for people.
        broken: whether the store of users does not answer.
    """

    user: str = ""
    challenges: list[str] = field(default_factory=list)
    info: str = ""
    wait: int = 0
    reason: str = ""
    broken: bool = False


class Digest:
    """Judges the users of one protocol. ``core.digest()`` makes it."""

    __slots__ = ("_find", "_judge", "_run", "_wall")

    def __init__(
        self,
        config: AuthConfig,
        key: bytes,
        entropy: Entropy,
        bans: Bans,
        wall: Wall,
        find: Users | None,
        run: Callable[[Coroutine[Any, Any, Any], float, Callable[[Any, float], None]], None],
    ) -> None:
        # RFC 4976 9.1: neither auth-int nor -sess; each 200 proves that the server knows the password.
        algorithms = tuple(one for one in config.algorithms if not one.lower().endswith("-sess")) or ("MD5",)
        config = replace(config, algorithms=algorithms, qop=("auth",), authentication_info=True)
        self._judge = Authenticator(config, [key], entropy, bans)
        self._wall = wall
        self._find = find
        self._run = run

    def challenges(self, realm: str, source: str, now: float, *, stale: bool = False) -> list[str]:
        """Return the values of WWW-Authenticate for ``source``."""
        return self._judge.challenges(realm, source, self._wall.unix(now), now, stale=stale)

    def prove(
        self,
        authorization: str,
        method: str,
        uri: str,
        realm: str,
        source: str,
        now: float,
        done: Callable[[Proof, float], None],
    ) -> None:
        """Look at the value of an Authorization field, "" where there is none; ``done`` gets the proof.

        ``uri`` is what the credentials have to be for; they need not say it themselves (RFC 4976 9.1).
        """
        if not authorization:
            done(Proof(challenges=self.challenges(realm, source, now)), now)
            return
        try:
            credentials = parse_credentials(authorization, "Authorization", "RFC 7616 3.4")
        except RemoteProtocolError as error:
            done(Proof(challenges=self.challenges(realm, source, now), reason=error.reason), now)
            return
        if credentials.params.setdefault("uri", uri) != uri:
            # RFC 7616 3.4.6: it may be an attack.
            reason = "the credentials are for another URI"
            done(Proof(challenges=self.challenges(realm, source, now), reason=reason), now)
            return
        judge = self._judge
        offer = judge.select([credentials], realm, source, self._wall.unix(now), now)
        if offer.verdict is not Verdict.GENUINE:
            done(self._refusal(offer, realm, source, now), now)
            return
        lookup = Lookup(judge.name_of(credentials), realm)

        def found(stored: Any, now: float) -> None:
            if isinstance(stored, BaseException):
                done(Proof(reason="the store of users does not answer", broken=True), now)
                return
            if judge.verify(offer, method, b"", stored, source, now) is Verdict.GENUINE:
                info = judge.authentication_info(offer, stored, realm, source, self._wall.unix(now), now)
                done(Proof(lookup.username, info=info(b"") if info is not None else ""), now)
            else:
                done(self._refusal(offer, realm, source, now), now)

        if not judge.needs_lookup(credentials):
            found(None, now)
        elif self._find is not None:
            found(self._find(lookup), now)
        else:
            self._run(_asked(lookup), now, found)

    def _refusal(self, offer: Offer, realm: str, source: str, now: float) -> Proof:
        if offer.verdict is Verdict.BARRED:
            left = 1 if offer.ban is None else max(1, math.ceil(offer.ban.until - now))
            return Proof(wait=left, reason=offer.reason)
        stale = offer.verdict is Verdict.STALE
        return Proof(challenges=self.challenges(realm, source, now, stale=stale), reason=offer.reason)


async def _asked(lookup: Lookup) -> Any:
    return await Question(lookup)
