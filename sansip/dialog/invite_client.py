"""Our requests in a session, and their responses: INVITE, its ACK and PRACK, UPDATE, BYE."""

from __future__ import annotations

from typing import Any

from sansip.dialog.dialog import is_reliable
from sansip.dialog.effects import Answered, Progressed
from sansip.dialog.invite_base import Attempt, InviteBase
from sansip.dialog.invite_table import ANSWERING, ESTABLISHED, RE_INVITING
from sansip.dialog.offer_answer import has_session
from sansip.dialog.reliable import ReliableReceiver
from sansip.errors import LocalProtocolError, RemoteProtocolError
from sansip.wire import Request, Response

__all__ = ["InviteClient", "offers"]

Fields = list[tuple[str, object]]


class InviteClient(InviteBase):
    """See ``InviteUsage``."""

    __slots__ = ()

    # --- re-INVITE and UPDATE

    def send_invite(self, attempt: Attempt, now: float) -> None:
        offering = offers(attempt)
        if not self.exchange.is_stable:
            # An offer in an UPDATE or PRACK is open: both wait for it, as for an INVITE.
            self.state = ESTABLISHED
            self.hold_attempt(attempt, now)
            return
        self.exchange.step("send offer" if offering else "send INVITE without offer", "INVITE")
        if offering:
            self._keep_session(attempt.body, attempt.headers)
        self._attempt = attempt
        self._inviting = True
        self._receiver = ReliableReceiver()
        self._send("INVITE", self._modifying(attempt), attempt.body)

    def hold_attempt(self, attempt: Attempt, now: float) -> None:
        # RFC 3261 14.1: the user agent must wait until no INVITE is in progress in either direction.
        self._attempt = attempt

    def send_update(self, attempt: Attempt, now: float) -> None:
        if offers(attempt):
            self.exchange.step("send offer", "UPDATE")
            self._keep_session(attempt.body, attempt.headers)
        self._update = attempt
        self._send("UPDATE", self._modifying(attempt), attempt.body)

    def _modifying(self, attempt: Attempt) -> Fields:
        named = {name.lower() for name, _ in attempt.headers}
        fields = [*self._headers, *self.timer.request_headers()]
        return [*(one for one in fields if one[0].lower() not in named), *attempt.headers]

    def _proceed(self, now: float) -> None:
        attempt = self._attempt
        if attempt is not None and self.state == ESTABLISHED and "attempt" not in self._due:
            self._attempt = None
            self._input("re-INVITE", attempt, now)

    def _try_again(self, now: float) -> None:
        """The wait after a 491 is over (RFC 3261 14.1, RFC 3311 5.3)."""
        attempt = self._attempt
        if attempt is None:
            return
        if attempt.method == "UPDATE":
            self._attempt = None
            if self._update is not None or (offers(attempt) and not self.exchange.is_stable):
                self._wait(attempt, now)
            else:
                self._input("UPDATE", attempt, now)
        elif self.state == ESTABLISHED:
            self._proceed(now)

    def _wait(self, attempt: Attempt, now: float) -> None:
        self._attempt = attempt
        self._due["attempt"] = now + self._glare_wait()

    def _again_after(self, attempt: Attempt, request: Request, response: Response, now: float) -> bool:
        """Whether ``attempt``, refused, is sent once more, at once or later."""
        if attempt.tries + 1 >= self._limits.modification_attempts:
            return False
        if response.status == 491 and self._attempt is None:
            attempt.tries += 1
            self._wait(attempt, now)
            return True
        if response.status == 422 and self._attempt is None and self.timer.refused(request, response):
            # RFC 4028 7.3, with a longer interval.
            attempt.tries += 1
            self._attempt = attempt
            self._due["attempt"] = now
            return True
        return False

    # --- responses to our INVITE

    def take_provisional(self, given: tuple[Request, Response], now: float) -> None:
        request, response = given
        offer = False
        if is_reliable(response):
            rseq = self._receiver.take(response)
            if rseq is None:
                # RFC 3262 4: repeated, or before one that is missing: it comes again.
                return
            try:
                self.dialog.answered(request, response)
            except RemoteProtocolError:
                return
            if has_session(response):
                offer = self.exchange.step("receive wanted offer")
                if not offer and self.exchange.carrier == "INVITE":
                    self.exchange.step("receive answer")
            if not offer:
                self._send_prack(request, response, b"", [])
        self._hear(response)
        self._tell(Progressed(request, response, offer))

    def _send_prack(self, request: Request, response: Response, body: bytes, headers: Fields) -> None:
        # RFC 3262 4, 7.2
        rack = f"{response.typed('rseq')} {response.cseq.number} {response.cseq.method}"
        self._send("PRACK", [("RAck", rack), *headers], body)

    def take_2xx(self, given: tuple[Request, Response], now: float) -> None:
        request, response = given
        self._inviting = False
        self._last_number = request.cseq.number
        self._due["forgotten"] = now + self._values.t1x64
        attempt, self._attempt = (self._attempt, None) if self._is_under_way() else (None, self._attempt)
        try:
            self.dialog.answered(request, response)
        except RemoteProtocolError:
            # Its Contact cannot be used: acknowledged, for it is repeated otherwise, and ended.
            self.dialog.confirm()
            self._send_ack(request)
            self.exchange.close("INVITE")
            self._input("lost", response, now)
            return
        self._hear(response)
        self.timer.accepted(request, response, now)
        offer = False
        if has_session(response):
            offer = self.exchange.step("receive wanted offer")
            if not offer and self.exchange.carrier == "INVITE":
                self.exchange.step("receive answer")
        if not offer:
            self.exchange.close("INVITE")
            self._send_ack(request)
        else:
            self.state = ANSWERING
            self._unacknowledged = request
        if attempt is None or not attempt.refresh:
            self._tell(Answered(request, response, offer, None if attempt is None else attempt.key))
        if not offer:
            self._proceed(now)
        elif attempt is not None and attempt.refresh:
            # Our refresh had no offer, and the response has one: we answer with our present description.
            body, kind = self._session_body or (b"", "")
            self._input("acknowledge", (body, [("Content-Type", kind)] if body else []), now)

    def _is_under_way(self) -> bool:
        return self._attempt is not None and self._attempt.method == "INVITE" and "attempt" not in self._due

    def send_ack(self, wish: tuple[bytes, Fields], now: float) -> None:
        body, headers = wish
        self._acknowledge_offer(body, headers)
        self._proceed(now)

    def _acknowledge_offer(self, body: bytes, headers: Fields) -> None:
        assert self._unacknowledged is not None
        # RFC 3261 13.2.2.4: the ACK carries the answer.
        if body and self.exchange.carrier == "INVITE":
            self.exchange.step("send answer")
            self._keep_session(body, headers)
        self.exchange.close("INVITE")
        self._send_ack(self._unacknowledged, body, headers)
        self._unacknowledged = None

    def acknowledge_and_hang_up(self, wish: tuple[Any, Fields], now: float) -> None:
        self._acknowledge_offer(b"", [])
        self.send_bye(wish, now)

    def acknowledge_and_lose(self, response: Response | None, now: float) -> None:
        self._acknowledge_offer(b"", [])
        self.lose(response, now)

    def acknowledge_and_expire(self, _argument: Any, now: float) -> None:
        self._acknowledge_offer(b"", [])
        self.expire(None, now)

    def acknowledge_only(self, given: tuple[Request, Response], now: float) -> None:
        request, _response = given
        self._inviting = False
        self._last_number = request.cseq.number
        self._due["forgotten"] = now + self._values.t1x64
        self._send_ack(request)

    def take_refusal(self, given: tuple[Request, Response], now: float) -> None:
        request, response = given
        self._inviting = False
        self.dialog.answered(request, response)
        self._refuse_pending(487)
        self._tell(Answered(request, response))
        self._ended("refused", response)
        self._finish(now)

    def take_re_invite_refusal(self, given: tuple[Request, Response], now: float) -> None:
        request, response = given
        self._inviting = False
        # RFC 3261 14.1: as if no re-INVITE had been issued.
        self.exchange.close("INVITE")
        attempt, self._attempt = self._attempt, None
        if response.status in (408, 481):
            # 12.2.1.2
            self._answer_attempt(attempt, request, response, now)
            self._input("lost", response, now)
        elif attempt is None or not self._again_after(attempt, request, response, now):
            self._answer_attempt(attempt, request, response, now)
            self._proceed(now)

    def _answer_attempt(
        self, attempt: Attempt | None, request: Request, response: Response, now: float
    ) -> None:
        if attempt is None or not attempt.refresh:
            self._tell(Answered(request, response, key=None if attempt is None else attempt.key))
        elif response.status >= 300:
            # RFC 4028 10: not at once again.
            self.timer.postpone(now)

    def note_final(self, given: tuple[Request, Response], now: float) -> None:
        self._inviting = False

    # --- responses to our other requests

    def _take_update_answer(self, request: Request, response: Response, now: float) -> None:
        attempt, self._update = self._update, None
        if response.status < 300:
            try:
                self.dialog.answered(request, response)
            except RemoteProtocolError:
                # Its Contact cannot be used: the target stays.
                pass
            self._hear(response)
            self.timer.accepted(request, response, now)
            if has_session(response) and self.exchange.carrier == "UPDATE":
                self.exchange.step("receive answer")
        # RFC 3311 5.3: as if no UPDATE had been issued.
        self.exchange.close("UPDATE")
        refused = response.status >= 300
        if attempt is not None and not (refused and self._again_after(attempt, request, response, now)):
            self._answer_attempt(attempt, request, response, now)
        self._proceed(now)

    # --- session timer

    def refresh(self, _argument: Any, now: float) -> None:
        if self._attempt is not None or self._update is not None or self.state == RE_INVITING:
            # The request under way refreshes as well (RFC 4028 7.2).
            self.timer.refresh_at = now + 5.0
        elif self.peer_updates:
            # RFC 4028 7.4: without an offer.
            self._input("UPDATE", Attempt("UPDATE", b"", [], refresh=True), now)
            self.timer.refresh_at = None
        elif self.state == ESTABLISHED and self.exchange.is_stable:
            body, kind = self._session_body or (b"", "")
            headers: Fields = [("Content-Type", kind)] if kind else []
            self._input("re-INVITE", Attempt("INVITE", body, headers, refresh=True), now)
            self.timer.refresh_at = None
        else:
            self.timer.refresh_at = now + 5.0

    # --- the end

    def send_bye(self, wish: tuple[Any, Fields], now: float) -> None:
        self._bye_key, headers = wish
        self._hang_up(headers, "hung up", now)

    def hang_up_later(self, wish: tuple[Any, Fields], now: float) -> None:
        self._bye_key, self._bye_headers = wish
        self._refuse_pending(487)
        self._ended("hung up")

    def hang_up(self, ack: Request | None, now: float) -> None:
        self._stop_repeating()
        self._hang_up(self._bye_headers, "hung up", now)

    def lose(self, response: Response | None, now: float) -> None:
        # RFC 3261 12.2.1.2: ending the dialog consists of sending a BYE.
        self._hang_up([], "lost", now, response)

    def give_up(self, _argument: Any, now: float) -> None:
        # RFC 3261 13.3.1.4
        self._stop_repeating()
        self._hang_up([], "no ACK", now)

    def expire(self, _argument: Any, now: float) -> None:
        # RFC 4028 10
        self._hang_up([], "expired", now)

    def _hang_up(self, headers: Fields, reason: str, now: float, message: Response | None = None) -> None:
        lasting = self._due.get("forgotten")
        self._refuse_pending(487)
        self._keep_repeating()
        if lasting is not None:
            self._due["forgotten"] = lasting
        self._attempt = self._update = None
        if self._sender is not None:
            self._sender.finish()
        self._send_bye(headers)
        self._ended(reason, message)

    def take_bye_answer(self, given: tuple[Request, Response], now: float) -> None:
        request, response = given
        # RFC 3261 15.1.1: whatever it is, the dialog is over.
        self._tell(Answered(request, response, key=self._bye_key))
        self._finish(now)

    def abandon_early(self, _argument: Any, now: float) -> None:
        self._refuse_pending(487)
        self._ended("abandoned")
        self._finish(now)

    def send_request(self, wish: tuple[str, Fields, bytes], now: float) -> None:
        method, headers, body = wish
        if method in ("INVITE", "UPDATE", "BYE", "PRACK"):
            raise LocalProtocolError(f"{method} has a verb of its own")
        self._send(method, headers, body)


def offers(attempt: Attempt) -> bool:
    """Return whether the body is a session description."""
    message = Response.build(200, None, attempt.headers, attempt.body)
    return has_session(message)
