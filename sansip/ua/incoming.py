"""A call that came in and is not answered yet (RFC 3261 13.3).

Theory of operation: it is the user of the INVITE's server transaction, so a CANCEL finds it. Its usage makes
the answers, repeats a 2xx until the ACK comes (13.3.1.4) and a reliable 1xx until its PRACK does (RFC 3262
3). The code that holds it rings, accepts or rejects. If that code does none of these, the call gets a 480
after ``limits.ring_time`` seconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sansip.events import CallOffered
from sansip.later import Later
from sansip.ua.call import Call, CallHandler
from sansip.ua.errors import CallEnded
from sansip.ua.handler import Handler
from sansip.ua.sdp import typed

if TYPE_CHECKING:
    from sansip.clock import Timer
    from sansip.dialog import Offered, Received
    from sansip.transaction import ServerTransaction
    from sansip.ua.arrival import Arrival
    from sansip.ua.owner import Owner
    from sansip.wire import Request, Response

__all__ = ["IncomingCall"]


class IncomingCall(Handler):
    """An INVITE to answer. Made by ``request.incoming()`` in a route.

    Attributes:
        call: the call that it is, or becomes.
        request: the INVITE.
        sdp: the caller's offer, b"" if the caller wants an offer.
        cancel_reason: the Reason field of the caller's CANCEL (RFC 3326).
        replaces: the call whose place it takes when it is accepted (RFC 3891), or None.
        decided: whether it was accepted, rejected or cancelled.
        gone: awaits the caller's CANCEL, or any other end before it was accepted.
    """

    __slots__ = (
        "_accepted",
        "_agent",
        "_arrival",
        "_next",
        "_timer",
        "call",
        "cancel_reason",
        "decided",
        "gone",
        "replaces",
    )

    def __init__(self, agent: Owner, arrival: Arrival, call: Call, handler: CallHandler) -> None:
        self._agent = agent
        self._arrival = arrival
        self._next = handler
        self._accepted: Later[Call] = Later()
        self.call = call
        self.decided = False
        self._timer: Timer | None = None
        self.cancel_reason: str | None = None
        self.gone: Later[str] = Later()
        self.replaces: Call | None = None

    def replace(self, call: Call, now: float) -> None:
        """Take the place of ``call``, once accepted. Only for ``UserAgent.incoming``."""
        self.replaces = call
        # RFC 3891 3: the call to replace ended before, so this call is not wanted either.
        call.over.then(self._too_late, now)

    def _too_late(self, _reason: object, now: float) -> None:
        self.reject(603)

    @property
    def request(self) -> Request:
        return self._arrival.message

    @property
    def sdp(self) -> bytes:
        return self._arrival.message.body

    @property
    def arrival(self) -> Arrival:
        """The INVITE as it came: its sender, and the proof of that."""
        return self._arrival

    @property
    def number(self) -> int:
        return self.call.number

    def hold_by(self, handler: CallHandler) -> None:
        """Have ``handler`` answer the caller's requests, before and after the call is answered."""
        self._next = handler

    # --- what its holder does

    def ring(
        self,
        status: int = 180,
        sdp: bytes = b"",
        headers: Iterable[tuple[str, str]] = (),
        *,
        reliable: bool = False,
    ) -> None:
        """Send a provisional response; with ``sdp`` early media. ``reliable``: as of RFC 3262, if the
        caller can.

        Without effect once the call is decided.
        """
        if self.decided:
            return
        now, usage = self._agent.now, self.call.usage
        if sdp:
            self.call.local_sdp = sdp
        self.call.perform(usage.ring(status, sdp, typed(sdp, headers), reliable, now), now)

    def hand_out(self) -> None:
        """Leave the call to the program around the stack: the event ``CallOffered`` tells it the number.

        It rings, accepts or rejects by ``act`` (docs/calls.md).
        """
        request = self.request
        replaced = 0 if self.replaces is None else self.replaces.number
        offered = CallOffered(
            self.number, str(request.from_.uri), str(request.to.uri), request.body, replaced
        )
        self._agent.tell(offered, self._agent.now)

    def accept(self, sdp: bytes, headers: Iterable[tuple[str, str]] = ()) -> Later[Call]:
        """Answer with 200; the ``Later`` is the call once its ACK came, or ``CallEnded``.

        ``sdp`` answers the caller's offer, or is ours where it made none.
        """
        now = self._agent.now
        if not self.decided:
            self._decide()
            if sdp:
                self.call.local_sdp = sdp
            self._agent.strangers.owes_ack(self.call)
            self.call.perform(self.call.usage.accept(sdp, typed(sdp, headers), now), now)
            if self.replaces is not None:
                # RFC 3891 3: only now, for had it been refused, the other call would go on.
                self.replaces.give_way()
        return self._accepted

    def reject(
        self, status: int = 486, reason: str | None = None, headers: Iterable[tuple[str, str]] = ()
    ) -> None:
        """Answer with a failure, or with 3xx and Contact. Without effect once the call is decided."""
        if not self.decided:
            self._decide()
            now = self._agent.now
            self.call.perform(self.call.usage.reject(status, reason, list(headers), now), now)

    # --- the user of the server transaction

    def local_tag(self) -> str:
        return self.call.dialog.id.local_tag

    def cancel(self, now: float, reason: str | None) -> None:
        """The caller gave up (RFC 3261 9.2): 487, unless it is answered already."""
        self._agent.now = now
        if not self.decided:
            self._decide()
            self.cancel_reason = reason
            self.call.perform(self.call.usage.cancelled(now), now)

    def ack_received(self, transaction: ServerTransaction, ack: Request, now: float) -> None:
        """An ACK of our 2xx that carries the branch of the INVITE (RFC 6026 7.1)."""
        self._agent.now = now
        self.call.perform(self.call.usage.received(ack, None, now), now)

    def server_failed(self, transaction: ServerTransaction, reason: str, now: float) -> None:
        pass  # the usage knows by its own timers

    def wait(self, timer: Timer) -> None:
        """Have ``timer`` stopped when the call is decided. Only for ``UserAgent.incoming``."""
        self._timer = timer

    def _decide(self) -> None:
        self.decided = True
        if self._timer is not None:
            # It holds the INVITE.
            self._timer.cancel()
            self._timer = None

    def timer_fired(self, _name: str, now: float) -> None:
        """The holder of the call did not decide in time."""
        self._agent.now = now
        if not self.decided:
            self._agent.notices.reached("ring_time", self._arrival.flow.host, now)
            self.reject(480)

    # --- the handler of the call until it is confirmed

    def acknowledged(self, call: Call, ack: Request | None, now: float) -> None:
        call.handler = self._next
        self._agent.strangers.has_ack(call)
        # Programs that know the call by its number do not need the INVITE any longer.
        self._agent.add(call)
        arrival = self._arrival
        if not arrival.flow.reliable and not arrival.behind_nat:
            # Only now: before the ACK, nothing proved that the sender of the INVITE is at its Contact, and a
            # BYE to that address could hit a third party.
            call.reach_by_contact()
        self._accepted.set(call, now)
        call.handler.acknowledged(call, ack, now)

    def ended(self, call: Call, reason: str, message: Request | Response | None, now: float) -> None:
        self._decide()
        call.handler = self._next
        self._agent.strangers.has_ack(call)
        self.gone.set(reason, now)
        self._accepted.set(CallEnded(reason), now)
        call.handler.ended(call, reason, message, now)

    def pracked(self, call: Call, request: Request, now: float) -> None:
        self._next.pracked(call, request, now)

    def partner(self, call: Call) -> Call | None:
        return self._next.partner(call)

    def hang_up(self, call: Call, reason: str | None) -> None:
        if not self.decided:
            self.reject(480, None, [] if reason is None else [("Reason", reason)])
        else:
            self._next.hang_up(call, reason)

    def replaced(self, call: Call, incoming: Any, now: float) -> bool:
        return self._next.replaced(call, incoming, now)

    def offered(self, call: Call, offer: Offered, now: float) -> None:
        self._next.offered(call, offer, now)

    def received(self, call: Call, received: Received, now: float) -> None:
        self._next.received(call, received, now)
