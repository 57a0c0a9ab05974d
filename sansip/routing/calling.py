"""Calls for us: a route that answers an INVITE as a user agent, or puts itself between two of them.

Theory of operation: what a call does is in ``sansip.ua`` and ``sansip.b2bua``; here the request handle is
given away to it, and targets become what a user agent can call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sansip.b2bua import Bridge, Policy
from sansip.errors import LocalProtocolError
from sansip.proxy import Target
from sansip.proxy.target import groups, targets_of
from sansip.ua import Handler, IncomingCall

if TYPE_CHECKING:
    from sansip.routing.incoming import Incoming
    from sansip.wire import SipUri

__all__ = ["bridge", "incoming"]


def incoming(request: Incoming, handler: Handler | None, user: str) -> IncomingCall | None:
    """Take ``request`` as a call for us; None where it had to be refused, and was."""
    if request.decided:
        raise LocalProtocolError("the request has been answered or relayed already")
    return request.core.ua.incoming(request, handler, user)


def bridge(
    request: Incoming,
    targets: Sequence[Target | SipUri | str] | Target | SipUri | str | None,
    policy: Policy | None,
    ring: float | None,
) -> Bridge | None:
    """Answer ``request`` and call ``targets``, as one call; None where it had to be refused, and was."""
    chosen = groups([_whole(target, request) for target in targets_of(targets)])
    message = request.message
    if message.max_forwards == 0:
        # RFC 7332 4
        request.reply(483)
        return None
    call = incoming(request, None, "")
    if call is None:
        return None
    core = request.core
    made = Bridge(core.ua, call, chosen, policy or Policy(), ring, core.tell)
    made.begin(request.now)
    return made


def _whole(target: Target, request: Incoming) -> Target:
    if target.uri is None:
        return Target(request.message.uri, target.q, target.path, target.flow)
    return target
