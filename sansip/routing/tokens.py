"""The sender of a request, by a token (RFC 8898): a part of ``identity``.

Theory of operation: this node looks for the token where phones put it (RFC 8898 2.1.4 says Authorization, 2.3
Proxy-Authorization). The outside judges it. This node removes it from the request, because each server that
sees it could use it. This node does not believe a token that came over a line that others can read, because
they may have it by now (2.1.2).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from sansip.auth.bearer import ShownToken, bearer_challenge, tokens_in
from sansip.errors import RemoteProtocolError
from sansip.events import AuthenticationFailed
from sansip.routing.awaitables import Question
from sansip.transport.transports import SECURE

if TYPE_CHECKING:
    from sansip.auth import BearerConfig
    from sansip.routing.incoming import Incoming

__all__ = ["proves_by_token", "shown_tokens", "without_tokens"]

_FIELDS: Final = ("proxy-authorization", "authorization")


def shown_tokens(request: Incoming) -> list[str]:
    """Return the tokens that ``request`` shows; none where tokens are not asked for."""
    if request.core.bearer is None:
        return []
    found: list[str] = []
    for field in _FIELDS:
        try:
            found += tokens_in(request.message.typed(field) or [])
        except RemoteProtocolError:
            continue
    return found


async def proves_by_token(
    request: Incoming, config: BearerConfig, tokens: list[str], realm: str
) -> str | None:
    """Return the user that the token proves, ``alice@example.com``, or None having answered the request."""
    core = request.core
    without_tokens(request)
    said: Mapping[str, Any]
    if len(set(tokens)) > 1:
        said = {"error": "invalid_token", "reason": "several tokens"}
    elif not _is_kept(request):
        said = {
            "error": "invalid_token",
            "reason": f"a token over {request.flow.transport} is read by others",
        }
    else:
        try:
            said = await Question(ShownToken(tokens[0]))
        except Exception:
            core.notify(AuthenticationFailed(request.flow.host, "", realm, "nobody judges tokens now"))
            request.reply(503, None, [("Retry-After", "20")])
            return None
    user = said.get("user", "")
    if user:
        request.authenticated = True
        return str(user)
    core.notify(AuthenticationFailed(request.flow.host, "", realm, f"token: {said.get('reason', '')}"))
    # RFC 8898 2.2: 401; 2.3: 407.
    registrar = request.method == "REGISTER"
    value = bearer_challenge(config, realm, str(said.get("error", "invalid_token")))
    request.refuse(
        401 if registrar else 407,
        None,
        [("WWW-Authenticate" if registrar else "Proxy-Authenticate", value)],
    )
    return None


def without_tokens(request: Incoming) -> None:
    """Remove tokens from a request: no next hop is to see them."""
    if request.core.bearer is None:
        return
    message = request.message
    for field, name in zip(_FIELDS, ("Proxy-Authorization", "Authorization"), strict=True):
        lines = message.get_all(field)
        # RFC 3261 25.1 LWS: a tab parts the scheme from the token as a space does.
        kept = [line for line in lines if line.partition("\t")[0].partition(" ")[0].lower() != "bearer"]
        if len(kept) < len(lines):
            message.remove(field)
            for line in kept:
                message.append(name, line)


def _is_kept(request: Incoming) -> bool:
    """Whether no third party could read the request on its way to us: TLS, or this very machine."""
    if request.flow.transport in SECURE:
        return True
    try:
        return ipaddress.ip_address(request.flow.host.partition("%")[0]).is_loopback
    except ValueError:
        return False
