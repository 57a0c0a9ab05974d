"""The subscriber's end (RFC 6665 4.1): SUBSCRIBE and its refreshes, NOTIFY, Timer N.

Theory of operation: a subscription begins with its first NOTIFY, not with the 2xx (4.4.1), and a
forked SUBSCRIBE may begin several. So ``Subscribing`` stands for a SUBSCRIBE outside of a dialog until
Timer N: each NOTIFY that matches it makes a ``Subscriber`` with a dialog of its own. One in an existing
dialog (a REFER in a call) is made as a ``Subscriber`` at once.
"""

from __future__ import annotations

from typing import Any, Final, Self

from sansip.dialog.dialog import CONFIRMED, Dialog
from sansip.dialog.effects import Effect, Notified, SubscribeAnswered, SubscriptionEnded, Tell
from sansip.dialog.subscription import ENDING, Headers, SubscriptionUsage, event_key
from sansip.dialog.subscription_table import NOTIFY_WAIT, SUBSCRIBER
from sansip.errors import RemoteProtocolError
from sansip.transaction.timers import TimerValues
from sansip.wire import Request, Response

__all__ = ["Subscriber", "Subscribing", "retry_of"]

# How long before the end a refresh leaves: half of what there is, and not more than this.
_MARGIN: Final = 300.0
# RFC 6665 4.1.3: reasons after which a subscriber should not try again.
_NEVER: Final = frozenset(("rejected", "noresource", "invariant"))
# Reasons of which retry-after has a meaning.
_LATER: Final = frozenset(("probation", "giveup"))


def retry_of(notify: Request) -> tuple[str, int | None]:
    """Return reason and retry-after of a NOTIFY with "terminated" (RFC 6665 4.1.3)."""
    state = notify.typed("subscription-state")
    reason = state.reason or ""
    if reason in _NEVER:
        return reason, None
    known = reason in ("deactivated", "timeout")
    return reason, 0 if known else state.retry_after or 0


class Subscribing:
    """A SUBSCRIBE outside of a dialog, until Timer N (RFC 6665 4.1.2.4).

    Attributes:
        until: when Timer N fires: no further NOTIFY begins a subscription.
        made: the subscriptions, by the notifier's tag.
    """

    __slots__ = ("_headers", "_most", "_values", "made", "request", "until")

    def __init__(
        self, request: Request, now: float, values: TimerValues, headers: Headers = (), most: int = 64
    ) -> None:
        self.request = request
        self.until = now + values.t1x64
        self.made: dict[str, Subscriber] = {}
        self._headers = list(headers)
        self._values = values
        self._most = most

    def matches(self, notify: Request, now: float) -> bool:
        """Return whether ``notify`` may begin a subscription of this SUBSCRIBE (RFC 6665 4.4.1)."""
        request = self.request
        if now >= self.until or len(self.made) >= self._most:
            return False
        if notify.call_id != request.call_id or notify.to_tag != request.from_tag:
            return False
        try:
            return event_key(notify) == event_key(request)
        except RemoteProtocolError:
            return False

    def begin(self, notify: Request, now: float) -> Subscriber:
        """Return the subscription that ``notify`` begins; ``received`` follows with the same NOTIFY.

        Raises RemoteProtocolError (400) for one that cannot begin a dialog.
        """
        request = self.request
        # RFC 6665 4.4.1: the route set is that of the NOTIFY, of which this is the UAS.
        dialog = Dialog.from_uas(notify, request.from_tag or "")
        dialog.state = CONFIRMED
        dialog.is_caller = True
        dialog.local_cseq = request.cseq.number
        # ``received`` takes the NOTIFY, and notes its number.
        dialog.remote_cseq = None
        contacts = request.contacts
        dialog.local_target = contacts[0].uri if isinstance(contacts, list) and contacts else None
        event, seconds = request.get("event") or "", request.expires or 0
        subscriber = Subscriber(dialog, event, seconds, self.until, self._headers)
        subscriber._t1x64 = self._values.t1x64
        self.made[notify.from_tag or ""] = subscriber
        return subscriber


