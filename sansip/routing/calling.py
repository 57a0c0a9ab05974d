"""Calls for us: a route that answers an INVITE as a user agent, or puts itself between two of them.

Theory of operation: ``sansip.ua`` and ``sansip.b2bua`` define what a call does. The functions here give the
request handle to a call, and turn targets into addresses that a user agent can call.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from sansip.b2bua import CARRIED, Bridge, Carry, Policy, Referral
from sansip.errors import LocalProtocolError
from sansip.proxy import Target
from sansip.proxy.assertions import ASSERTED, OF_STRANGERS
from sansip.proxy.target import groups, targets_of
from sansip.proxy.validation import breadth_of
from sansip.routing.tasks import begin
from sansip.ua import Handler, IncomingCall

if TYPE_CHECKING:
    from sansip.later import Later
    from sansip.routing.core import Core
    from sansip.routing.incoming import Incoming
    from sansip.wire import Request, Response, SipUri

__all__ = ["bridge", "carry", "incoming"]


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
    answer: float | None,
) -> Bridge | None:
    """Answer ``request`` and call ``targets``, as one call; None where it had to be refused, and was."""
    chosen = groups([_whole(target, request) for target in targets_of(targets)])
    message, core = request.message, request.core
    breadth = breadth_of(message, core.limits.max_breadth)
    depth = core.ua.depth_of(message)
    if message.max_forwards == 0:
        # RFC 7332 4
        request.reply(483)
        return None
    if breadth < 1:
        # RFC 5393 5.3.3
        request.reply(440)
        return None
    if depth >= core.limits.bridges_in_a_row:
        core.ua.notices.reached("bridges_in_a_row", message.call_id, request.now)
        request.reply(482)
        return None
    call = incoming(request, None, "")
    if call is None:
        return None
    made = Bridge(
        core.ua,
        call,
        chosen,
        policy or Policy(),
        core.tell,
        partial(_judge, core, message),
        breadth=breadth,
        depth=depth,
        ring=ring,
        answer=answer,
        # Whether the route chose all targets: the caller chose the Request-URI.
        chosen=all(str(one.uri) != message.uri_text for group in chosen for one in group),
    )
    made.begin(request.now)
    return made


def carry(
    request: Incoming,
    targets: Sequence[Target | SipUri | str] | Target | SipUri | str | None,
    policy: Policy | None,
    within: float | None,
) -> Later[Response] | None:
    """Send ``request`` to ``targets`` as one of our own; None where it had to be refused, and was."""
    message, core = request.message, request.core
    if message.method in ("SUBSCRIBE", "REFER"):
        # RFC 6665 4.4.1, RFC 3515 2.4: NOTIFYs follow within its dialog.
        raise LocalProtocolError(
            f"a {message.method} begins a dialog of its own, which no bridge has: relay it, or refuse it"
            " with reply(405)"
        )
    if message.method not in CARRIED or request.in_dialog:
        raise LocalProtocolError(
            f"carry is for {', '.join(CARRIED)} out of dialogs; bridge takes an INVITE, and what is in it"
        )
    if request.decided:
        raise LocalProtocolError("the request has been answered or relayed already")
    chosen = [one for group in groups([_whole(one, request) for one in targets_of(targets)]) for one in group]
    if message.max_forwards == 0:
        # RFC 7332 4
        request.reply(483)
        return None
    if core.ua.depth_of(message):
        # It was sent by us, and comes back.
        request.reply(482)
        return None
    hides = () if request.is_trusted else OF_STRANGERS if request.is_stranger else ASSERTED
    carried = Carry(core.ua, request, chosen, policy or Policy(), hides, within)
    # Its answer is not the route's to give any more.
    request.taken = True
    carried.begin(request.now)
    return carried.answered


def _judge(
    core: Core, invite: Request, policy: Policy, referral: Referral, done: Callable[[Any, float], None]
) -> None:
    """Have the policy name the targets of a REFER; ``done`` hears the targets, or the exception."""
    now = core.ua.now

    async def judged() -> Any:
        found = policy.transfer(referral)
        return await found if isinstance(found, Coroutine) else found

    def told(result: Any, at: float) -> None:
        if isinstance(result, Exception):
            core.route_failed(invite, result)
        done(result, at)

    begin(core, judged(), told, now)


def _whole(target: Target, request: Incoming) -> Target:
    if target.uri is None:
        return Target(request.message.uri, target.q, target.path, target.flow)
    return target
