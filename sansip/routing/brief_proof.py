"""The password of a REGISTER that is read in brief: asked for, and checked, without a message.

Theory of operation: ``identity.authenticate`` is the reference, and decides on everything but two cases. A
request without credentials gets the challenge. A request with one answer to a challenge of ours is admitted,
if this server has the keys of its user at hand and the answer proves one of them. Everything else goes the
long way: a stale nonce, a wrong password, a user to look up. Nothing is counted before all checks have
passed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sansip.auth import Lookup, Verdict
from sansip.errors import RemoteProtocolError
from sansip.wire.headers.auth import Credentials, parse_credentials

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sansip.auth import Offer
    from sansip.routing.core import Core
    from sansip.transport import Flow
    from sansip.wire.brief import Brief

__all__ = ["BriefProof", "challenge_lines", "credentials_in", "prove"]

_FIELD = b"\r\nauthorization"


class BriefProof:
    """An answer to a challenge that has passed all checks; ``accept`` counts it."""

    __slots__ = ("_offer", "_realm", "_stored")

    def __init__(self, offer: Offer, stored: Mapping[str, str], realm: str) -> None:
        self._offer = offer
        self._stored = stored
        self._realm = realm

    def accept(self, core: Core, flow: Flow, now: float) -> Callable[[bytes], str] | None:
        """Count the use of its nonce; return what makes Authentication-Info, None where it is not wanted."""
        authenticator = core.authenticator
        assert authenticator is not None
        source = flow.host
        authenticator.verify(self._offer, "REGISTER", b"", self._stored, source, now, proven=True)
        return authenticator.authentication_info(
            self._offer, self._stored, self._realm, source, core.wall.unix(now), now
        )


def credentials_in(data: bytes) -> Credentials | bool | None:
    """Return the credentials in ``data``, a head that was read in brief; None without Authorization.

    False where more than one field, or another spelling, has to be looked at. No line of such a head is
    folded.
    """
    lower = data.lower()
    at = lower.find(_FIELD)
    if at < 0:
        return None
    begin = at + len(_FIELD)
    if data[begin : begin + 2] != b": " or lower.find(_FIELD, begin) >= 0:
        return False
    try:
        text = data[begin + 2 : data.index(b"\r\n", begin)].decode()
        return parse_credentials(text.strip(" \t"), "Authorization", "RFC 3261 20.7")
    except (RemoteProtocolError, UnicodeDecodeError):
        return False


def challenge_lines(core: Core, host: str, flow: Flow, now: float) -> str:
    """Return the lines of the challenges to a sender at ``flow``, for a user at ``host``."""
    assert core.authenticator is not None
    realm = core.realm_at(host)
    values = core.authenticator.challenges(realm, flow.host, core.wall.unix(now), now)
    return "".join([f"WWW-Authenticate: {value}\r\n" for value in values])


def prove(
    core: Core, brief: Brief, credentials: Credentials, user: str, host: str, flow: Flow, now: float
) -> BriefProof | None:
    """Return the proof that ``credentials`` give of ``user`` at ``host``; None where more must be looked at.

    Changes nothing.
    """
    authenticator = core.authenticator
    assert authenticator is not None
    realm = core.realm_at(host)
    offer = authenticator.select([credentials], realm, flow.host, core.wall.unix(now), now, forgeable=True)
    if offer.verdict is not Verdict.GENUINE or core.recall is None:
        return None
    # RFC 7616 3.4.6: the address in the answer has to be the Request-URI.
    if authenticator.matches_uri and credentials.uri != _uri(brief):
        return None
    names = (user, f"{user}@{host}")
    name = authenticator.name_of(credentials, names)
    # RFC 3261 10.2: it has to know the password of the user whose address it changes.
    if name not in names or not authenticator.needs_lookup(credentials):
        return None
    stored = core.recall(Lookup(name, realm))
    if stored is None or not authenticator.proves(credentials, "REGISTER", b"", stored):
        return None
    return BriefProof(offer, stored, realm)


def _uri(brief: Brief) -> str:
    """Return the Request-URI, which has no parameters, as written."""
    user = "" if brief.user is None else f"{brief.user}@"
    port = "" if brief.port is None else f":{brief.port}"
    return f"sip:{user}{brief.host}{port}"