class Subscriber(SubscriptionUsage):
    """One subscription of ours.

    Attributes:
        interval: seconds that a SUBSCRIBE asks for.
        refresh_at: when the next one is sent, or None.
    """

    __slots__ = ("_t1x64", "interval", "refresh_at", "timer_n")

    table = SUBSCRIBER

    def __init__(
        self, dialog: Dialog, event: str, interval: int, timer_n: float | None, headers: Headers = ()
    ) -> None:
        super().__init__(dialog, event, NOTIFY_WAIT, headers)
        self.interval = interval
        self.refresh_at: float | None = None
        self.timer_n = timer_n
        self._t1x64 = 32.0

    @classmethod
    def in_dialog(cls, dialog: Dialog, event: str, now: float, values: TimerValues) -> Self:
        """Return the implicit subscription of a REFER that was sent in ``dialog`` (RFC 3515 2.4.4)."""
        usage = cls(dialog, event, 0, now + values.t1x64)
        usage._t1x64 = values.t1x64
        return usage

    def matches(self, notify: Request) -> bool:
        """Return whether ``notify``, of this dialog, is of this subscription (RFC 6665 8.2.1)."""
        event = Request.build("NOTIFY", "sip:x.invalid", [("Event", self.event)])
        try:
            return event_key(notify) == event_key(event)
        except RemoteProtocolError:
            return False

    # --- what arrives

    def received(self, request: Request, owner: Any, now: float) -> list[Effect]:
        """A NOTIFY of this subscription."""
        refusal = self.dialog.take(request)
        if refusal is not None:
            self._respond(request, owner, refusal.status, refusal.headers)
            return self._take()
        try:
            state = request.typed("subscription-state")
        except RemoteProtocolError:
            state = None
        if state is None:
            # RFC 6665 4.1.3: it must say how things stand.
            self._respond(request, owner, 400)
            return self._take()
        if self.is_over:
            self._respond(request, owner, 481)
            return self._take()
        self.dialog.refresh(request)
        # 4.1.3: at once, whatever a user may think of it.
        self._respond(request, owner, 200, self._contact())
        # An unknown state is one of a subscription that lasts.
        word = state.state if state.state in ("pending", "terminated") else "active"
        self._input(f"NOTIFY {word}", request, now)
        return self._take()

    def response_received(self, request: Request, response: Response, now: float) -> list[Effect]:
        """A final response, received or made, to a SUBSCRIBE in the dialog."""
        status = response.status
        if 200 <= status < 300:
            try:
                self.dialog.answered(request, response)
            except RemoteProtocolError:
                pass
            self._input("accepted", response, now)
        elif status >= 300:
            self._input("refused" if status in ENDING else "failed", response, now)
        return self._take()

    # --- what our user wishes

    def refresh(self, now: float) -> list[Effect]:
        """Send a SUBSCRIBE now: a refresh, and a poll of the state (RFC 6665 4.4.3)."""
        self._input("subscribe", self.interval, now)
        return self._take()

    def unsubscribe(self, now: float) -> list[Effect]:
        """End it; the last NOTIFY still comes (RFC 6665 4.1.2.3)."""
        self.interval = 0
        self._input("unsubscribe", 0, now)
        return self._take()

    # --- time

    def next_due(self) -> float | None:
        """Return when ``time_passed`` has something to do, or None."""
        if self.is_over:
            return None
        dues = [at for at in (self.timer_n, self.refresh_at, self.expires_at) if at is not None]
        return min(dues, default=None)

    def time_passed(self, now: float) -> list[Effect]:
        """Do the work that is due."""
        if self.timer_n is not None and self.timer_n <= now:
            self.timer_n = None
            self._input("timer N", None, now)
        if self.refresh_at is not None and self.refresh_at <= now:
            self.refresh_at = None
            self._input("subscribe", self.interval, now)
        if self.expires_at is not None and self.expires_at <= now:
            self.expires_at = None
            self._input("expired", None, now)
        return self._take()

    # --- effects

    def send_subscribe(self, interval: int, now: float) -> None:
        # RFC 6665 4.1.2.2: Timer N runs for each.
        self.timer_n = now + self._t1x64
        self.refresh_at = None
        self._send("SUBSCRIBE", [("Expires", interval)])

    def _lasts(self, seconds: int, now: float) -> None:
        seconds = min(seconds, 0x7FFFFFFF)
        self.expires_at = now + seconds
        # Do not refresh a subscription that was ended, or that we never asked for (REFER).
        self.refresh_at = self.expires_at - min(seconds / 2, _MARGIN) if self.interval and seconds else None

    def take_notify(self, notify: Request, now: float) -> None:
        self.timer_n = None
        state = notify.typed("subscription-state")
        if state.expires is not None:
            # RFC 6665 4.1.3: the authoritative duration.
            self._lasts(state.expires, now)
        elif self.expires_at is None:
            # RFC 3265 peers may leave it out: then the requested time holds.
            self._lasts(self.interval or 3600, now)
        self._effects.append(Tell(Notified(notify, state.state)))

    def take_last(self, notify: Request, now: float) -> None:
        reason, retry_after = retry_of(notify)
        self._effects.append(Tell(Notified(notify, "terminated")))
        self._end(SubscriptionEnded(reason, retry_after, notify))

    def take_duration(self, response: Response, now: float) -> None:
        # RFC 6665 4.1.2.1: never more than was asked for.
        seconds = response.expires
        if seconds is not None:
            self._lasts(min(seconds, self.interval or seconds), now)
        if response.status == 204:
            # RFC 5839 5.2.1: no NOTIFY follows.
            self.timer_n = None
        self._effects.append(Tell(SubscribeAnswered(response)))

    def take_refusal(self, response: Response, now: float) -> None:
        self._end(SubscriptionEnded("refused", 0, response))

    def tell_failure(self, response: Response, now: float) -> None:
        # RFC 6665 4.1.2.2: it lasts as long as was known; half-way to the end, once more.
        if self.expires_at is not None and self.interval:
            self.refresh_at = now + max((self.expires_at - now) / 2, 5.0)
        self.timer_n = None
        self._effects.append(Tell(SubscribeAnswered(response)))

    def give_up(self, _argument: Any, now: float) -> None:
        # RFC 6665 4.1.2.2, 4.1.2.4
        self._end(SubscriptionEnded("no NOTIFY", 0))

    def expire(self, _argument: Any, now: float) -> None:
        self._end(SubscriptionEnded("expired", 0))
