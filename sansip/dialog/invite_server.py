"""The peer's requests in a session: INVITE with its provisional responses and 2xx, PRACK, ACK, BYE."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from sansip.dialog.dialog import EARLY, has_option
from sansip.dialog.effects import Acknowledged, Offered, Pracked, Respond
from sansip.dialog.invite_base import Pending
from sansip.dialog.invite_requests import InviteRequests
from sansip.dialog.invite_table import ESTABLISHED, MORATORIUM, RE_INVITED
from sansip.dialog.offer_answer import has_session
from sansip.dialog.reliable import Provisional, ReliableSender
from sansip.dialog.route_set import record_routes_to_copy
from sansip.errors import LocalProtocolError
from sansip.wire import Request, Response, response_to

__all__ = ["InviteServer", "wants_reliable"]

Fields = list[tuple[str, object]]

# RFC 3261 13.3.1.1: a provisional response every minute, for some may be lost; RFC 3262 3: every
# two and a half minutes where none is.
_RING_AGAIN: Final = 60.0
_RING_AGAIN_RELIABLY: Final = 150.0


def wants_reliable(request: Request) -> tuple[bool, bool]:
    """Return whether ``request`` allows reliable provisional responses, and whether it demands them."""
    required = has_option(request, "require", "100rel")
    return required or has_option(request, "supported", "100rel"), required


class InviteServer(InviteRequests):
    """See ``InviteUsage``."""

    __slots__ = ()

    # --- the INVITE arrives

    def _begin(self, pending: Pending, now: float) -> None:
        """Take an INVITE, first or later, whose exchange is in order."""
        request = pending.request
        self._invite = pending
        self._again = None
        self._held = None
        self._sender = None
        self._hear(request)
        if has_session(request):
            self.exchange.step("receive offer", "INVITE")
        else:
            self.exchange.step("receive INVITE without offer", "INVITE")
        seconds = request.expires
        if seconds is not None and request.has("expires"):
            # RFC 3261 13.3.1, 1.
            self._due["invitation expired"] = now + seconds

    def take_invite(self, pending: Pending, now: float) -> None:
        request = pending.request
        given = "receive offer" if has_session(request) else "receive INVITE without offer"
        status = self.exchange.refusal(given)
        if status is not None:
            self.state = ESTABLISHED
            # RFC 6337 4.3
            self._respond(pending, status, headers=self._retry_after() if status == 500 else ())
            return
        if self._refuse_timer(pending):
            self.state = ESTABLISHED
            return
        self._begin(pending, now)
        self._tell(Offered(request, pending.owner))

    def take_invite_early(self, pending: Pending, now: float) -> None:
        if not self.exchange.is_stable:
            # RFC 5407 3.1.5: the answer to our offer is in the ACK that has not come.
            self._respond(pending, 491)
            return
        # RFC 5407 3.1.4: the peer sends no further INVITE before it has the 2xx of the last one.
        self._acknowledge(None)
        self.state = RE_INVITED
        self.take_invite(pending, now)

    def refuse_second(self, pending: Pending, now: float) -> None:
        # RFC 3261 14.2
        self._respond(pending, 500, headers=self._retry_after())

    def refuse_pending(self, pending: Pending, now: float) -> None:
        # RFC 3261 14.2
        self._respond(pending, 491)

    def refuse_gone(self, pending: Pending, now: float) -> None:
        # RFC 5407 3.2.2
        self._respond(pending, 481)

    # --- provisional responses

    def send_provisional(self, wish: tuple[int, bytes, Fields, bool], now: float) -> None:
        status, body, headers, reliable = wish
        invite = self._invite
        assert invite is not None
        allowed, demanded = wants_reliable(invite.request)
        # RFC 3262 3: never a 100; each other one where the INVITE demands it.
        reliable = status > 100 and allowed and (reliable or demanded)
        fields = [*headers]
        if status > 100:
            fields = [*self._establishing(invite.request), *fields]
        if reliable:
            fields.append(("Require", "100rel"))
        response = response_to(
            invite.request, status, to_tag=self.dialog.id.local_tag, headers=fields, body=body
        )
        session = has_session(response)
        if reliable:
            if session and not (self.exchange.step("send answer") or self._offer_owed()):
                # RFC 6337 3.1.1: once there is an answer, no further description.
                response.set_body(b"", "")
                session = False
            self._send_reliably(invite.request, Provisional(response, session), now)
        else:
            self._effects.append(Respond(invite.owner, response))
        if session:
            self._keep_session(body, headers)
        if status > 100:
            self._due["ring again"] = now + (_RING_AGAIN_RELIABLY if reliable else _RING_AGAIN)
            self._again_status = (status, reliable)

    def _offer_owed(self) -> bool:
        return self.exchange.step("send owed offer", "INVITE")

    def _send_reliably(self, invite: Request, provisional: Provisional, now: float) -> None:
        if self._sender is None:
            # RFC 3262 3: chosen uniformly between 1 and 2**31 - 1.
            self._sender = ReliableSender(invite, 1 + self._entropy.number(2**31 - 1))
        response = self._sender.add(provisional, now, self._values.t1, self._limits.reliable_waiting)
        if response is not None:
            self._put(response)
        if self.dialog.state != EARLY:
            # RFC 6141 4.6: a reliable provisional response accepts the peer's new target.
            self.dialog.refresh(invite)

    def _put(self, response: Response) -> None:
        assert self._invite is not None
        self._effects.append(Respond(self._invite.owner, response.copy()))

    def _establishing(self, request: Request) -> Fields:
        """Return the fields of a response that begins or refreshes the dialog (RFC 3261 12.1.1)."""
        recorded: Fields = list(record_routes_to_copy(request)) if self.dialog.state == EARLY else []
        return [*recorded, *self._contact(), *self._headers]

    def _ring_again(self, now: float) -> None:
        status, reliable = self._again_status
        self.send_provisional((status, b"", [], reliable), now)

    # --- PRACK

    def take_prack(self, pending: Pending, now: float) -> None:
        request, sender = pending.request, self._sender
        if sender is None or not sender.matches(request):
            self.refuse_prack(pending, now)
            return
        if has_session(request):
            if self.exchange.carrier == "INVITE" and self.exchange.step("receive answer"):
                pass
            elif self.exchange.refusal("receive offer") is None and self.exchange.begun:
                # RFC 3262 5: the answer goes into the 2xx to the PRACK.
                self.exchange.step("receive offer", "PRACK")
                self._acknowledged_provisional(now)
                self._tell(Pracked(request))
                self._ask(pending, now)
                return
            else:
                # RFC 6337 4.1, figure 9: an UPDATE of ours with an offer is under way.
                self._respond(pending, 491)
                return
        elif self._invite is not None and self.exchange.carrier == "INVITE" and self._again is None:
            if (
                sender.current is not None
                and sender.current.session
                and self.exchange.exchange == "local offer"
            ):
                # RFC 3262 5 demands an answer here. Without one the exchange is void.
                self.exchange.close("INVITE")
        self._respond(pending, 200)
        self._tell(Pracked(request))
        self._acknowledged_provisional(now)

    def _acknowledged_provisional(self, now: float) -> None:
        assert self._sender is not None
        if self._sender.give_up_at is None and self._again is not None:
            # After the final response nothing more is sent.
            self._sender.current = None
            return
        following = self._sender.acknowledged(now, self._values.t1)
        if following is not None:
            self._put(following)
        if self._held is not None and not self._sender.holds_session():
            # RFC 3262 3: now the 2xx may be sent.
            status, body, headers = self._held
            self._held = None
            self._send_2xx(status, body, headers, now)

    def take_late_prack(self, pending: Pending, now: float) -> None:
        if self._sender is not None and self._sender.matches(pending.request):
            self._sender.current = None
            self._respond(pending, 200)
        else:
            self._respond(pending, 481)

    def refuse_prack(self, pending: Pending, now: float) -> None:
        # RFC 3262 3: it matches no unacknowledged reliable provisional response.
        self._respond(pending, 481)

    def refuse_unheard(self, _argument: Any, now: float) -> None:
        # RFC 3262 3: not acknowledged for 64*T1, a 5xx.
        self._final(504, None, [], now)
        self._ended("no PRACK")
        self._finish(now)

    def refuse_unheard_re_invite(self, _argument: Any, now: float) -> None:
        self._final(504, None, [], now)
        self._proceed(now)

    # --- the final response

    def accept_invite(self, wish: tuple[int, bytes, Fields], now: float) -> None:
        if self._held is not None:
            raise LocalProtocolError("the INVITE is accepted already, and waits for a PRACK (RFC 3262 3)")
        if self._sender is not None and self._sender.holds_session():
            self._held = wish
            return
        self._send_2xx(*wish, now)

    def _send_2xx(self, status: int, body: bytes, headers: Fields, now: float) -> None:
        invite = self._invite
        assert invite is not None
        request = invite.request
        fields = [*self._establishing(request), *self.timer.accept(request, now), *headers]
        response = response_to(request, status, to_tag=self.dialog.id.local_tag, headers=fields, body=body)
        if has_session(response):
            if self.exchange.carrier == "INVITE" and (
                self.exchange.step("send answer") or self._offer_owed()
            ):
                self._keep_session(body, headers)
            else:
                # RFC 6337 3.1.1: the answer was sent reliably before.
                response.set_body(b"", "")
        else:
            self.exchange.close("INVITE")
        # RFC 3261 12.2.2: accepted, so its Contact holds.
        if self.dialog.state == EARLY:
            self.dialog.confirm()
        else:
            self.dialog.refresh(request)
        self._stop_ringing()
        self._again = response
        self._effects.append(Respond(invite.owner, response))
        self.state = MORATORIUM
        # RFC 3261 13.3.1.4: repeated on every transport.
        self._interval = self._values.t1
        self._due["2xx again"] = now + self._values.t1
        self._due["no ACK"] = now + self._values.t1x64

    def _stop_ringing(self) -> None:
        for name in ("ring again", "invitation expired"):
            self._due.pop(name, None)
        if self._sender is not None:
            self._sender.finish()

    def _final(
        self, status: int, reason: str | None, headers: Iterable[tuple[str, object]], now: float
    ) -> None:
        """Refuse the INVITE."""
        assert self._invite is not None
        self._stop_ringing()
        self._respond(self._invite, status, reason, headers)
        self._invite = None
        self._held = None
        self.exchange.close("INVITE")

    def refuse_invite(self, wish: tuple[int, str | None, Fields], now: float) -> None:
        self._final(*wish, now)
        self._end_pending(now, "refused")

    def cancel_invite(self, _argument: Any, now: float) -> None:
        # RFC 3261 9.2
        self._final(487, None, [], now)
        self._end_pending(now, "cancelled")

    def expire_invitation(self, _argument: Any, now: float) -> None:
        # RFC 3261 13.3.1
        self._final(487, None, [], now)
        self._end_pending(now, "expired")

    def _end_pending(self, now: float, reason: str) -> None:
        self._refuse_pending(487)
        self._ended(reason)
        self._finish(now)

    def refuse_re_invite(self, wish: tuple[int, str | None, Fields], now: float) -> None:
        self._final(*wish, now)
        self._proceed(now)

    def cancel_re_invite(self, _argument: Any, now: float) -> None:
        self._final(487, None, [], now)
        self._proceed(now)

    def expire_re_invite(self, _argument: Any, now: float) -> None:
        self._final(487, None, [], now)
        self._proceed(now)

    # --- ACK

    def _repeat_2xx(self, now: float) -> None:
        assert self._invite is not None
        assert self._again is not None
        # RFC 3261 13.3.1.4: doubles until it reaches T2.
        self._interval = min(2 * self._interval, self._values.t2)
        self._due["2xx again"] = now + self._interval
        self._effects.append(Respond(self._invite.owner, self._again.copy()))

    def _is_ack(self, ack: Request) -> bool:
        return self._invite is not None and ack.cseq.number == self._invite.request.cseq.number

    def take_ack(self, ack: Request, now: float) -> None:
        if not self._is_ack(ack):
            return
        if has_session(ack) and self.exchange.carrier == "INVITE":
            self.exchange.step("receive answer")
        # RFC 3261 13.2.1 demands the answer to our offer here. Without one the exchange is void.
        self.exchange.close("INVITE")
        self.state = ESTABLISHED
        self._acknowledge(ack)
        self._proceed(now)

    def note_ack(self, ack: Request, now: float) -> None:
        if self._is_ack(ack) and self._again is not None:
            self._stop_repeating()
            self._forget_if_done()

    def note_no_ack(self, _argument: Any, now: float) -> None:
        self._stop_repeating()
        self._forget_if_done()

    def _acknowledge(self, ack: Request | None) -> None:
        self._stop_repeating()
        self._tell(Acknowledged(ack))

    # --- BYE

    def take_bye(self, pending: Pending, now: float) -> None:
        # RFC 3261 15.1.2: a 2xx, and a 487 for all that is pending.
        self._respond(pending, 200)
        self._stop_ringing()
        self._refuse_pending(487)
        self._ended("BYE", pending.request)
        self._finish(now)

    def take_bye_crossing(self, pending: Pending, now: float) -> None:
        # RFC 5407 3.2.1
        self._respond(pending, 200)
