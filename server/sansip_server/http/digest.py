"""Digest authentication of HTTP requests (RFC 7616), by the code that SIP uses.

Theory of operation: nonces carry their own proof, their uses are counted, and they end with this process,
which makes their key at its start. Wrong passwords bar their source for a while. The operator or the store
keeps only the HA1 of a password. A proof is good for one request: its method, its target, and with
``auth-int`` its body.
"""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from sansip.auth import AuthConfig, Authenticator, Offer, Verdict
from sansip.bans import Bans
from sansip.entropy import Entropy
from sansip.errors import RemoteProtocolError
from sansip.wire.headers.auth import parse_credentials
from sansip_sockets.http import HttpFault, HttpRequest

__all__ = ["Digest"]

Fields = Sequence[tuple[str, str]]

# Sources that are barred at once; the oldest is forgotten.
_BANS: Final = 10_000
# RFC 9112 3.2.2: the absolute form names the place before the path.
_ABSOLUTE: Final = re.compile(r"(?i)https?://[^/?#]*")


class Digest:
    """Challenges clients, and judges their answers; each call names the users whose passwords count."""

    def __init__(
        self,
        config: AuthConfig,
        clock: Callable[[], float] = time.monotonic,
        unix: Callable[[], float] = time.time,
    ) -> None:
        self._clock = clock
        self._unix = unix
        entropy = Entropy(os.urandom(32))
        self._judge = Authenticator(config, [os.urandom(32)], entropy, Bans(_BANS), None, unix())

    def challenges(self, realm: str, source: str, *, stale: bool = False) -> list[tuple[str, str]]:
        """Return the WWW-Authenticate fields of a 401 (RFC 7616 3.3)."""
        values = self._judge.challenges(realm, source, self._unix(), self._clock(), stale=stale)
        return [("WWW-Authenticate", value) for value in values]

    def offered(self, request: HttpRequest, realm: str, others: Fields = ()) -> Offer:
        """Return the proof in ``request``, whose user the caller has to look up. Raises ``HttpFault``.

        ``others``: challenges of other schemes, for a 401.
        """
        try:
            credentials = parse_credentials(
                request.header("authorization") or "", "Authorization", "RFC 7616 3.4"
            )
        except RemoteProtocolError as error:
            raise HttpFault(400, f"Authorization: {error.reason}") from None
        offer = self._judge.select([credentials], realm, request.remote, self._unix(), self._clock())
        if offer.verdict is not Verdict.GENUINE:
            raise self._refusal(request, realm, offer, others)
        if _path(credentials.uri or "") != _path(request.target):
            # RFC 7616 3.4.6: a proof for another resource.
            raise HttpFault(400, "the uri of the digest is not that of the request")
        return offer

    def prove(
        self,
        request: HttpRequest,
        realm: str,
        offer: Offer,
        stored: Mapping[str, str] | None,
        others: Fields = (),
    ) -> str:
        """Return the user of ``offer``; ``stored`` are the keys of the user. Raises ``HttpFault``."""
        verdict = self._judge.verify(
            offer, request.method, request.body, stored, request.remote, self._clock()
        )
        if verdict is not Verdict.GENUINE:
            raise self._refusal(request, realm, offer, others)
        assert offer.credentials is not None
        return offer.credentials.username or ""

    def _refusal(self, request: HttpRequest, realm: str, offer: Offer, others: Fields) -> HttpFault:
        if offer.verdict is Verdict.BARRED:
            left = 1 if offer.ban is None else max(1, math.ceil(offer.ban.until - self._clock()))
            return HttpFault(403, "too many wrong passwords", ("Retry-After", str(left)))
        stale = offer.verdict is Verdict.STALE
        text = offer.reason if stale else "the password is needed" if not offer.reason else "not proved"
        return HttpFault(401, text, *others, *self.challenges(realm, request.remote, stale=stale))


def _path(target: str) -> str:
    return _ABSOLUTE.sub("", target, count=1) or "/"
