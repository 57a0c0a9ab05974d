"""An INVITE that takes the place of one leg of a bridge (RFC 3891): the other leg hears of a changed session.

Theory of operation: the far phone gets the offer of the new one, and its answer goes into the answer to the
INVITE. Now the leg has a new call, and only then we hang up the old one (``IncomingCall.accept``). If the far
phone refuses, or the new one gives up, nothing changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sansip.b2bua.origin import Origin
from sansip.wire import Response

if TYPE_CHECKING:
    from sansip.b2bua.leg import Leg
    from sansip.ua import IncomingCall

__all__ = ["Replacement"]


class Replacement:
    """``incoming`` on its way into the place of the call of ``leg``."""

    __slots__ = ("_incoming", "_leg")

    def __init__(self, leg: Leg, incoming: IncomingCall, now: float) -> None:
        self._leg = leg
        self._incoming = incoming
        far = leg.other.call
        assert far is not None
        # RFC 3261 14.2: until it is decided, other wishes of both sides wait.
        leg.asked = True
        incoming.call.any_body = True
        incoming.hold_by(leg)
        request = incoming.request
        headers = leg.bridge.policy.fields(request, leg.hides)
        # The new phone was sent no description so far; the far one goes on with the session it has.
        body = leg.other.seen.keep(incoming.sdp, request.get("content-type"))
        far.reinvite(body, headers).then(self._answered, now)

    def _answered(self, result: Any, now: float) -> None:
        leg, incoming = self._leg, self._incoming
        leg.asked = False
        old, far = leg.call, leg.other.call
        if not isinstance(result, Response):
            response = getattr(result, "response", None)
            incoming.reject(488 if response is None else leg.bridge.mapped(response, leg.other)[0])
        elif old is None or old.ended:
            incoming.reject(603)
        elif incoming.decided:
            # It gave up meanwhile: the far phone talks to the old one again.
            if far is not None:
                far.reinvite(leg.other.seen.keep(old.remote_sdp))
        else:
            leg.call = incoming.call
            leg.known = incoming.arrival.proven
            leg.seen = Origin()
            body = leg.seen.keep(result.body, result.get("content-type"))
            incoming.accept(body, leg.bridge.policy.fields(result, leg.other.hides))
