"""REFER within a bridge: one phone has its peer connected with somebody else (RFC 3515, RFC 5589).

Theory of operation: the phone that asks (the transferor) is answered with 202, and told how it goes by
NOTIFYs that hold a status line (RFC 3515 2.4.4). We call the new party without an offer; its offer goes to
the transferred phone in a re-INVITE, and that phone's answer to the new party in the ACK (RFC 3725 flow I),
so descriptions pass untouched. With Replaces in Refer-To (attended transfer, RFC 3891) the new party has a
call already: where that is a leg of ours, its peer is connected and nobody new is called. A chain of
transfers is bounded by ``limits.transfers_per_call``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sansip.errors import RemoteProtocolError
from sansip.ua import CallRefused, Handler
from sansip.ua.refer_to import FRAGMENT, refer_to, replaces_fields, wants_no_subscription
from sansip.ua.sdp import answer_to

if TYPE_CHECKING:
    from sansip.b2bua.leg import Bridging, Leg
    from sansip.dialog import Offered, Progressed, Received
    from sansip.ua import Call, UserAgent
    from sansip.wire import Replaces, Request, Response, SipUri

__all__ = ["Transfer", "refuse"]

# RFC 3515 2.4.4: seconds that the subscription lasts at the most.
_LASTS: Final = 180


def refuse(call: Call, received: Received, now: float) -> None:
    """Answer a REFER with 603 (RFC 3515 2.4.2)."""
    call.answer(received, 603, now=now)


class Transfer(Handler):
    """One REFER being carried out. ``leg`` is the transferor's, ``leg.other`` the leg that it transfers."""

    __slots__ = ("_agent", "_bridge", "_call", "_leg", "_new", "_refer", "_taken")

    def __init__(
        self, bridge: Bridging, agent: UserAgent, leg: Leg, call: Call, received: Received, now: float
    ) -> None:
        self._bridge = bridge
        self._agent = agent
        self._leg = leg
        self._call = call
        self._refer = received.request
        # The call that is to take the transferor's place.
        self._new: Call | None = None
        # Its leg of another bridge, where it has one.
        self._taken: Leg | None = None
        try:
            target, replaces = refer_to(received.request)
        except RemoteProtocolError as error:
            call.answer(received, error.status or 400, now=now)
            return
        if not bridge.may_transfer(now):
            # RFC 3515 2.4.2; the limit says so in the log.
            call.answer(received, 603, now=now)
            return
        # RFC 4488 4: a phone that wants no subscription, and gets none, is told so.
        quiet = wants_no_subscription(received.request)
        call.answer(received, 202, headers=[("Refer-Sub", "false")] if quiet else [], now=now)
        self._notify("100 Trying", ended=False)
        if bridge.policy.refer == "pass":
            self._pass_on(received.request, now)
        elif replaces is not None and (taken := self._leg_of(replaces)) is not None:
            self._join(taken, now)
        else:
            self._invite(target, replaces, now)

    # --- somebody new

    def _invite(self, target: SipUri, replaces: Replaces | None, now: float) -> None:
        transferred = self._leg.other.call
        assert transferred is not None
        # RFC 3891 4: a dialog that others have; the new party knows it.
        headers = replaces_fields(replaces)
        local = transferred.dialog.remote
        called = self._agent.invite(
            target, headers=headers, from_=f"<{local.uri}>", handler=self, within=self._agent.limits.ring_time
        )
        called.answered.then(self._answered, now)

    def answered_with_offer(self, call: Call, response: Response, now: float) -> None:
        """The new party's 2xx has its offer: the transferred phone is asked."""
        self._new = call
        self._offer_to_transferred(response.body, now)

    def progressed(self, call: Call, progress: Progressed, now: float) -> None:
        if progress.offer:
            # Nobody hears early media of the new party: every medium is refused for now, and offered again
            # by its 2xx.
            call.prack(progress, answer_to(progress.response.body, b""), now=now)

    def offered(self, call: Call, offer: Offered, now: float) -> None:
        call.answer(offer, 491, now=now)

    def _offer_to_transferred(self, body: bytes, now: float) -> None:
        transferred = self._leg.other.call
        if transferred is None or transferred.ended:
            self._fail(now)
            return
        transferred.reinvite(body).then(self._agreed, now)

    def _agreed(self, result: Any, now: float) -> None:
        new = self._new
        if new is None or new.ended:
            return
        if isinstance(result, Exception):
            self._fail(now)
            return
        new.acknowledge(result.body, now=now)
        new.any_body = True
        self._connect(new, now)

    def _answered(self, result: Any, now: float) -> None:
        """The INVITE of the new party has its final response."""
        if isinstance(result, Exception):
            status = result.response if isinstance(result, CallRefused) else None
            self._notify(
                f"{status.status} {status.reason}" if status else "503 Service Unavailable", ended=True
            )

    def ended(self, call: Call, reason: str, message: Request | Response | None, now: float) -> None:
        if call is self._new:
            self._notify("487 Request Terminated", ended=True)

    def _fail(self, now: float) -> None:
        if self._new is not None and not self._new.ended:
            # RFC 3261 13.2.2.4: the 2xx has its ACK, whatever comes of it.
            self._new.acknowledge(now=now)
            if self._taken is None:
                self._new.bye()
            self._give_back()
        self._notify("488 Not Acceptable Here", ended=True)

    # --- somebody who has a leg of ours already

    def _leg_of(self, replaces: Replaces) -> Leg | None:
        """Return the leg to connect: the other one of the call that Replaces names."""
        # RFC 3891 3: to-tag is the tag of the end that the transferor talks to: ours.
        found = self._agent.find(replaces.call_id, replaces.to_tag, replaces.from_tag)
        if found is None or found is self._call or not isinstance(found.handler, Handler):
            return None
        leg: Leg | None = getattr(found.handler, "other", None)
        if leg is None or leg.call is None or leg.call.ended or leg.bridge is self._bridge:
            return None
        return leg

    def _join(self, taken: Leg, now: float) -> None:
        known = self._new = taken.call
        assert known is not None
        self._taken = taken
        # Its offer is for us.
        known.handler = self
        known.reinvite(b"").then(self._known_answered, now)

    def _known_answered(self, result: Any, now: float) -> None:
        if isinstance(result, Exception):
            self._give_back()
            self._notify("503 Service Unavailable", ended=True)

    def _give_back(self) -> None:
        if self._taken is not None and self._new is not None:
            self._new.handler = self._taken

    # --- the end of it

    def _connect(self, new: Call, now: float) -> None:
        self._notify("200 OK", ended=True)
        if self._taken is not None:
            self._taken.bridge.release(self._taken, now)
        self._bridge.replace(self._leg, new, now)

    def _pass_on(self, refer: Request, now: float) -> None:
        far = self._leg.other.call
        assert far is not None
        later = far.request("REFER", [("Refer-To", value) for value in refer.get_all("refer-to")])
        later.then(self._passed, now)

    def _passed(self, result: Any, now: float) -> None:
        accepted = not isinstance(result, Exception)
        self._notify("200 OK" if accepted else "603 Declined", ended=True)

    def _notify(self, line: str, *, ended: bool) -> None:
        call = self._call
        if call.ended or wants_no_subscription(self._refer):
            return
        state = "terminated;reason=noresource" if ended else f"active;expires={_LASTS}"
        # RFC 3515 2.4.6: id is the CSeq of the REFER, where there were several.
        headers = [
            ("Event", f"refer;id={self._refer.cseq.number}"),
            ("Subscription-State", state),
            ("Content-Type", FRAGMENT),
        ]
        call.request("NOTIFY", headers, f"SIP/2.0 {line}\r\n".encode())
