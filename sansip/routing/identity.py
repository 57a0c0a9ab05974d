"""Who sent a request: challenges and verdicts, as a route uses them.

Theory of operation: ``authenticate`` is what Kamailio's ``auth_check`` is to its
routes. It looks at the credentials for our realm, fetches what is stored of the
user (from the configuration, or by asking the outside), and either names the
user or answers the request itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from sansip.auth import Lookup, Verdict
from sansip.errors import RemoteProtocolError
from sansip.events import AuthenticationFailed
from sansip.routing.awaitables import Question
from sansip.wire import SipUri

if TYPE_CHECKING:
    from sansip.routing.request import IncomingRequest
    from sansip.wire.headers.auth import Credentials

__all__ = ["Users", "authenticate", "speaks_for", "withhold"]

# Characters of a user name in the log.
_SHOWN = 80

# Users known without asking the outside: HA1 by hash name, or None.
Users = Callable[[Lookup], Mapping[str, str] | None]


async def authenticate(request: IncomingRequest, realm: str | None = None) -> str | None:
    """Return the name of the authenticated user, or None having answered the request.

    ``realm`` is the sender's domain by default. A REGISTER is challenged as a
    registrar does (401), everything else as a proxy does (407, RFC 3261 22.2,
    22.3). Credentials for our realm are removed, so that no next hop sees them.
    Without an ``AuthConfig`` every request is refused with 500.
    """
    core = request.core
    authenticator = core.authenticator
    if authenticator is None:
        raise RuntimeError("StackConfig.auth is None: there is nothing to authenticate with")
    # RFC 3261 22.1: an ACK cannot be challenged, and a CANCEL cannot be resubmitted.
    as_registrar = request.method == "REGISTER"
    field, challenge, status = (
        ("authorization", "WWW-Authenticate", 401)
        if as_registrar
        else ("proxy-authorization", "Proxy-Authenticate", 407)
    )
    message = request.message
    if realm is None:
        realm = core.realm_of(message.to.uri if as_registrar else message.from_.uri)
    offered: list[Credentials] = message.typed(field) or []
    source = request.flow.host
    name = ""
    stored: Mapping[str, str] | None = None
    verdict, credentials = authenticator.select(offered, realm, source, core.unix(request.now), request.now)
    if credentials is not None:
        name = authenticator.name_of(credentials, _names(request))
        lookup = Lookup(name, realm)
        needed = authenticator.needs_lookup(credentials)
        recalled = core.recall(lookup) if needed and core.recall is not None else None
        proven = recalled is not None and authenticator.proves(
            credentials, request.method, message.body, recalled
        )
        if proven:
            # Whoever knows the password may be answered sooner. All others wait for the
            # store, so that nobody learns from the time which users there are.
            stored = recalled
        try:
            if needed and not proven:
                stored = core.users(lookup) if core.users is not None else await Question(lookup)
        except Exception:
            # The store of users is down: nobody can be told right from wrong.
            request.reply(503, None, [("Retry-After", "20")])
            return None
        verdict = authenticator.verify(
            credentials, request.method, message.body, stored, source, request.now, proven=proven
        )
    if verdict is Verdict.GENUINE and credentials is not None:
        request.authenticated = True
        _consume(request, field, credentials, offered)
        if as_registrar:
            request.praise = authenticator.praise(credentials, stored, realm, core.unix(request.now))
        return name
    if credentials is not None and verdict is Verdict.DENIED:
        known = stored is not None or not authenticator.needs_lookup(credentials)
        reason = "wrong password" if known else "no such user"
        core.notify(AuthenticationFailed(source, name[:_SHOWN], realm, reason))
    if verdict is Verdict.BARRED:
        # Said openly: whoever has a wrong password in a phone should find out.
        request.refuse(403, "Too Many Wrong Passwords", [("Retry-After", "30")])
        return None
    if verdict is Verdict.EXPIRED:
        request.refuse(403, "Credentials Expired")
        return None
    stale = verdict is Verdict.STALE
    values = authenticator.challenges(realm, core.unix(request.now), stale=stale)
    request.refuse(status, None, [(challenge, value) for value in values])
    return None


def _consume(request: IncomingRequest, field: str, used: Credentials, offered: list[Credentials]) -> None:
    # RFC 3261 22.3: a proxy takes the credentials that were meant for it; those of
    # other realms stay, and so do those that answer another server in our realm.
    message = request.message
    lines = message.get_all(field)
    message.remove(field)
    for line, one in zip(lines, offered, strict=True):
        if one.realm != used.realm or one.nonce != used.nonce:
            message.append("Authorization" if field == "authorization" else "Proxy-Authorization", line)


def withhold(request: IncomingRequest) -> None:
    """Remove credentials for us from a request that goes on without having been authenticated.

    RFC 3261 22.1, 22.3: an ACK repeats those of its INVITE, and phones add them to
    requests within a dialog unasked. Whoever sees them can try passwords on them.
    """
    core = request.core
    message = request.message
    authenticator = core.authenticator
    if authenticator is None:
        return
    try:
        offered: list[Credentials] = message.typed("proxy-authorization") or []
    except RemoteProtocolError:
        return
    unix = core.unix(request.now)
    ours = [authenticator.asked_for(one, unix) for one in offered]
    if any(ours):
        lines = message.get_all("proxy-authorization")
        message.remove("proxy-authorization")
        for line, own in zip(lines, ours, strict=True):
            if not own:
                message.append("Proxy-Authorization", line)


def speaks_for(request: IncomingRequest, user: str) -> bool:
    """Whether ``user`` is whom the request says it is from (To of a REGISTER, else From).

    ``user`` may be the user part alone or the whole ``user@domain``.
    """
    return user in _names(request)


def _names(request: IncomingRequest) -> tuple[str, ...]:
    """Return what the sender's user name may be, by whom the request says it is from."""
    message = request.message
    # RFC 3261 10.2: a third party may register somebody (From differs from To), and
    # has to know that user's password, for it is his address that changes.
    uri = (message.to if request.method == "REGISTER" else message.from_).uri
    if not isinstance(uri, SipUri):
        return ()
    name = uri.user_decoded
    return () if name is None else (name, f"{name}@{uri.host}")
