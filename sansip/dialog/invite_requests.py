"""The peer's requests in a session that our user answers: UPDATE, an offer in a PRACK, INFO and the like."""

from __future__ import annotations

from sansip.dialog.dialog import EARLY
from sansip.dialog.effects import Offered, Received, Refreshed
from sansip.dialog.invite_base import InviteBase, Pending
from sansip.dialog.offer_answer import has_session
from sansip.dialog.session_timer import session_refusal

__all__ = ["InviteRequests"]

Fields = list[tuple[str, object]]


class InviteRequests(InviteBase):
    """See ``InviteUsage``."""

    __slots__ = ()

    def take_update(self, pending: Pending, now: float) -> None:
        request = pending.request
        if any(one.request.method == "UPDATE" for one in self._pending):
            # RFC 3311 5.2
            self._respond(pending, 500, headers=self._retry_after())
            return
        if has_session(request):
            status = self.exchange.refusal("receive offer")
            if status is not None:
                # RFC 3311 5.2: 491 where our offer is open, 500 where theirs is.
                self._respond(pending, status, headers=self._retry_after() if status == 500 else ())
                return
        if self._refuse_timer(pending):
            return
        self._hear(request)
        if has_session(request):
            self.exchange.step("receive offer", "UPDATE")
            self._ask(pending, now)
            return
        self._accept_update(pending, 200, b"", [], now)
        self._tell(Refreshed(request))

    def _accept_update(self, pending: Pending, status: int, body: bytes, headers: Fields, now: float) -> None:
        request = pending.request
        self.dialog.refresh(request)
        fields = [*self._contact(), *self._headers, *headers]
        if self.dialog.state != EARLY:
            fields += self.timer.accept(request, now)
        self._respond(pending, status, None, fields, body)

    def _ask(self, pending: Pending, now: float) -> None:
        """Have our user answer an offer in time (RFC 3311 5.2)."""
        pending.due = now + self._limits.prompt_time
        self._pending.append(pending)
        self._tell(Offered(pending.request, pending.owner))

    def _unanswered(self, now: float) -> None:
        for one in [one for one in self._pending if one.due is not None and one.due <= now]:
            # RFC 3311 5.2: the user was not asked in time.
            self._answer_pending(one, 504, None, b"", [], now)

    def _answer_pending(
        self, pending: Pending, status: int, reason: str | None, body: bytes, headers: Fields, now: float
    ) -> None:
        """Answer an UPDATE, a PRACK with an offer, or any other request that our user was told of."""
        method = pending.request.method
        if status < 200:
            self._respond(pending, status, reason, headers, body)
            return
        self._pending.remove(pending)
        if method in ("UPDATE", "PRACK") and pending.due is not None:
            if status < 300 and body:
                self.exchange.step("send answer")
                self._keep_session(body, headers)
            # RFC 3311 5.3: refused, so nothing has changed; a PRACK's offer falls as well.
            self.exchange.close(method)
        if method == "UPDATE" and status < 300:
            self._accept_update(pending, status, body, headers, now)
            return
        if 200 <= status < 300 and method in ("SUBSCRIBE", "NOTIFY", "REFER"):
            self.dialog.refresh(pending.request)
            headers = [*self._contact(), *headers]
        self._respond(pending, status, reason, headers, body)

    def pass_request(self, pending: Pending, now: float) -> None:
        if len(self._pending) >= self._limits.requests_unanswered:
            self._respond(pending, 503, headers=[("Retry-After", "5")])
            return
        self._pending.append(pending)
        self._tell(Received(pending.request, pending.owner))

    def _refuse_timer(self, pending: Pending) -> bool:
        refusal = session_refusal(pending.request, self.timer.settings)
        if refusal is not None:
            self._respond(pending, refusal.status, headers=refusal.headers)
        return refusal is not None
