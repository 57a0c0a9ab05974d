"""The password of a request that is read in brief: asked for, and checked, without a message.

Theory of operation: ``identity.authenticate`` is the reference, and decides on everything but two cases. A
request without credentials gets the challenge. A request with one answer to a challenge of ours is admitted,
if this server has the keys of its user at hand and the answer proves one of them. Everything else goes the
long way: a stale nonce, a wrong password, a user to look up. Nothing is counted before all checks have
passed. Within a dialog nothing is asked for; there what answers a challenge of ours stays here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from sansip.auth import Lookup, Verdict, designates
from sansip.errors import RemoteProtocolError
from sansip.wire import parse_uri
from sansip.wire.headers.auth import Credentials, parse_credentials
from sansip.wire.host import plain_host

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sansip.auth import Offer
    from sansip.routing.core import Core
    from sansip.transport import Flow
    from sansip.wire.opening import Opening
    from sansip.wire.passing import Passing

__all__ = [
    "BriefProof",
    "challenge_lines",
    "credentials_in",
    "keeps_credentials",
    "prove",
    "prove_caller",
    "prove_user",
]

_FIELD = b"\r\nauthorization"
# A user part in which nothing is escaped.
_is_plain: Final = re.compile(r"[A-Za-z0-9\-_.!~*'()&=+$/]+").fullmatch


class BriefProof:
    """An answer to a challenge that has passed all checks; ``accept`` counts it."""

    __slots__ = ("_offer", "_realm", "_stored")

    def __init__(self, offer: Offer, stored: Mapping[str, str], realm: str) -> None:
        self._offer = offer
        self._stored = stored
        self._realm = realm

    def count(self, core: Core, flow: Flow, now: float) -> None:
        """Count the use of its nonce."""
        authenticator = core.authenticator
        assert authenticator is not None
        authenticator.verify(self._offer, "", b"", self._stored, flow.host, now, proven=True)

    def accept(self, core: Core, flow: Flow, now: float) -> Callable[[bytes], str] | None:
        """Count the use of its nonce; return what makes Authentication-Info, None where it is not wanted."""
        self.count(core, flow, now)
        authenticator = core.authenticator
        assert authenticator is not None
        return authenticator.authentication_info(
            self._offer, self._stored, self._realm, flow.host, core.wall.unix(now), now
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


def challenge_lines(core: Core, field: str, realm: str, flow: Flow, now: float) -> str:
    """Return the lines of the challenges in ``realm`` to a sender at ``flow``, each a ``field``."""
    assert core.authenticator is not None
    values = core.authenticator.challenges(realm, flow.host, core.wall.unix(now), now)
    return "".join([f"{field}: {value}\r\n" for value in values])


def prove(
    core: Core,
    credentials: Credentials,
    realm: str,
    names: tuple[str, str],
    asked: tuple[str, str, bytes],
    flow: Flow,
    now: float,
) -> BriefProof | None:
    """Return the proof that ``credentials`` give of a user; None where more must be looked at.

    ``names``: those that the user may have. ``asked``: method, Request-URI and body. Changes nothing.
    """
    authenticator = core.authenticator
    assert authenticator is not None
    method, uri, body = asked
    offer = authenticator.select([credentials], realm, flow.host, core.wall.unix(now), now, forgeable=True)
    if offer.verdict is not Verdict.GENUINE or core.recall is None:
        return None
    # RFC 7616 3.4.6: the address in the answer has to mean what the Request-URI does.
    if authenticator.matches_uri and credentials.uri != uri and not _means(core, credentials, method, uri):
        return None
    name = authenticator.name_of(credentials, names)
    # RFC 3261 10.2, 22: it has to know the password of the user it names.
    if name not in names or not authenticator.needs_lookup(credentials):
        return None
    stored = core.recall(Lookup(name, realm))
    if stored is None or not authenticator.proves(credentials, method, body, stored):
        return None
    return BriefProof(offer, stored, realm)


def _means(core: Core, credentials: Credentials, method: str, uri: str) -> bool:
    """Whether ``credentials`` were made for a request of ``method`` to ``uri``, in another spelling."""
    try:
        return designates(credentials.uri or "", method, parse_uri(uri), core.listeners.serves)
    except RemoteProtocolError:
        return False


def prove_caller(core: Core, opening: Opening, flow: Flow, now: float) -> BriefProof | None:
    """Return the proof that an INVITE gives of the user in its From; None where more must be looked at."""
    line = opening.credentials
    assert line is not None
    address = opening.from_.rpartition("<sip:")[2]
    user, at, _ = address.partition("@")
    contact = opening.contact.lower()
    # RFC 5627 6.2: a GRUU in Contact has to be the caller's own.
    if not at or ";gr" in contact or "%" in contact:
        return None
    whose = user, plain_host(opening.from_host)
    return prove_user(core, line, whose, ("INVITE", opening.uri, opening.body), flow, now)


def prove_user(
    core: Core, line: str, whose: tuple[str, str], asked: tuple[str, str, bytes], flow: Flow, now: float
) -> BriefProof | None:
    """Return the proof in ``line``, a field of credentials, of the user and host that ``whose`` are.

    None where more must be looked at. ``asked``: as for ``prove``.
    """
    user, host = whose
    credentials = _parsed(line)
    if credentials is None or _is_plain(user) is None:
        return None
    return prove(core, credentials, core.realm_at(host), (user, f"{user}@{host}"), asked, flow, now)


def keeps_credentials(core: Core, passing: Passing, now: float) -> bool | None:
    """Whether the credentials of a request within a dialog stay here; None where more must be looked at.

    RFC 3261 22.1, 22.3, as ``identity.withhold`` and ``proxy.credentials``.
    """
    line = passing.credentials
    authenticator = core.authenticator
    if line is None or authenticator is None:
        return False
    if core.bearer is not None:
        return None
    credentials = _parsed(line)
    if credentials is None:
        return None
    if authenticator.asked_for(credentials, core.wall.unix(now)):
        return True
    # The trust in the next hop decides.
    return None if core.proxy.trust.is_realm(credentials.realm) else False


def _parsed(line: str) -> Credentials | None:
    """Return what is in a line of credentials, None where it is malformed."""
    try:
        return parse_credentials(line.partition(":")[2].strip(" \t"), "Proxy-Authorization", "RFC 3261 20.28")
    except RemoteProtocolError:
        return None
