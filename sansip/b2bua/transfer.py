"""REFER within a bridge: a phone asks us to connect its peer with another party (RFC 3515, RFC 5589).

Theory of operation: the phone that asks (the transferor) gets a 202, and then NOTIFYs that hold a status line
(RFC 3515 2.4.4). We call the new party without an offer; its offer goes to the transferred phone in a
re-INVITE, and that phone's answer to the new party in the ACK (RFC 3725 flow I), so descriptions pass
untouched. With Replaces in Refer-To (attended transfer, RFC 3891) the new party has a call already: if that
call is a leg of ours, we connect its peer and call no new party. The policy decides which party a REFER may
have called (``referral``), and a stranger never decides it. A chain of transfers is bounded by
``limits.transfers_per_call``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from sansip.b2bua.hunt import Hunt, Invitation
from sansip.b2bua.introduction import Introduction
from sansip.b2bua.origin import Origin
from sansip.b2bua.passed_referrals import refuse
from sansip.b2bua.referral import Referral
from sansip.errors import RemoteProtocolError
from sansip.proxy.target import groups, targets_of
from sansip.ua import Handler
from sansip.ua.refer_to import FRAGMENT, refer_to, replaces_fields, wants_no_subscription
from sansip.ua.sdp import answer_to
from sansip.wire import Response

if TYPE_CHECKING:
    from sansip.b2bua.leg import Bridging, Leg
    from sansip.dialog import Offered, Progressed, Received
    from sansip.ua import Call, OutgoingCall, UserAgent
    from sansip.wire import Replaces, Request, SipUri

__all__ = ["Transfer"]

# RFC 3515 2.4.4: seconds that the subscription lasts at the most.
_LASTS: Final = 180
# For a call whose offer comes in the 2xx: a reliable 1xx would bring it earlier.
_EXTENSIONS: Final = ("timer", "norefersub")


class Transfer(Handler):
    """One REFER being carried out. ``leg`` is the transferor's, ``leg.other`` the leg that it transfers.

    ``over``: it has succeeded or failed.
    """

    __slots__ = (
        "_agent",
        "_bridge",
        "_call",
        "_hunt",
        "_leg",
        "_new",
        "_refer",
        "_replaces",
        "_seen",
        "_taken",
        "_target",
        "over",
    )

    def __init__(
        self, bridge: Bridging, agent: UserAgent, leg: Leg, call: Call, received: Received, now: float
    ) -> None:
        self._bridge = bridge
        self._agent = agent
        self._leg = leg
        self._call = call
        self._refer = received
        self._hunt: Hunt | None = None
        # The call that takes the transferor's place, and the o= lines that it was sent.
        self._new: Call | None = None
        self._seen = Origin()
        # Its leg of another bridge, where it has one.
        self._taken: Leg | None = None
        self.over = False
        try:
            self._target, self._replaces = refer_to(received.request)
        except RemoteProtocolError as error:
            self.over = True
            call.answer(received, error.status or 400, now=now)
            return
        if not bridge.may_transfer(now):
            # RFC 3515 2.4.2; the limit says so in the log.
            self._decline(now)
        elif self._replaces is not None and (taken := self._leg_of(self._replaces)) is not None:
            # Both parties have a call through here that the transferor is in: we call no new party.
            self._taken = taken
            self._accept(now)
            self._join(taken, now)
        else:
            asked = Referral(
                "caller" if leg.name == "caller" else "callee",
                received.request.from_.uri,
                leg.known,
                self._target,
                self._replaces is not None,
            )
            bridge.judge(bridge.policy, asked, self._judged)

    def _decline(self, now: float) -> None:
        self.over = True
        refuse(self._call, self._refer, now)

    def _accept(self, now: float) -> None:
        # RFC 4488 4: a phone that wants no subscription, and gets none, is told so.
        quiet = wants_no_subscription(self._refer.request)
        self._call.answer(self._refer, 202, headers=[("Refer-Sub", "false")] if quiet else [], now=now)
        self._notify("100 Trying", ended=False)

    def _judged(self, targets: Any, now: float) -> None:
        """The policy named targets, or none, or failed."""
        if self.over:
            return
        self._agent.now = now
        if isinstance(targets, Exception) or not targets or self._call.ended:
            self._decline(now)
            return
        self._accept(now)
        self._invite(targets, now)

    # --- a new party

    def _invite(self, targets: Sequence[Any] | SipUri | str, now: float) -> None:
        transferred = self._leg.other.call
        if transferred is None or transferred.ended:
            self._fail("487 Request Terminated", now)
            return
        # RFC 3891 4: a dialog that others have; the new party knows it.
        headers = replaces_fields(self._replaces)
        invitation = Invitation(
            self._target,
            headers=headers,
            from_=f"<{transferred.dialog.remote.uri}>",
            breadth=self._agent.limits.max_breadth,
            ring=self._agent.limits.ring_time,
            extensions=_EXTENSIONS,
        )
        self._hunt = Hunt(self._agent, self, self, groups(targets_of(targets)), invitation)
        self._hunt.begin(now)

    def hunt_progressed(self, call: Call | None, response: Response, now: float) -> None:
        """RFC 3515 2.4.4: the transferor is told that the new party rings."""
        if response.status == 180:
            self._notify("180 Ringing", ended=False)

    def hunt_taken(self, outgoing: OutgoingCall, call: Call, now: float) -> None:
        """The new party took the call; where it had no offer, which it owes, there is nothing to agree on."""
        if self._new is not call or call.ended:
            if not call.ended:
                call.bye()
            self._fail("488 Not Acceptable Here", now)

    def hunt_failed(self, best: Response | None, now: float) -> None:
        """No target took the call."""
        self._fail(f"{best.status} {best.reason}" if best else "503 Service Unavailable", now)

    def answered_with_offer(self, call: Call, response: Response, now: float) -> None:
        """The new party's 2xx has its offer: the transferred phone is asked."""
        if self._new is not None or self.over:
            # It took the call too late, and is hung up.
            return
        self._new = call
        transferred = self._leg.other.call
        if transferred is None or transferred.ended:
            self._drop(now)
            return
        body = self._leg.other.seen.keep(response.body, response.get("content-type"))
        transferred.reinvite(body).then(self._agreed, now)

    def progressed(self, call: Call, progress: Progressed, now: float) -> None:
        if progress.offer:
            # Early media of the new party would not be heard: refuse every medium for now; its 2xx offers
            # them again.
            call.prack(progress, answer_to(progress.response.body, b""), now=now)

    def offered(self, call: Call, offer: Offered, now: float) -> None:
        call.answer(offer, 491, now=now)

    def _agreed(self, result: Any, now: float) -> None:
        new = self._new
        if new is None or new.ended or self.over:
            return
        if isinstance(result, Exception):
            self._drop(now)
            return
        new.acknowledge(self._seen.keep(result.body, result.get("content-type")), now=now)
        new.any_body = True
        self._connect(new, now)

    def ended(self, call: Call, reason: str, message: Request | Response | None, now: float) -> None:
        if call is self._new:
            self._fail("487 Request Terminated", now)

    def _drop(self, now: float) -> None:
        """The two do not agree: the new party is hung up."""
        if self._new is not None and not self._new.ended:
            # RFC 3261 13.2.2.4: the 2xx has its ACK, whatever comes of it.
            self._new.acknowledge(now=now)
            new, self._new = self._new, None
            new.bye()
        self._fail("488 Not Acceptable Here", now)

    def _fail(self, line: str, now: float) -> None:
        if not self.over:
            self.over = True
            self._notify(line, ended=True)

    def give_up(self, now: float) -> None:
        """The bridge is over: no party is left to connect."""
        if self.over:
            return
        self.over = True
        if self._hunt is not None:
            self._hunt.stop(None)
        if self._taken is None and self._new is not None and not self._new.ended:
            self._new.acknowledge(now=now)
            self._new.bye()

    # --- a party that has a leg of ours already

    def _leg_of(self, replaces: Replaces) -> Leg | None:
        """Return the leg to connect: the other one of the call that Replaces names."""
        # RFC 3891 3: to-tag is the tag of the end that the transferor talks to: ours.
        found = self._agent.find(replaces.call_id, replaces.to_tag, replaces.from_tag)
        if found is None or found is self._call or not isinstance(found.handler, Handler):
            return None
        leg: Leg | None = getattr(found.handler, "other", None)
        if leg is None or leg.call is None or leg.call.ended or leg.bridge is self._bridge:
            return None
        # The route of that call may want no transfers.
        return leg if leg.bridge.policy.refer == "handle" else None

    def _join(self, taken: Leg, now: float) -> None:
        known = self._new = taken.call
        transferred = self._leg.other.call
        assert known is not None
        assert transferred is not None
        self._seen = taken.seen
        Introduction(known, transferred, (taken.seen, self._leg.other.seen), self._joined, now)

    def _joined(self, agreed: bool, now: float) -> None:
        new = self._new
        if self.over:
            return
        if agreed and new is not None and not new.ended:
            self._connect(new, now)
        else:
            self._fail("488 Not Acceptable Here", now)

    # --- the end of it

    def _connect(self, new: Call, now: float) -> None:
        self.over = True
        self._notify("200 OK", ended=True)
        known = False
        if self._taken is not None:
            known = self._taken.known
            self._taken.bridge.release(self._taken, now)
        self._leg.seen = self._seen
        self._bridge.replace(self._leg, new, known, now)

    def _notify(self, line: str, *, ended: bool) -> None:
        call, refer = self._call, self._refer.request
        if call.ended or wants_no_subscription(refer):
            return
        state = "terminated;reason=noresource" if ended else f"active;expires={_LASTS}"
        # RFC 3515 2.4.6: id is the CSeq of the REFER, where there were several.
        headers = [
            ("Event", f"refer;id={refer.cseq.number}"),
            ("Subscription-State", state),
            ("Content-Type", FRAGMENT),
        ]
        call.request("NOTIFY", headers, f"SIP/2.0 {line}\r\n".encode())
