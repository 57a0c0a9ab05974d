"""A back-to-back user agent: one call, two dialogs (RFC 7092).

Theory of operation: a bridge answers the caller's INVITE and makes one of its own for each target. What
comes back is told the caller: ringing, early media, the answer. Bodies pass as they are, header fields by
``Policy``. From the answer on, two legs ask of each other what their phones want (``leg``), and the end of
one ends the other. Max-Forwards is copied and lowered (RFC 7332), which ends a loop of bridges.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from sansip.b2bua.leg import Leg
from sansip.b2bua.policy import Policy
from sansip.b2bua.replacement import Replacement
from sansip.b2bua.transfer import Transfer, refuse
from sansip.events import CallBegan, CallEnded
from sansip.later import Later
from sansip.proxy.best_response import choose, slim
from sansip.ua import CallRefused
from sansip.wire import NameAddr, Request, Response

if TYPE_CHECKING:
    from sansip.dialog import Progressed, Received
    from sansip.ua import Call, IncomingCall, OutgoingCall, UserAgent

__all__ = ["Bridge"]

_TRANSFERRED: Final = 'SIP;cause=200;text="Transferred"'

# What a failure of the far side is for the caller, where its own status would mislead.
_MAPPED: Final = {
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
    """

    __slots__ = (
        "_agent",
        "_early",
        "_early_offer",
        "_failures",
        "_groups",
        "_incoming",
        "_notify",
        "_outgoing",
        "_since",
        "_timer",
        "_transfers",
        "_within",
        "callee",
        "caller",
        "ended",
        "outcome",
        "over",
        "policy",
    )

    def __init__(
        self,
        agent: UserAgent,
        incoming: IncomingCall,
        groups: Sequence[Sequence[Any]],
        policy: Policy,
        within: float | None,
        notify: Callable[[Any, float], None],
    ) -> None:
        self._agent = agent
        self._incoming = incoming
        self._groups = [list(group) for group in groups]
        self._notify = notify
        self._within = within
        self.policy = policy
        self.caller = Leg(self, "caller")
        self.callee = Leg(self, "callee")
        self.caller.other, self.callee.other = self.callee, self.caller
        self.caller.call = incoming.call
        incoming.call.any_body = True
        incoming.hold_by(self.caller)
        self.outcome: Later[Bridge] = Later()
        self.over: Later[str] = Later()
        self.ended = ""
        self._outgoing: list[OutgoingCall] = []
        self._failures: list[Response] = []
        # The early call whose session description the caller has.
        self._early: Call | None = None
        # The early call whose reliable 1xx brought an offer, and that response.
        self._early_offer: tuple[Call, Progressed] | None = None
        self._since: float | None = None
        self._timer: Any = None
        self._transfers = 0

    def __await__(self) -> Generator[Any, Any, Bridge]:
        return self.outcome.__await__()

    # --- calling

    def begin(self, now: float) -> None:
        """Call the first targets."""
        self._incoming.gone.then(self._caller_gone, now)
        self._call_next(now)

    def _call_next(self, now: float) -> None:
        request = self._incoming.request
        policy = self.policy
        while self._groups:
            group = self._groups.pop(0)
            hops = request.max_forwards
            # RFC 7332 4: as if we were a proxy, or two bridges could call each other for ever.
            headers = [("Max-Forwards", str((70 if hops is None else hops) - 1)), *policy.fields(request)]
            for target in group:
                call = self._agent.invite(
                    target,
                    request.body,
                    headers=headers,
                    from_=policy.from_ or _party(request.from_),
                    to=policy.to or _party(request.to),
                    user="",
                    handler=self.callee,
                    on_progress=self._progressed,
                    within=self._within,
                )
                self._outgoing.append(call)
            for call in list(self._outgoing):
                call.answered.then(partial(self._called, call), now)
            if self._outgoing:
                return
        self._all_failed(now)

    def _progressed(self, call: Call | None, response: Response, now: float) -> None:
        incoming = self._incoming
        if incoming.decided:
            return
        body = response.body
        if body and self._early is None and call is not None:
            self._early = call
        if self._early is not None and call is not self._early:
            # The caller has one dialog with us, and in it the description of one phone.
            body = b""
        reliable = bool(response.has("rseq")) and len(self._outgoing) == 1 and call is self._early
        incoming.ring(response.status, body, self._described(response, body), reliable=reliable)

    def _described(self, message: Request | Response, body: bytes) -> list[tuple[str, str]]:
        fields = self.policy.fields(message)
        return fields if body else [one for one in fields if not one[0].startswith("content-")]

    def _called(self, call: OutgoingCall, result: Any, now: float) -> None:
        if call in self._outgoing:
            self._outgoing.remove(call)
        if isinstance(result, Exception):
            if isinstance(result, CallRefused):
                self._failures.append(result.response)
                slim(self._failures, choose(self._failures))
                if result.status >= 600:
                    # RFC 3261 16.7 step 5: it speaks for all of them.
                    self._groups.clear()
                    self._cancel(None)
            if not self._outgoing:
                self._call_next(now)
            return
        self._groups.clear()
        self._cancel('SIP;cause=200;text="Call completed elsewhere"')
        if self.ended or self._incoming.decided:
            result.bye()
            return
        self.callee.call = result
        result.any_body = True
        response = call.final_response
        assert response is not None
        self._incoming.accept(response.body, self._described(response, response.body))

    def _cancel(self, reason: str | None) -> None:
        for call in self._outgoing:
            call.cancel(reason)

    def _all_failed(self, now: float) -> None:
        if self.ended or self._incoming.decided:
            return
        if not self._failures:
            self._incoming.reject(480)
            return
        best = choose(self._failures)
        status, headers = self.mapped(best)
        if 300 <= best.status < 400:
            # Where else to look is for the caller to try, not a matter of topology.
            headers += [("Contact", value) for value in best.get_all("contact")]
        reason = best.reason if status == best.status else None
        self._incoming.reject(status, reason, headers)
        self._finish("refused", best, now)

    def mapped(self, response: Response) -> tuple[int, list[tuple[str, str]]]:
        """Return status and header fields for the other side of a ``response``."""
        return _MAPPED.get(response.status, response.status), self.policy.fields(response)

    # --- late offers

    def early_offer(self, leg: Leg, call: Call, progress: Progressed, now: float) -> None:
        """A reliable 1xx brings the offer: the caller's PRACK brings what answers it."""
        if self._early_offer is None and leg is self.callee:
            self._early_offer = call, progress

    def prack_answered(self, leg: Leg, request: Request, now: float) -> None:
        """A PRACK of the caller answers the offer of a reliable 1xx."""
        waiting, self._early_offer = self._early_offer, None
        if waiting is not None and not waiting[0].ended:
            waiting[0].prack(waiting[1], request.body, now=now)

    # --- the call

    def acknowledged(self, leg: Leg, now: float) -> None:
        """The ACK of the caller came: both sides talk."""
        if self._since is not None or self.ended:
            return
        self._since = now
        request = self._incoming.request
        self._notify(CallBegan(self.number, str(request.from_.uri), str(request.to.uri)), now)
        if self.policy.max_duration is not None:
            self._timer = self._agent.client.timers.start(now, self.policy.max_duration, self, "duration")
        self.outcome.set(self, now)

    @property
    def number(self) -> int:
        """Its name among the calls of this stack."""
        return self._incoming.number

    def timer_fired(self, _name: str, now: float) -> None:
        self._timer = None
        self._agent.now = now
        self.hang_up('SIP;cause=408;text="Longest duration"')

    def hang_up(self, reason: str | None = None) -> None:
        """End the call: both sides get a BYE, or whatever ends what is not answered yet."""
        now = self._agent.now
        self._cancel(reason)
        self._groups.clear()
        self._incoming.reject(480)
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
        if leg is self.caller and self._since is None:
            self._caller_gone(reason, now, message)
        self._finish(reason, message, now)
        far = leg.other.call
        if far is not None and not far.ended:
            headers = [] if not isinstance(message, Request) else self.policy.fields(message)
            told = next((value for name, value in headers if name == "reason"), None)
            far.bye(reason=told)

    def _caller_gone(self, reason: str, now: float, message: Any = None) -> None:
        """The caller gave up (CANCEL), or its ACK never came."""
        self._groups.clear()
        self._cancel(self._incoming.cancel_reason)
        if not self.outcome.done and not self.ended:
            self._finish(reason, message, now)

    def _finish(self, reason: str, message: Any, now: float) -> None:
        if self.ended:
            return
        self.ended = reason
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._since is not None:
            self._notify(CallEnded(self.number, reason, now - self._since), now)
        elif isinstance(message, Response):
            self.outcome.set(CallRefused(message), now)
        else:
            self.outcome.set(CallRefused(Response.build(487, None, [])), now)
        self.over.set(reason, now)

    # --- transfer

    def referred(self, leg: Leg, call: Call, received: Received, now: float) -> None:
        """A phone asks for its peer to be connected with somebody else (RFC 3515, RFC 5589)."""
        if self.policy.refer == "refuse" or leg.other.call is None or self._since is None:
            refuse(call, received, now)
        else:
            Transfer(self, self._agent, leg, call, received, now)

    def replacing(self, leg: Leg, incoming: IncomingCall, now: float) -> None:
        """``incoming`` is to take the place of the call of ``leg`` (RFC 3891)."""
        far = leg.other.call
        if self._since is None or far is None or far.ended or leg.asked or leg.other.asked:
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

    def replace(self, leg: Leg, new: Call, now: float) -> None:
        """Put ``new`` in the place of the call of ``leg``, which is hung up."""
        old, leg.call = leg.call, new
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


def _party(address: Any) -> str:
    """Return From or To without its tag and other parameters."""
    return str(NameAddr.build(address.uri, address.display))
