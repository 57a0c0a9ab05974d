"""One side of a bridge: it passes the requests of its phone to the other side's phone.

Theory of operation: a leg is the handler of its call. Each wish of the peer becomes a request on the other
leg, with the same body octet for octet, and the answer of that goes back. Transactions, numbers,
retransmissions, PRACKs and session timers are each leg's own. A wish that meets one of the other side on
its way (glare) gets 491 (RFC 3261 14.2), and both phones try again after a pause of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from sansip.b2bua.origin import Origin
from sansip.ua import CallEnded, Handler, RequestRefused
from sansip.wire import Request, Response

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from sansip.b2bua.early import EarlyMedia
    from sansip.b2bua.policy import Policy
    from sansip.b2bua.referral import Referral
    from sansip.dialog import Offered, Progressed, Received
    from sansip.ua import Call, IncomingCall

__all__ = ["Bridging", "Leg"]

# RFC 3261 21.5.4: as many wait for the other side as may (``limits.requests_per_call``).
_LATER: Final = [("Retry-After", "5")]


class Bridging(Protocol):
    """The methods of a bridge that its legs, and transfers, use."""

    policy: Policy
    judge: Callable[[Policy, Referral, Callable[[Any, float], None]], None]

    @property
    def early(self) -> EarlyMedia: ...
    def mapped(self, response: Response, leg: Leg) -> tuple[int, list[tuple[str, str]]]: ...
    def acknowledged(self, leg: Leg, now: float) -> None: ...
    def referred(self, leg: Leg, call: Call, received: Received, now: float) -> None: ...
    def notified(self, leg: Leg, call: Call, received: Received, now: float) -> bool: ...
    def leg_ended(
        self, leg: Leg, call: Call, reason: str, message: Request | Response | None, now: float
    ) -> None: ...
    def replacing(self, leg: Leg, incoming: IncomingCall, now: float) -> None: ...
    def hang_up(self, reason: str | None = None) -> None: ...
    def may_transfer(self, now: float) -> bool: ...
    def replace(self, leg: Leg, new: Call, known: bool, now: float) -> None: ...
    def release(self, leg: Leg, now: float) -> None: ...


class Leg(Handler):
    """One side. ``call`` is None until there is one; ``other`` is the leg that it is connected with.

    Attributes:
        known: whether its phone may have others called (``Referral.known``).
        hides: names of header fields that do not pass from here, whatever the policy says.
        seen: the descriptions that its phone was sent.
        asked: whether the peer's re-INVITE or UPDATE waits for the other side's answer.
    """

    __slots__ = ("asked", "bridge", "call", "hides", "known", "name", "other", "owes_answer", "seen")

    def __init__(self, bridge: Bridging, name: str) -> None:
        self.bridge = bridge
        self.name = name
        self.call: Call | None = None
        self.other: Leg = self
        self.known = False
        self.hides: Collection[str] = ()
        self.seen = Origin()
        self.asked = False
        # The call of the other side whose offer this side's next ACK answers.
        self.owes_answer: Call | None = None

    def far(self, call: Call) -> Call | None:
        """Return the call that gets the requests of the phone of ``call``; None if there is none."""
        found = self.other.call
        early = self.bridge.early.call
        if found is None:
            # The caller's early dialog is with the phone that it hears.
            found = early
        elif self.call is None and call is not early:
            # One of several phones that ring, and not the one that the caller hears.
            return None
        return found if found is not None and not found.ended else None

    # --- sessions

    def offered(self, call: Call, offer: Offered, now: float) -> None:
        message = offer.message
        far = self.far(call)
        policy = self.bridge.policy
        if not policy.sessions:
            call.answer(offer, 488, now=now)
        elif far is None:
            # RFC 3311 5.2: before the call is answered it may be asked again.
            call.answer(offer, 481 if self.call is call and self.other.call is not None else 491, now=now)
        elif self.asked or self.other.asked:
            # RFC 3261 14.2, RFC 3311 5.2
            call.answer(offer, 491, now=now)
        else:
            self.asked = True
            headers = policy.fields(message, self.hides)
            body = self.other.seen.keep(message.body, message.get("content-type"))
            later = far.reinvite(body, headers) if message.method == "INVITE" else far.update(body, headers)
            later.then(lambda result, at: self._session_answered(call, offer, result, at), now)

    def _session_answered(self, call: Call, offer: Offered, result: Any, now: float) -> None:
        gave_up, self.asked = not self.asked, False
        if call.ended:
            return
        response = _response_of(result)
        if response is None:
            # The other side is gone, and the bridge hangs up; or it has a request of ours to answer first.
            call.answer(offer, 481 if isinstance(result, CallEnded) else 491, now=now)
            return
        if gave_up:
            if response.status < 300:
                self._restore(call)
            return
        status, headers = self.bridge.mapped(response, self.other)
        body = self.seen.keep(response.body, response.get("content-type"))
        call.answer(offer, status, body, headers, now=now)

    def _restore(self, call: Call) -> None:
        """The other side's 2xx crossed our CANCEL: offer it the description that this side still has."""
        far = self.other.call
        if far is not None and not far.ended and call.remote_sdp:
            far.reinvite(self.other.seen.keep(call.remote_sdp))

    def progressed(self, call: Call, progress: Progressed, now: float) -> None:
        if progress.offer:
            self.bridge.early.offered(call, progress, now)

    def answered_with_offer(self, call: Call, response: Response, now: float) -> None:
        """Its offer goes to the other side with the answer itself; the ACK there brings what answers it."""
        if self.call is None or self.call is call:
            # Else a phone that took the call too late, which is hung up.
            self.other.owes_answer = call

    def acknowledged(self, call: Call, ack: Request | None, now: float) -> None:
        owed, self.owes_answer = self.owes_answer, None
        if owed is not None and not owed.ended:
            # RFC 3261 13.2.2.4: the answer to the other side's offer is in here.
            body = b"" if ack is None else self.other.seen.keep(ack.body, ack.get("content-type"))
            owed.acknowledge(body, now=now)
        self.bridge.acknowledged(self, now)

    def pracked(self, call: Call, request: Request, now: float) -> None:
        if request.body:
            self.bridge.early.answered(request, now)

    def cancelled(self, call: Call, owner: Any, now: float) -> None:
        """RFC 3261 14.1: the phone gave up its re-INVITE, so ours is cancelled, too."""
        far = self.other.call
        if self.asked and far is not None and not far.ended:
            self.asked = False
            far.cancel_reinvite()

    # --- other requests

    def received(self, call: Call, received: Received, now: float) -> None:
        request = received.request
        method = request.method
        policy = self.bridge.policy
        if method == "REFER":
            self.bridge.referred(self, call, received, now)
            return
        if method == "NOTIFY" and self.bridge.notified(self, call, received, now):
            return
        # In an early dialog a phone that the caller does not hear may also send requests.
        far = self.other.call or self.far(call)
        if method not in policy.methods:
            call.answer(received, 405, b"", [("Allow", ", ".join((*_ALWAYS, *policy.methods)))], now=now)
        elif far is None or far.ended:
            call.answer(received, 481 if self.call is call and self.other.call else 500, b"", _LATER, now=now)
        else:
            headers = policy.fields(request, self.hides)
            if method == "NOTIFY":
                headers += [
                    (one, value) for one in ("Event", "Subscription-State") for value in request.get_all(one)
                ]
            later = far.request(method, headers, request.body)
            later.then(lambda result, at: self.answered(call, received, result, at), now)

    def answered(self, call: Call, received: Received, result: Any, now: float) -> None:
        """The other side answered, or cannot: ``result`` is what its call returned."""
        if call.ended:
            return
        response = _response_of(result)
        if response is not None:
            status, headers = self.bridge.mapped(response, self.other)
            call.answer(received, status, response.body, headers, now=now)
        elif isinstance(result, CallEnded):
            call.answer(received, 481, now=now)
        else:
            call.answer(received, 503, b"", _LATER, now=now)

    def partner(self, call: Call) -> Call | None:
        return self.other.call

    def hang_up(self, call: Call, reason: str | None) -> None:
        self.bridge.hang_up(reason)

    def replaced(self, call: Call, incoming: IncomingCall, now: float) -> bool:
        self.bridge.replacing(self, incoming, now)
        return True

    # --- the end

    def ended(self, call: Call, reason: str, message: Request | Response | None, now: float) -> None:
        self.bridge.leg_ended(self, call, reason, message, now)


# Methods that a leg takes, whatever methods the policy has.
_ALWAYS: Final = ("INVITE", "ACK", "CANCEL", "BYE", "PRACK", "UPDATE", "REFER")


def _response_of(result: Any) -> Response | None:
    if isinstance(result, RequestRefused):
        return result.response
    return result if isinstance(result, Response) else None
