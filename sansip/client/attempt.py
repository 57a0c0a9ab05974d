"""One attempt of one request: its places, and its end where no answer comes, or none is wanted any more.

Theory of operation: the table of ``life`` says what each input means. ``Trial`` has the effects for
responses; this file has those for silence, failures and CANCEL. ``Attempt`` is the common part of the
attempts of user agents (``Sending``) and of a proxy (``proxy.Branch``).

Where other places are left, silence counts as a failure after ``Outlet.failover_time``
already, and not after 64*T1. A place that was given up may have been slow only (``given_up``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sansip.client.cancel import forget, send_cancel
from sansip.client.given_up import GivenUp
from sansip.client.trial import Trial

if TYPE_CHECKING:
    from sansip.transaction import ClientTransaction
    from sansip.wire import Response

__all__ = ["Attempt"]


class Attempt(Trial):
    """A request being sent, until there is a final response of whatever origin."""

    __slots__ = ()

    # --- late responses

    def cancel_at_last(self, response: Response, now: float) -> None:
        self.provisional = True
        self.send_cancel(None, now)
        self.proceed(response, now)

    def conclude(self, response: Response, now: float) -> None:
        """As ``judge``, if the request was cancelled."""
        if self._answers is not None and response.status in (401, 407):
            if self._answers.take(response):
                self._answers.strip(response)
                response.set_status(487)
            self._explain(response)
        if response.status == 503:
            self._avoid(now, response.get("retry-after"))
        else:
            self._answered()
        self._take_final(response, now)

    def accept_late(self, late: tuple[ClientTransaction, Response], now: float) -> None:
        transaction, response = late
        if self.final is None:
            # The slow one was first after all.
            self._give_up_current(now)
        self._finish(transaction, response, now)

    # --- missing responses

    def go_on(self, reason: str, now: float) -> None:
        self.broke = reason
        self._stop_timers()
        self._avoid(now, None)
        if self._places:
            self._try_next(now)
        else:
            self._fail(408 if reason == "timeout" else self._unreachable(), now)

    def fail_here(self, reason: str, now: float) -> None:
        self.broke = reason
        self._stop_timers()
        self._avoid(now, None)
        # RFC 3261 8.1.3.1: silence is a 408, a transport error a 503.
        self._fail(408 if reason == "timeout" else self._unreachable(), now)

    def hurry(self, _argument: Any, now: float) -> None:
        """No response came from this place in time: try the next."""
        if self._places:
            self._give_up_current(now)
            self._avoid(now, None)
            self._try_next(now)

    def relinquish(self, _argument: Any, now: float) -> None:
        self._give_up_current(now)
        self._fail(408, now)

    def expire(self, _argument: Any, now: float) -> None:
        assert self.transaction is not None
        self._stop_timers()
        self.transaction.terminate(None, now)
        self._fail(408, now)

    def lose(self, status: int, now: float) -> None:
        assert self.transaction is not None
        self._stop_timers()
        self.transaction.terminate(None, now)
        self._fail(status, now)

    def end_late(self, _argument: Any, now: float) -> None:
        self._fail(408, now)

    def end_cancelled(self, reason: str | None, now: float) -> None:
        self._cancel_reason = reason or ""
        self._fail(487, now)

    def _give_up_current(self, now: float) -> None:
        self._stop_timers()
        transaction = self.transaction
        if transaction is None:
            return
        transaction.fall_silent()
        given_up = GivenUp(self, self._cancel_reason or None, cancelled=self._cancel_sent)
        transaction.user = given_up
        if self._cancel_sent:
            forget(self.client.transactions, transaction, now)
        elif self.provisional:
            given_up.cancel(transaction, now)

    # --- cancelling

    def cancel(self, now: float, reason: str | None = None) -> None:
        """Ask for the end of the request (RFC 3261 9.1). ``reason`` as in RFC 3326.

        An INVITE that has a provisional response is cancelled, one that has none as soon as it
        has. The final response decides: a 2xx may have crossed the CANCEL.
        """
        self.feed("cancel", reason, now)

    def hold_cancel(self, reason: str | None, now: float) -> None:
        self._cancel_reason = reason or ""

    def send_cancel(self, reason: str | None, now: float) -> None:
        if self._cancel_reason is None:
            self._cancel_reason = reason or ""
        transaction = self.transaction
        assert transaction is not None
        if transaction.method != "INVITE" or self._cancel_sent:
            # RFC 3261 9.1: only INVITE is worth cancelling.
            return
        self._cancel_sent = True
        send_cancel(self.client.transactions, transaction, self._cancel_reason or None, now)
        self._set_timer(now, self.client.transactions.values.t1x64, "cancelled")
