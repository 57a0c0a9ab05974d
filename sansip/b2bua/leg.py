"""One side of a bridge: what its phone wants is asked of the other side's phone.

Theory of operation: a leg is the handler of its call. Each wish of the peer becomes a request on the other
leg, with the same body octet for octet, and the answer of that goes back. Transactions, numbers,
retransmissions, PRACKs and session timers are each leg's own. A wish that meets one of the other side on
its way (glare) gets 491 (RFC 3261 14.2), and both phones try again after a pause of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from sansip.ua import Handler, RequestRefused
from sansip.wire import Request, Response

if TYPE_CHECKING:
    from sansip.b2bua.policy import Policy
    from sansip.dialog import Offered, Progressed, Received
    from sansip.ua import Call, IncomingCall

__all__ = ["Bridging", "Leg"]


class Bridging(Protocol):
    """What its legs, and transfers, ask of a bridge."""

    policy: Policy

    def mapped(self, response: Response) -> tuple[int, list[tuple[str, str]]]: ...
    def early_offer(self, leg: Leg, call: Call, progress: Progressed, now: float) -> None: ...
    def prack_answered(self, leg: Leg, request: Request, now: float) -> None: ...
    def acknowledged(self, leg: Leg, now: float) -> None: ...
    def referred(self, leg: Leg, call: Call, received: Received, now: float) -> None: ...
    def leg_ended(
        self, leg: Leg, call: Call, reason: str, message: Request | Response | None, now: float
    ) -> None: ...
    def replacing(self, leg: Leg, incoming: IncomingCall, now: float) -> None: ...
    def may_transfer(self, now: float) -> bool: ...
    def replace(self, leg: Leg, new: Call, now: float) -> None: ...
    def release(self, leg: Leg, now: float) -> None: ...


class Leg(Handler):
    """One side. ``call`` is None until there is one; ``other`` is the leg that it is connected with.

    Attributes:
        asked: whether the peer's re-INVITE or UPDATE waits for the other side's answer.
    """

    __slots__ = ("asked", "bridge", "call", "name", "other", "owes_answer")

    def __init__(self, bridge: Bridging, name: str) -> None:
        self.bridge = bridge
        self.name = name
        self.call: Call | None = None
        self.other: Leg = self
        self.asked = False
        # The call of the other side whose offer this side's next ACK answers.
        self.owes_answer: Call | None = None

    # --- sessions

    def offered(self, call: Call, offer: Offered, now: float) -> None:
        message = offer.message
        far = self.other.call
        policy = self.bridge.policy
        if not policy.sessions:
            call.answer(offer, 488, now=now)
        elif far is None or far.ended:
            call.answer(offer, 481, now=now)
        elif self.asked or self.other.asked:
            # RFC 3261 14.2, RFC 3311 5.2
            call.answer(offer, 491, now=now)
        else:
            self.asked = True
            headers = policy.fields(message)
            if message.method == "INVITE":
                later = far.reinvite(message.body, headers)
            else:
                later = far.update(message.body, headers)
            later.then(lambda result, at: self._session_answered(call, offer, result, at), now)

    def _session_answered(self, call: Call, offer: Offered, result: Any, now: float) -> None:
        self.asked = False
        if call.ended:
            return
        response = _response_of(result)
        if response is None:
            # The other side is gone: the bridge hangs up.
            call.answer(offer, 481, now=now)
            return
        status, headers = self.bridge.mapped(response)
        call.answer(offer, status, response.body, headers, now=now)

    def progressed(self, call: Call, progress: Progressed, now: float) -> None:
        if progress.offer:
            self.bridge.early_offer(self, call, progress, now)

    def answered_with_offer(self, call: Call, response: Response, now: float) -> None:
        """Its offer goes to the other side with the answer itself; the ACK there brings what answers it."""
        self.other.owes_answer = call

    def acknowledged(self, call: Call, ack: Request | None, now: float) -> None:
        owed, self.owes_answer = self.owes_answer, None
        if owed is not None and not owed.ended:
            # RFC 3261 13.2.2.4: the answer to the other side's offer is in here.
            owed.acknowledge(b"" if ack is None else ack.body, now=now)
        self.bridge.acknowledged(self, now)

    def pracked(self, call: Call, request: Request, now: float) -> None:
        if request.body:
            self.bridge.prack_answered(self, request, now)

    def cancelled(self, call: Call, owner: Any, now: float) -> None:
        # RFC 3261 14.1: the other side answers soon; its answer is not used.
        self.asked = False

    # --- other requests

    def received(self, call: Call, received: Received, now: float) -> None:
        request = received.request
        far = self.other.call
        policy = self.bridge.policy
        if request.method == "REFER":
            self.bridge.referred(self, call, received, now)
        elif request.method not in policy.methods:
            call.answer(received, 405, now=now)
        elif far is None or far.ended:
            call.answer(received, 481, now=now)
        else:
            headers = policy.fields(request)
            if request.method == "NOTIFY":
                headers += [
                    (one, value) for one in ("Event", "Subscription-State") for value in request.get_all(one)
                ]
            later = far.request(request.method, headers, request.body)
            later.then(lambda result, at: self._answered(call, received, result, at), now)

    def _answered(self, call: Call, received: Received, result: Any, now: float) -> None:
        if call.ended:
            return
        response = _response_of(result)
        if response is None:
            call.answer(received, 481, now=now)
        else:
            status, headers = self.bridge.mapped(response)
            call.answer(received, status, response.body, headers, now=now)

    def replaced(self, call: Call, incoming: IncomingCall, now: float) -> bool:
        self.bridge.replacing(self, incoming, now)
        return True

    # --- the end

    def ended(self, call: Call, reason: str, message: Request | Response | None, now: float) -> None:
        self.bridge.leg_ended(self, call, reason, message, now)


def _response_of(result: Any) -> Response | None:
    if isinstance(result, RequestRefused):
        return result.response
    return result if isinstance(result, Response) else None
