"""The sender of a request: challenges and verdicts, as a route uses them.

Theory of operation: ``authenticate`` is what Kamailio's ``auth_check`` is to its routes. It looks at the
credentials for our realm, fetches the stored data of the user (from the configuration, or by asking the
outside), and either names the user or answers the request itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from sansip.auth import Lookup, Verdict, designates
from sansip.auth.bearer import bearer_challenge
from sansip.auth.offer import SHOWN, TOO_OLD
from sansip.auth.replay import OLDER
from sansip.errors import RemoteProtocolError
from sansip.events import AuthenticationFailed, NonceRefused, SourceBarred
from sansip.proxy.trust import identity_of
from sansip.routing.awaitables import ENDLESS, Question
from sansip.routing.tokens import proves_by_token, shown_tokens, without_tokens

if TYPE_CHECKING:
    from sansip.auth import Authenticator, Offer
    from sansip.routing.incoming import Incoming
    from sansip.wire.headers.auth import Credentials

__all__ = ["authenticate", "speaks_for", "withhold"]


async def authenticate(request: Incoming, realm: str | None = None, *, as_server: bool = False) -> str | None:
    """Return the name of the authenticated user, or None having answered the request.

    ``realm`` is the sender's domain by default. A REGISTER is challenged as a registrar does (401), and so is
    a request that this node answers itself (``as_server``, RFC 6665 4.2.1.3);
    everything else as a proxy does (407, RFC 3261 22.2, 22.3). It removes credentials for our realm, so that
    no next hop sees them. If it does not believe them, it tells the log the reason. Without an ``AuthConfig``
    every request is refused with 500.
    """
    if request.takes_too_many_steps():
        await ENDLESS
    core = request.core
    authenticator = core.authenticator
    if authenticator is None:
        raise RuntimeError("StackConfig.auth is None: there is nothing to authenticate with")
    # RFC 3261 22.1: an ACK cannot be challenged, and a CANCEL cannot be resubmitted.
    as_registrar = request.method == "REGISTER"
    as_server = as_server or as_registrar
    field = "authorization" if as_server else "proxy-authorization"
    message = request.message
    if realm is None:
        realm = core.realm_of(message.to.uri if as_registrar else message.from_.uri)
    else:
        core.proxy.trust.asks_in(realm)
    source = request.flow.host
    if core.bearer is not None and (tokens := shown_tokens(request)):
        return await proves_by_token(request, core.bearer, tokens, realm)
    try:
        offered: list[Credentials] = message.typed(field) or []
    except RemoteProtocolError as error:
        core.notify(AuthenticationFailed(source, "", realm, error.reason))
        request.refuse(error.status)
        return None
    unix = core.wall.unix(request.now)
    # Any host can write another address into a datagram; on a stream the sender must really have it.
    offer = authenticator.select(offered, realm, source, unix, request.now, forgeable=not request.flow.conn)
    credentials = offer.credentials
    name = ""
    stored: Mapping[str, str] | None = None
    if offer.verdict is Verdict.GENUINE and credentials is not None:
        text = credentials.uri or ""
        if (
            authenticator.matches_uri
            and text != message.uri_text
            and not designates(text, request.method, message.uri, core.listeners.serves)
        ):
            # RFC 7616 3.4.6: it may be an attack, so it is told.
            offer.reason = f"made for {text[:SHOWN]!r}, sent to {message.uri_text[:SHOWN]!r}"
            _tell(request, offer, offer.username, realm)
            request.refuse(400, "Digest URI Is Not The Request-URI")
            return None
        name = authenticator.name_of(credentials, _names(request))
        lookup = Lookup(name, realm)
        needed = authenticator.needs_lookup(credentials)
        recalled = core.recall(lookup) if needed and core.recall is not None else None
        proven = recalled is not None and authenticator.proves(
            credentials, request.method, message.body, recalled
        )
        if proven:
            # A sender who knows the password may be answered sooner. All others wait for the store, so that a
            # sender cannot learn from the time which users exist.
            stored = recalled
        try:
            if needed and not proven:
                stored = core.users(lookup) if core.users is not None else await Question(lookup)
        except Exception:
            # The store of users is down: no password can be checked.
            offer.reason = "the store of users does not answer"
            _tell(request, offer, name, realm)
            request.reply(503, None, [("Retry-After", "20")])
            return None
        authenticator.verify(offer, request.method, message.body, stored, source, request.now, proven=proven)
        if offer.verdict is Verdict.GENUINE:
            request.authenticated = True
            _consume(request, field, credentials, offered)
            if as_server:
                request.authentication_info = authenticator.authentication_info(
                    offer, stored, realm, source, core.wall.unix(request.now), request.now
                )
            return name
    if offer.reason:
        _tell(request, offer, name or offer.username, realm)
    _refuse(request, authenticator, offer, realm, as_server)
    return None


def _refuse(
    request: Incoming, authenticator: Authenticator, offer: Offer, realm: str, as_server: bool
) -> None:
    """Answer a request whose sender is not known: a challenge, or why none would help."""
    if offer.verdict is Verdict.BARRED:
        # Said openly: the owner of a phone with a wrong password should find out.
        left = 1 if offer.ban is None else max(1, math.ceil(offer.ban.until - request.now))
        request.refuse(403, "Too Many Wrong Passwords", [("Retry-After", str(left))])
        return
    if offer.verdict is Verdict.EXPIRED:
        request.refuse(403, "Credentials Expired")
        return
    stale = offer.verdict is Verdict.STALE
    unix = request.core.wall.unix(request.now)
    values = authenticator.challenges(realm, request.flow.host, unix, request.now, stale=stale)
    if request.core.bearer is not None and not stale:
        # RFC 8898 2.1.1: a phone answers one of the schemes.
        values = [*values, bearer_challenge(request.core.bearer, realm)]
    header = "WWW-Authenticate" if as_server else "Proxy-Authenticate"
    request.refuse(401 if as_server else 407, None, [(header, value) for value in values])


def _tell(request: Incoming, offer: Offer, name: str, realm: str) -> None:
    """Tell the log of an answer that is not believed, and why."""
    core = request.core
    source, name = request.flow.host, name[:SHOWN]
    if offer.verdict is Verdict.STALE:
        everyday = offer.reason in (TOO_OLD, OLDER)
        core.notify(NonceRefused(source, name, realm, offer.reason, everyday))
        return
    ban = offer.ban
    until = None if ban is None else core.wall.unix(ban.until)
    if ban is not None and until is not None and offer.verdict is Verdict.DENIED:
        # A notice of its own: there may be too many lines about the sender's guesses, so that some are not
        # written.
        core.notify(AuthenticationFailed(source, name, realm, offer.reason))
        core.notify(SourceBarred(ban.source, ban.user[:SHOWN], until, ban.reason))
        return
    core.notify(AuthenticationFailed(source, name, realm, offer.reason, until))


def _consume(request: Incoming, field: str, used: Credentials, offered: list[Credentials]) -> None:
    # RFC 3261 22.3: a proxy takes the credentials that were meant for it; those of
    # other realms stay, and so do those that answer another server in our realm.
    message = request.message
    lines = message.get_all(field)
    message.remove(field)
    for line, one in zip(lines, offered, strict=True):
        if one.realm != used.realm or one.nonce != used.nonce:
            message.append("Authorization" if field == "authorization" else "Proxy-Authorization", line)


def withhold(request: Incoming) -> None:
    """Remove credentials for us from a request that goes on without having been authenticated.

    RFC 3261 22.1, 22.3: an ACK repeats those of its INVITE, and phones add them to requests within a dialog
    unasked. A host that sees them can try passwords on them.
    """
    core = request.core
    message = request.message
    authenticator = core.authenticator
    if authenticator is None:
        return
    without_tokens(request)
    try:
        offered: list[Credentials] = message.typed("proxy-authorization") or []
    except RemoteProtocolError:
        return
    unix = core.wall.unix(request.now)
    ours = [authenticator.asked_for(one, unix) for one in offered]
    if any(ours):
        lines = message.get_all("proxy-authorization")
        message.remove("proxy-authorization")
        for line, own in zip(lines, ours, strict=True):
            if not own:
                message.append("Proxy-Authorization", line)


def speaks_for(request: Incoming, user: str) -> bool:
    """Whether ``user`` is the user that the request says it is from (To of a REGISTER, else From).

    ``user`` may be the user part alone or the whole ``user@domain``. If not, the log is told.
    """
    if user in _names(request):
        return True
    message = request.message
    uri = (message.to if request.method == "REGISTER" else message.from_).uri
    core = request.core
    reason = f"not the user of {str(uri)[:SHOWN]!r}"
    core.notify(AuthenticationFailed(request.flow.host, user[:SHOWN], core.realm_of(uri), reason))
    return False


def _names(request: Incoming) -> tuple[str, ...]:
    """Return the user names that the sender may use, by the user in From."""
    message = request.message
    # RFC 3261 10.2: a third party may register a user (From differs from To). It has to know that user's
    # password, because it changes that user's address.
    uri = (message.to if request.method == "REGISTER" else message.from_).uri
    name, host = identity_of(uri)
    return (name, f"{name}@{host}") if name else ()
