"""The session of one dialog (RFC 3261 13, 14, 15; 3262, 3311, 4028, 3264/6337): ``InviteUsage``.

Theory of operation: a user agent gives it what arrives, what its user wishes, and the time; each
input returns effects (``sansip.dialog.effects``) to be carried out in order. Which input does
what in which state stands in ``invite_table``. A forked INVITE of ours has one usage for each
To tag. Bounded: one INVITE in either direction, ``Limits.requests_unanswered`` requests of the
peer, ``reliable_waiting`` provisional responses, one description of ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

from sansip.dialog.dialog import Dialog
from sansip.dialog.effects import Answered, Effect, SendAck
from sansip.dialog.invite_base import Attempt, Headers, Pending
from sansip.dialog.invite_client import InviteClient, offers
from sansip.dialog.invite_server import InviteServer
from sansip.dialog.invite_table import CALLED, CALLING, CLOSING, ESTABLISHED, MORTAL, OVER, RE_INVITING
from sansip.dialog.offer_answer import has_session
from sansip.dialog.session_timer import SessionTimerSettings
from sansip.entropy import Entropy
from sansip.errors import LocalProtocolError
from sansip.limits import DEFAULT, Limits
from sansip.transaction.timers import TimerValues
from sansip.wire import Request, Response, Uri

__all__ = ["InviteUsage"]

# Requests of ours whose 408 or 481 does not end the session.
_ELSEWHERE = frozenset(("PRACK", "NOTIFY", "SUBSCRIBE"))
# Requests of the peer with an input of their own.
_RECEIVED = {
    "INVITE": "INVITE received",
    "PRACK": "PRACK received",
    "UPDATE": "UPDATE received",
    "BYE": "BYE received",
}


class InviteUsage(InviteServer, InviteClient):
    """One session in one dialog. Made by ``called`` or ``calling``.

    Attributes:
        dialog: the dialog; its ids, targets and route set.
        state: one of the states of ``INVITE_USAGE``.
        exchange: where offer and answer stand.
        timer: the session timer.
        peer_updates: whether the peer takes UPDATE.
    """

    __slots__ = ()

    # --- made on either side

    @classmethod
    def called(
        cls,
        request: Request,
        owner: Any,
        *,
        local_tag: str,
        contact: Uri,
        entropy: Entropy,
        now: float,
        values: TimerValues | None = None,
        session: SessionTimerSettings | None = None,
        headers: Headers = (),
        over_tls: bool = False,
        limits: Limits = DEFAULT,
    ) -> Self:
        """Return the usage of a called user agent, for an INVITE without a To tag.

        ``local_tag`` and ``contact`` are ours, ``headers`` go into each response (Allow, Supported). Raises
        RemoteProtocolError (400) for an INVITE that cannot begin a dialog; see ``session_refusal`` for the
        422.
        """
        dialog = Dialog.from_uas(request, local_tag, contact, over_tls=over_tls)
        usage = cls(
            dialog,
            CALLED,
            values or TimerValues(),
            session or SessionTimerSettings(),
            headers,
            entropy,
            limits,
        )
        usage._begin(Pending(request, owner), now)
        return usage

    @classmethod
    def calling(
        cls,
        request: Request,
        response: Response,
        *,
        entropy: Entropy,
        values: TimerValues | None = None,
        session: SessionTimerSettings | None = None,
        headers: Headers = (),
        over_tls: bool = False,
        limits: Limits = DEFAULT,
    ) -> Self:
        """Return the usage of a calling user agent, for the first ``response`` with its To tag.

        ``request`` is the INVITE as it was sent last. ``response_received`` follows with the same
        response. Raises RemoteProtocolError for a response that begins no dialog.
        """
        dialog = Dialog.from_uac(request, response, over_tls=over_tls)
        # A 2xx begins it as well, and confirms it when it is taken.
        dialog.state = "early"
        usage = cls(
            dialog,
            CALLING,
            values or TimerValues(),
            session or SessionTimerSettings(),
            headers,
            entropy,
            limits,
        )
        usage._inviting = True
        usage.timer.begin(request)
        if has_session(request):
            usage.exchange.step("send offer", "INVITE")
            usage._keep_session(request.body, [("Content-Type", request.get("content-type") or "")])
        else:
            usage.exchange.step("send INVITE without offer", "INVITE")
        return usage

    # --- what arrives

    def received(self, request: Request, owner: Any, now: float) -> list[Effect]:
        """A request in the dialog; ``owner`` is its server transaction, None for an ACK."""
        if request.method == "ACK":
            # The number is that of its INVITE (RFC 3261 13.2.2.4), so it is not in the order of the others.
            if self._is_ack(request) or self._invite is None:
                self._input("ACK received", request, now)
            return self._take()
        pending = Pending(request, owner)
        refusal = self.dialog.take(request) if self.state != OVER else None
        if refusal is not None:
            self._respond(pending, refusal.status, refusal.reason, refusal.headers)
        else:
            self._input(_RECEIVED.get(request.method, "request received"), pending, now)
        return self._take()

    def cancelled(self, now: float) -> list[Effect]:
        """A CANCEL of the peer's INVITE; the CANCEL itself is answered by the caller of this."""
        self._input("CANCEL received", None, now)
        return self._take()

    def response_received(self, request: Request, response: Response, now: float) -> list[Effect]:
        """A response, received or made (408, 503), to ``request`` of ours as it was sent last."""
        method, status = request.method, response.status
        if method == "INVITE":
            self._invite_answered(request, response, now)
        elif status < 200:
            pass
        elif method == "BYE":
            self._input("BYE answered", (request, response), now)
        else:
            if method == "UPDATE":
                self._take_update_answer(request, response, now)
            elif method != "PRACK":
                self._tell(Answered(request, response))
            # RFC 3261 12.2.1.2. A PRACK may be too late, when its INVITE has been answered. A 481 to a NOTIFY
            # means that the subscription is missing (RFC 5057 5.1).
            if status in (408, 481) and method not in _ELSEWHERE:
                self._input("lost", response, now)
        return self._take()

    def _invite_answered(self, request: Request, response: Response, now: float) -> None:
        number, status = request.cseq.number, response.status
        if 200 <= status < 300 and (number in self._acks or number <= self._last_number):
            # RFC 3261 13.2.2.4: repeated. One that waits for our answer waits on.
            ack = self._acks.get(number)
            if ack is not None:
                self._effects.append(SendAck(ack.copy(), again=True))
        elif not self._inviting or number <= self._last_number:
            # Late: the INVITE has its final response.
            pass
        elif 100 < status < 200:
            self._input("1xx", (request, response), now)
        elif 200 <= status < 300:
            self._input("2xx", (request, response), now)
        elif status >= 300:
            self._input("failure", (request, response), now)

    def resent(self, request: Request) -> None:
        """``request`` was sent again by the client, with credentials and the next number of the dialog."""
        number = request.cseq.number
        if self.dialog.local_cseq is None or number > self.dialog.local_cseq:
            self.dialog.local_cseq = number

    # --- actions of our user; each raises LocalProtocolError if it is not allowed now

    def ring(self, status: int, body: bytes, headers: Headers, reliable: bool, now: float) -> list[Effect]:
        """Answer the peer's INVITE provisionally, reliably if wished and possible (RFC 3262)."""
        if not 100 <= status < 200:
            raise LocalProtocolError(f"a {status} is not provisional")
        self._input("ring", (status, body, list(headers), reliable), now)
        return self._take()

    def accept(self, body: bytes, headers: Headers, now: float, status: int = 200) -> list[Effect]:
        """Answer the peer's INVITE with a 2xx; it leaves later where a PRACK is to come first."""
        self._input("accept", (status, body, list(headers)), now)
        return self._take()

    def reject(self, status: int, reason: str | None, headers: Headers, now: float) -> list[Effect]:
        """Refuse the peer's INVITE."""
        if status < 300:
            raise LocalProtocolError(f"a {status} refuses nothing")
        self._input("refuse", (status, reason, list(headers)), now)
        return self._take()

    def answer(
        self, owner: Any, status: int, body: bytes, headers: Headers, now: float, reason: str | None = None
    ) -> list[Effect]:
        """Answer a request that ``Offered`` or ``Received`` told of."""
        if self._invite is not None and self._invite.owner is owner and self._again is None:
            if status < 200:
                return self.ring(status, body, headers, False, now)
            if status < 300:
                return self.accept(body, headers, now, status)
            return self.reject(status, reason, headers, now)
        for one in self._pending:
            if one.owner is owner:
                self._answer_pending(one, status, reason, body, list(headers), now)
                self._proceed(now)
                break
        # Else the usage answered it in the user's place: the call has ended, or the user's time is over.
        return self._take()

    def acknowledge(self, body: bytes, headers: Headers, now: float) -> list[Effect]:
        """Send the ACK for a 2xx that brought an offer, with the answer; nothing where none waits."""
        self._input("acknowledge", (body, list(headers)), now)
        return self._take()

    def prack(
        self, request: Request, response: Response, body: bytes, headers: Headers, now: float
    ) -> list[Effect]:
        """Send the PRACK for a reliable ``response`` that brought an offer, with the answer (RFC 3262 5)."""
        self._allowed("request")
        if body and self.exchange.carrier == "INVITE":
            self.exchange.step("send answer")
            self._keep_session(body, headers)
        self._send_prack(request, response, body, list(headers))
        return self._take()

    def invite(self, body: bytes, headers: Headers, now: float, key: Any = None) -> list[Effect]:
        """Send a re-INVITE, at once or when no other INVITE is under way (RFC 3261 14.1).

        ``Answered`` comes with ``key``, after repetitions for 491 and 422. One at a time.
        """
        self._allowed("re-INVITE")
        if self._attempt is not None:
            raise LocalProtocolError("another re-INVITE or UPDATE waits (RFC 3261 14.1)")
        self._input("re-INVITE", Attempt("INVITE", body, list(headers), key), now)
        return self._take()

    def withdraw(self) -> Any:
        """Drop a re-INVITE that has not left yet; returns the key that its user gave, None for none."""
        attempt = self._attempt
        if attempt is None or attempt.method != "INVITE" or attempt.refresh:
            return None
        if self.state == RE_INVITING and "attempt" not in self._due:
            # It is under way: only a CANCEL ends it.
            return None
        self._attempt = None
        self._due.pop("attempt", None)
        return attempt.key

    def update(self, body: bytes, headers: Headers, now: float, key: Any = None) -> list[Effect]:
        """Send an UPDATE (RFC 3311), with an offer or without. One at a time."""
        self._allowed("UPDATE")
        if self._update is not None or (self._attempt is not None and self._attempt.method == "UPDATE"):
            raise LocalProtocolError("another UPDATE waits")
        attempt = Attempt("UPDATE", body, list(headers), key)
        if offers(attempt):
            self.exchange.check("send offer")
        self._input("UPDATE", attempt, now)
        return self._take()

    def request(self, method: str, headers: Headers, body: bytes, now: float) -> list[Effect]:
        """Send any other request in the dialog."""
        self._input("request", (method, list(headers), body), now)
        return self._take()

    def bye(self, headers: Iterable[tuple[str, object]], now: float, key: Any = None) -> list[Effect]:
        """Hang up: BYE now, or once our 2xx has its ACK (RFC 3261 15)."""
        self._input("BYE", (key, list(headers)), now)
        return self._take()

    def move(self, contact: Uri, at: float) -> None:
        """Say ``contact`` from now on, and have the peer know it at ``at``, or as soon as that can be."""
        self.dialog.move_to(contact)
        if self.state != OVER:
            self._due["moved"] = at

    def _tell_target(self, now: float) -> None:
        """RFC 3261 12.2.2: a target refresh request makes the peer come to our new Contact."""
        if self.state == ESTABLISHED and self._attempt is None and self._update is None:
            self.refresh(None, now)
        elif self.state not in (CLOSING, MORTAL, OVER):
            # A request under way may have left with the old one.
            self._due["moved"] = now + 1.0

    def abandon(self, now: float) -> list[Effect]:
        """Another branch of our INVITE has answered, and this early dialog will not (RFC 3261 13.2.2.4)."""
        self._input("abandoned", None, now)
        return self._take()

    # --- time

    def next_due(self) -> float | None:
        """Return when ``time_passed`` has something to do, or None."""
        return min((at for at, _ in self._instants()), default=None)

    def _instants(self) -> Iterable[tuple[float, str]]:
        for name, at in self._due.items():
            # The ACKs kept for repeated 2xx are dropped only when all is over.
            if name != "forgotten" or self.state == OVER:
                yield at, name
        if self._sender is not None and self._sender.resend_at is not None:
            yield self._sender.resend_at, "1xx again"
        if self._sender is not None and self._sender.give_up_at is not None:
            yield self._sender.give_up_at, "no PRACK"
        if self.timer.refresh_at is not None:
            yield self.timer.refresh_at, "refresh"
        if self.timer.expires_at is not None:
            yield self.timer.expires_at, "session expired"
        for one in self._pending:
            if one.due is not None:
                yield one.due, "unanswered"

    def time_passed(self, now: float) -> list[Effect]:
        """Do the work that is due, in order."""
        while True:
            due = min((one for one in self._instants() if one[0] <= now), default=None)
            if due is None:
                return self._take()
            at, name = due
            self._due.pop(name, None)
            match name:
                case "2xx again":
                    self._repeat_2xx(at)
                case "1xx again":
                    assert self._sender is not None
                    self._put(self._sender.resend(at))
                case "ring again":
                    self._ring_again(at)
                case "attempt":
                    self._try_again(at)
                case "moved":
                    self._tell_target(at)
                case "unanswered":
                    self._unanswered(at)
                case _:
                    if name == "refresh":
                        self.timer.refresh_at = None
                    elif name == "session expired":
                        self.timer.expires_at = None
                    elif name == "no PRACK":
                        assert self._sender is not None
                        self._sender.stop_resending()
                    self._input(name, None, at)
