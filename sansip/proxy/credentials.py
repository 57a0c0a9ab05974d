"""Our users' credentials stay here, and no other server asks for them.

Theory of operation: a phone answers any server that challenges it in our realm (RFC 3261 22.3), and its
answer is as good as its password. If the server fetched the nonce from us, it can pose as the user; if it
made the nonce, it can try passwords against the answer. So two things do not pass to a next hop that is not
trusted (``proxy.trust``), no matter who made the nonce:

    in a request    credentials of a realm of ours (22.1, 22.3: an ACK repeats those of
                    its INVITE, and phones add them within a dialog unasked)
    in a response   challenges in a realm of ours; a 401 or 407 without any other becomes
                    a 502, because the next hop asked for credentials that it must not have

Credentials that we cannot read count as ours: another phone or server may be able to read them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from sansip.errors import RemoteProtocolError
from sansip.wire.headers.auth import parse_challenge, parse_credentials

if TYPE_CHECKING:
    from sansip.proxy.trust import TrustDomain
    from sansip.wire import Request, Response
    from sansip.wire.headers.auth import Challenge

__all__ = ["drop_challenges", "withhold_credentials"]

_CREDENTIALS: Final = (("authorization", "Authorization"), ("proxy-authorization", "Proxy-Authorization"))
_CHALLENGES: Final = (("www-authenticate", "WWW-Authenticate"), ("proxy-authenticate", "Proxy-Authenticate"))


def withhold_credentials(request: Request, trust: TrustDomain) -> None:
    """Remove credentials of our realms from ``request``, about to be sent to a peer that is not trusted."""
    if not trust.authenticates:
        return
    keys = request.keys
    for key, name in _CREDENTIALS:
        if key in keys:
            lines = request.get_all(key)
            kept = [line for line in lines if not _is_ours(line, trust, parse_credentials, name)]
            _keep(request, name, lines, kept)


def drop_challenges(response: Response, trust: TrustDomain) -> None:
    """Remove challenges in our realms from ``response``, the answer of a peer that is not trusted.

    From responses of any status: some phones do not look at the status.
    """
    if not trust.authenticates:
        return
    keys = response.keys
    asked = dropped = False
    for key, name in _CHALLENGES:
        if key in keys:
            lines = response.get_all(key)
            kept = [line for line in lines if not _is_ours(line, trust, parse_challenge, name)]
            _keep(response, name, lines, kept)
            asked = asked or bool(kept)
            dropped = dropped or len(kept) < len(lines)
    if dropped and not asked and response.status in (401, 407):
        # RFC 3261 21.5.3, and 22.3: no client could answer it.
        response.set_status(502, "Next Hop Asked For Passwords Of Ours")


def _is_ours(line: str, trust: TrustDomain, parse: Callable[[str, str, str], Challenge], name: str) -> bool:
    try:
        value = parse(line, name, "RFC 3261 22")
    except RemoteProtocolError:
        return True
    return trust.is_realm(value.realm)


def _keep(message: Request | Response, name: str, lines: list[str], kept: list[str]) -> None:
    if len(kept) < len(lines):
        message.remove(name)
        for line in kept:
            message.append(name, line)
