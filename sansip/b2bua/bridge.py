"""A back-to-back user agent: one call, two dialogs (RFC 7092).

Theory of operation: a bridge answers the caller's INVITE and has targets called (``hunt``). It passes their
responses to the caller: ringing, early media, the answer. Bodies pass as they are, header fields by
``Policy``. From the answer on, each of the two legs passes the requests of its phone to the other (``leg``),
and the end of one ends the other. Max-Forwards is copied and lowered (RFC 7332), which ends a loop of
bridges; one of this server alone ends at ``limits.bridges_in_a_row``.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any, Final

from sansip.b2bua.early import EarlyMedia
from sansip.b2bua.hunt import Hunt, Invitation
from sansip.b2bua.introduction import Introduction
from sansip.b2bua.leg import Leg
from sansip.b2bua.passed_referrals import PassedReferrals, refuse
from sansip.b2bua.policy import Policy
from sansip.b2bua.referral import Referral
from sansip.b2bua.replacement import Replacement
from sansip.b2bua.transfer import Transfer
from sansip.events import CallBegan, CallEnded
from sansip.later import Later
from sansip.proxy.assertions import ASSERTED, OF_STRANGERS
from sansip.ua import CallRefused
from sansip.wire import NameAddr, Request, Response

if TYPE_CHECKING:
    from sansip.dialog import Received
    from sansip.ua import Call, IncomingCall, OutgoingCall, UserAgent

__all__ = ["MAPPED", "Bridge", "party"]

_TRANSFERRED: Final = 'SIP;cause=200;text="Transferred"'
# Why the other side is hung up, where no BYE with a Reason said it (RFC 3326).
_REASONS: Final = {
    "expired": 'SIP;cause=408;text="Session timer expired"',
    "no ACK": 'SIP;cause=408;text="No ACK"',
    "lost": 'SIP;cause=481;text="The other side is gone"',
}

# The status that the caller gets for a failure of the far side whose own status would mislead.
MAPPED: Final = {
    # Only we could have answered it, with an account: RFC 3261 22.3.
    401: 403,
    407: 403,
    # RFC 3261 16.7 step 6: that server has no room, and this is another.
    503: 500,
    # Our dialog, not the caller's.
    481: 480,
    482: 500,
}


class Bridge:
    """Two calls that are one. ``await`` it: it ends when the call is answered, with the bridge itself.

    Attributes:
        caller, callee: its legs.
        outcome: awaits the bridge, or ``CallRefused``.
        over: awaits the end; the value is the reason.
        ended: the reason, "" before.
        since: when it was answered; None before.
    """

    __slots__ = (
        "_agent",
        "_early",
        "_farewell",
        "_hunt",
        "_incoming",
        "_notify",
        "_passed",
        "_realign",
        "_timer",
        "_transfer",
        "_transfers",
        "callee",
        "caller",
        "ended",
        "judge",
        "outcome",
        "over",
        "policy",
        "since",
    )

    def __init__(
        self,
        agent: UserAgent,
        incoming: IncomingCall,
        targets: Sequence[Sequence[Any]],
        policy: Policy,
        notify: Callable[[Any, float], None],
        judge: Callable[[Policy, Referral, Callable[[Any, float], None]], None],
        *,
        breadth: int,
        depth: int = 0,
        ring: float | None = None,
        answer: float | None = None,
        chosen: bool = True,
    ) -> None:
        """``judge(policy, referral, done)`` has the policy decide on a transfer; ``chosen``: the targets
        are the route's choice, not the caller's."""
        self._agent = agent
        self._incoming = incoming
        self._notify = notify
        self.judge = judge
        self.policy = policy
        self.caller = Leg(self, "caller")
        self.callee = Leg(self, "callee")
        self.caller.other, self.callee.other = self.callee, self.caller
        self.caller.call = incoming.call
        arrival = incoming.arrival
        self.caller.known = arrival.proven
        self.callee.known = chosen
        # RFC 3325 5: an identity is asserted within the trust domain alone.
        if not arrival.is_trusted:
            self.caller.hides = OF_STRANGERS if arrival.is_stranger else ASSERTED
        self.callee.hides = ASSERTED if chosen else OF_STRANGERS
        incoming.call.any_body = True
        incoming.hold_by(self.caller)
        self.outcome: Later[Bridge] = Later()
        self.over: Later[str] = Later()
        self.ended = ""
        self.since: float | None = None
        self._passed = PassedReferrals()
        self._early = EarlyMedia(incoming, policy)
        # The caller has the description of another phone than the one that answered.
        self._realign = False
        # The Reason that both sides are hung up with.
        self._farewell: str | None = None
        self._timer: Any = None
        self._transfer: Transfer | None = None
        self._transfers = 0
        self._hunt = Hunt(
            agent,
            self,
            self.callee,
            targets,
            self._invitation(breadth, depth, ring, answer),
        )

    def _invitation(self, breadth: int, depth: int, ring: float | None, answer: float | None) -> Invitation:
        request, policy = self._incoming.request, self.policy
        hops = request.max_forwards
        # RFC 7332 4: as if we were a proxy, or two bridges could call each other for ever.
        headers = [("Max-Forwards", str((70 if hops is None else hops) - 1))]
        return Invitation(
            request.uri,
            self.callee.seen.keep(request.body, request.get("content-type")),
            [*headers, *policy.fields(request, self.caller.hides)],
            policy.from_ or party(request.from_),
            policy.to or party(request.to),
            breadth=breadth,
            depth=depth,
            ring=ring,
            answer=answer,
            follows=policy.redirect == "follow",
            extensions=self._early.extensions,
        )

    def __await__(self) -> Generator[Any, Any, Bridge]:
        return self.outcome.__await__()

    # --- calling

    def begin(self, now: float) -> None:
        """Call the first targets."""
        self._incoming.gone.then(self._caller_gone, now)
        self._hunt.begin(now)

    def hunt_progressed(self, call: Call | None, response: Response, now: float) -> None:
        """A target rings, or has early media."""
        if response.status == 199:
            # RFC 6228 4: one early dialog is over. The caller has another one, with us.
            if call is not None and not call.ended:
                call.perform(call.usage.abandon(now), now)
            return
        body = self._early.body_of(call, response)
        shown = self.caller.seen.keep(body, response.get("content-type"))
        self._early.ring(call, response, shown, self._described(response, body))

    def _described(self, message: Response, body: bytes) -> list[tuple[str, str]]:
        fields = self.policy.fields(message, self.callee.hides)
        return fields if body else [one for one in fields if not one[0].startswith("content-")]

    def hunt_taken(self, outgoing: OutgoingCall, call: Call, now: float) -> None:
        """A target took the call."""
        if self.ended or self._incoming.decided:
            call.bye()
            return
        self.callee.call = call
        call.any_body = True
        response = outgoing.final_response
        assert response is not None
        body, self._realign = self._early.answer_of(call, response)
        shown = self.caller.seen.keep(body, response.get("content-type") or "application/sdp")
        self._incoming.accept(shown, self._described(response, body))

    def hunt_failed(self, best: Response | None, now: float) -> None:
        """No target took the call."""
        if self.ended or self._incoming.decided:
            return
        if best is None:
            best = Response.build(480, None, [])
        # First finish: the response to the caller ends its leg.
        self._finish("refused", best, now)
        status, headers = self.mapped(best, self.callee)
        if 300 <= best.status < 400:
            # The caller may try these contacts; they do not show our topology.
            headers += [("Contact", value) for value in best.get_all("contact")]
        reason = best.reason if status == best.status else None
        self._incoming.reject(status, reason, headers)

    def mapped(self, response: Response, leg: Leg) -> tuple[int, list[tuple[str, str]]]:
        """Return status and header fields for the other side of a ``response`` that came by ``leg``."""
        return MAPPED.get(response.status, response.status), self.policy.fields(response, leg.hides)

    @property
    def early(self) -> EarlyMedia:
        """Responses to the caller before the answer."""
        return self._early

    # --- the call

    def acknowledged(self, leg: Leg, now: float) -> None:
        """The ACK of the caller came: both sides talk."""
        if leg is not self.caller or self.since is not None or self.ended:
            return
        self.since = now
        request = self._incoming.request
        self._notify(CallBegan(self.number, str(request.from_.uri), str(request.to.uri)), now)
        if self.policy.max_duration is not None:
            self._timer = self._agent.client.timers.start(now, self.policy.max_duration, self, "duration")
        caller, callee = self.caller.call, self.callee.call
        if self._realign and caller is not None and callee is not None and not callee.ended:
            # RFC 6337 3.1.1: the description that it has from another phone holds until an offer changes it.
            seen = self.callee.seen, self.caller.seen
            Introduction(callee, caller, seen, self._realigned, now)
        self.outcome.set(self, now)

    def _realigned(self, agreed: bool, now: float) -> None:
        if not agreed and not self.ended:
            self.hang_up('SIP;cause=488;text="The two sides do not agree on media"')

    @property
    def number(self) -> int:
        """Its name among the calls of this stack."""
        return self._incoming.number

    def timer_fired(self, _name: str, now: float) -> None:
        self._timer = None
        self._agent.now = now
        self.hang_up('SIP;cause=408;text="Longest duration"')

    def hang_up(self, reason: str | None = None) -> None:
        """End the call: each side gets a BYE, or a CANCEL or refusal if it is not answered yet."""
        now = self._agent.now
        self._farewell = reason
        self._hunt.stop(reason)
        self._incoming.reject(480, None, [] if reason is None else [("Reason", reason)])
        for leg in (self.caller, self.callee):
            if leg.call is not None and not leg.call.ended:
                leg.call.bye(reason=reason)
        self._finish("hung up", None, now)

    def leg_ended(
        self, leg: Leg, call: Call, reason: str, message: Request | Response | None, now: float
    ) -> None:
        """A call of ``leg`` is over: so is the other."""
        if call is not leg.call:
            # An early dialog of a fork, or a leg that was transferred away.
            return
        if leg is self.caller and self.since is None:
            self._caller_gone(reason, now, message)
        self._finish(reason, message, now)
        far = leg.other.call
        if far is not None and not far.ended:
            headers = [] if not isinstance(message, Request) else self.policy.fields(message, leg.hides)
            told = next(
                (value for name, value in headers if name == "reason"), _REASONS.get(reason, self._farewell)
            )
            far.bye(reason=told)

    def _caller_gone(self, reason: str, now: float, message: Any = None) -> None:
        """The caller gave up (CANCEL), or its ACK never came."""
        self._hunt.stop(self._incoming.cancel_reason)
        if not self.outcome.done and not self.ended:
            self._finish(reason, message, now)

    def _finish(self, reason: str, message: Any, now: float) -> None:
        if self.ended:
            return
        self.ended = reason
        self._hunt.stop(None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._transfer is not None:
            self._transfer.give_up(now)
        if self.since is not None:
            self._notify(CallEnded(self.number, reason, now - self.since), now)
        elif isinstance(message, Response):
            self.outcome.set(CallRefused(message), now)
        else:
            self.outcome.set(CallRefused(Response.build(487, None, [])), now)
        self.over.set(reason, now)

    # --- transfer

    def referred(self, leg: Leg, call: Call, received: Received, now: float) -> None:
        """A phone asks us to connect its peer with another party (RFC 3515, RFC 5589)."""
        far = leg.other.call
        if self.policy.refer == "refuse" or far is None or far.ended or self.since is None:
            refuse(call, received, now)
        elif self.policy.refer == "pass":
            self._passed.ask(leg, far, call, received, now)
        elif self._transfer is not None and not self._transfer.over:
            # One at a time: the first REFER decides which parties are connected.
            refuse(call, received, now)
        else:
            self._transfer = Transfer(self, self._agent, leg, call, received, now)

    def notified(self, leg: Leg, call: Call, received: Received, now: float) -> bool:
        """Whether a NOTIFY is about a REFER that was passed on; then it has gone on, too."""
        return self._passed.notified(leg, call, received, now)

    def replacing(self, leg: Leg, incoming: IncomingCall, now: float) -> None:
        """``incoming`` is to take the place of the call of ``leg`` (RFC 3891)."""
        far = leg.other.call
        if self.since is None or far is None or far.ended or leg.asked or leg.other.asked:
            # Half of a bridge has no place to take, and one that changes right now has none yet.
            incoming.reject(481)
        elif not self.may_transfer(now):
            incoming.reject(603)
        else:
            Replacement(leg, incoming, now)

    def may_transfer(self, now: float) -> bool:
        """Count a transfer; whether there may be one more (``limits.transfers_per_call``)."""
        self._transfers += 1
        if self._transfers > self._agent.limits.transfers_per_call:
            self._agent.notices.reached("transfers_per_call", self._incoming.request.call_id, now)
            return False
        return True

    def replace(self, leg: Leg, new: Call, known: bool, now: float) -> None:
        """Put ``new`` in the place of the call of ``leg``, which is hung up."""
        old, leg.call = leg.call, new
        leg.known = known
        new.handler = leg
        if old is not None and not old.ended:
            old.bye(reason=_TRANSFERRED)

    def release(self, leg: Leg, now: float) -> None:
        """Give away the call of ``leg``; the other one is hung up, and the bridge is over."""
        far = leg.other.call
        leg.call = leg.other.call = None
        if far is not None and not far.ended:
            far.bye(reason=_TRANSFERRED)
        self._finish("transferred", None, now)


def party(address: Any) -> str:
    """Return From or To without its tag and other parameters."""
    return str(NameAddr.build(address.uri, address.display))
