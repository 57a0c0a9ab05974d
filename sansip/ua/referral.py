"""A REFER of ours: the peer shall call a party, and reports the progress (RFC 3515, 4488, 5589).

Theory of operation: the 2xx only says that the peer will try. The peer's NOTIFYs report the rest: each holds
a status line of the request that the peer sent. The last one, or silence, ends it. A call has a few of them
(``limits.referrals_per_call``), told apart by the number of their REFER (RFC 3515 2.4.6).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from sansip.errors import LocalProtocolError, RemoteProtocolError
from sansip.later import Later
from sansip.ua.refer_to import attended, status_of
from sansip.ua.request import aimed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sansip.dialog import Dialog, Received
    from sansip.ua.owner import Owner
    from sansip.wire import Request, Response

__all__ = ["Referral", "Referring", "take_notify", "transfer"]


class Referring(Protocol):
    """The call in which a REFER is sent (``sansip.ua.Call``)."""

    agent: Owner
    dialog: Dialog
    referrals: list[Referral]

    def request(self, method: str, headers: Iterable[tuple[str, str]] = ()) -> Later[Response]: ...
    def answer(self, wish: Received, status: int, *, now: float | None = None) -> None: ...


def take_notify(call: Referring, received: Received, now: float) -> bool:
    """Give a NOTIFY to the REFER that it is about; False where there is none."""
    try:
        found = next((one for one in call.referrals if one.is_meant(received.request)), None)
    except RemoteProtocolError:
        return False
    if found is None:
        return False
    status = found.judged(received.request)
    # First answer: the code that hears of the end may hang up, and that would refuse this request with
    # all pending ones.
    call.answer(received, status, now=now)
    if status < 300:
        found.notified(received.request, now)
    return True


def transfer(
    call: Referring, to: str, replaces: Referring | None, headers: Iterable[tuple[str, str]]
) -> Later[int]:
    """Send a REFER in ``call``: see ``sansip.ua.Call.transfer``."""
    agent, now = call.agent, call.agent.now
    if len(call.referrals) >= agent.limits.referrals_per_call:
        agent.notices.reached("referrals_per_call", call.dialog.id.call_id, now)
        refused: Later[int] = Later()
        refused.set(LocalProtocolError("too many transfers run (limits.referrals_per_call)"), now)
        return refused
    target = aimed(to)[0] if to else None
    if replaces is not None:
        value = attended(replaces.dialog, target)
    elif to:
        value = f"<{target}>"
    else:
        raise LocalProtocolError("transfer needs a URI, or a call to take our place in")
    # RFC 3892 2.1: the referrer.
    fields = [("Refer-To", value), ("Referred-By", f"<{call.dialog.local.uri}>"), *headers]
    return Referral(call, fields, now).outcome


class Referral:
    """One REFER. ``outcome`` awaits the final status of the peer's call; 408 if the peer stops reporting."""

    __slots__ = ("_call", "_number", "_timer", "accepted", "outcome", "status")

    def __init__(self, call: Referring, headers: Iterable[tuple[str, str]], now: float) -> None:
        self._call = call
        self._timer: Any = None
        self.accepted = False
        # The last that was told.
        self.status = 0
        self.outcome: Later[int] = Later()
        call.referrals.append(self)
        answered = call.request("REFER", headers)
        self._number = call.dialog.local_cseq or 0
        # RFC 6665 4.1.2.4: Timer N.
        self._wait(call.agent.client.transactions.values.t1x64, now)
        answered.then(self._answered, now)

    def _answered(self, result: Any, now: float) -> None:
        if isinstance(result, Exception):
            self._end(result, now)
            return
        # With credentials it had another number.
        self._number = result.cseq.number
        self.accepted = True
        if (result.get("refer-sub") or "").strip().lower() == "false":
            # RFC 4488 4: nothing more is told.
            self._end(result.status, now)

    def is_meant(self, notify: Request) -> bool:
        """Whether ``notify`` is of this REFER. Raises RemoteProtocolError for an Event that is malformed."""
        event = notify.typed("event")
        if event is None or event.package != "refer":
            return False
        if event.id is None or not event.id.isdecimal():
            return event.id is None
        # RFC 3515 2.4.4: it may come before the 2xx.
        latest = self._number if self.accepted else self._call.dialog.local_cseq or 0
        return self._number <= int(event.id[:10]) <= latest

    def judged(self, notify: Request) -> int:
        """Return the status of the answer to a NOTIFY."""
        try:
            # RFC 6665 4.1.3: it must say how things stand.
            return 200 if notify.typed("subscription-state") is not None else 400
        except RemoteProtocolError:
            return 400

    def notified(self, notify: Request, now: float) -> None:
        """Take a NOTIFY that was answered with 200."""
        state = notify.typed("subscription-state")
        self.status = status_of(notify) or self.status
        if self.status >= 200 or state.state == "terminated":
            self._end(self.status or 408, now)
        else:
            most = self._call.agent.limits.ring_time
            self._wait(min(most if state.expires is None else state.expires, most), now)

    def call_ended(self, error: Exception, now: float) -> None:
        """The dialog is over, and nothing more is told in it."""
        self._end(error, now)

    def timer_fired(self, _name: str, now: float) -> None:
        self._timer = None
        self._end(408, now)

    def _wait(self, seconds: float, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = (
            None
            if self.outcome.done
            else self._call.agent.client.timers.start(now, seconds, self, "referral")
        )

    def _end(self, result: Any, now: float) -> None:
        if self in self._call.referrals:
            self._call.referrals.remove(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.outcome.set(result, now)
