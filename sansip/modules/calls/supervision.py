"""Calls as time passes: those whose session expired, whose ACK never came, that last too long, or are dead.

Theory of operation: ``due`` says when a call has to be looked at, and ``look`` judges it then. A phone that
lost its power says nothing: a probe (OPTIONS within the dialog) asks both sides whether they know the call.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING

from sansip.modules.calls.call import Call, Side, Talk
from sansip.modules.calls.hangup import send

if TYPE_CHECKING:
    from sansip.module import Core
    from sansip.modules.calls.settings import CallsSettings

__all__ = ["Supervision", "due"]


def due(call: Call, settings: CallsSettings, now: float) -> float | None:
    """Return when an answered call is looked at next."""
    found = inf
    for talk in call.talks.values():
        if talk.expires is not None and talk.expires < found:
            found = talk.expires
        if talk.unacked is not None and talk.unacked < found:
            found = talk.unacked
    longest: float = settings.max_duration
    if longest and call.answered is not None and call.answered + longest < found:
        found = call.answered + longest
    probe: float = settings.probe
    if probe and now + probe < found:
        found = now + probe
    return None if found == inf else found


class Supervision:
    """Judges calls. ``over`` ends one dialog of a call, ``end`` the call; ``again`` looks at it later."""

    def __init__(
        self,
        core: Core,
        over: Callable[[Call, Talk, str, str, float], None],
        end: Callable[[Call, str, str, float], None],
        again: Callable[[Call, float], None],
    ) -> None:
        self._core = core
        self._over = over
        self._end = end
        self._look_again = again

    def look(self, call: Call, settings: CallsSettings, now: float) -> None:
        """End a call whose time is over; probe one that may be dead."""
        if call.state != "answered":
            self._end(call, "", "no answer left", now)
            return
        if (
            settings.max_duration
            and call.answered is not None
            and now >= call.answered + settings.max_duration
        ):
            self.hang_up(call, "max_duration reached", now)
            return
        for talk in list(call.talks.values()):
            if talk.unacked is not None and talk.unacked <= now:
                # RFC 3261 13.3.1.4: the callee ends it, if it was one.
                self._over(call, talk, "", "no ACK came", now)
            elif talk.expires is not None and talk.expires <= now:
                if talk.alone:
                    # Who lets it expire may talk on, at a gateway that knows no timers and charges for it.
                    talk.expires = now + talk.alone
                    self._probe(call, talk, now)
                else:
                    # RFC 4028 8.3: no BYE, for that is the phones'.
                    self._over(call, talk, "", "session expired", now)
            elif settings.probe:
                self._probe(call, talk, now)
        if not call.over:
            self._look_again(call, now)

    def _probe(self, call: Call, talk: Talk, now: float) -> None:
        """Ask both sides whether they still know the dialog (OPTIONS within it, RFC 3261 11)."""
        if talk.probed:
            return
        for to, other in ((talk.caller, talk.callee), (talk.callee, talk.caller)):

            def answered(status: int, now: float, to: Side = to) -> None:
                talk.probed -= 1
                if status in (408, 481) and not call.over:
                    side = "caller" if to is talk.caller else "callee"
                    self.hang_up(call, f"the {side} answers {status}", now)

            talk.probed += 1
            if not send(self._core.proxy.client, "OPTIONS", call.call_id, to, other, now, answered):
                talk.probed -= 1

    def hang_up(self, call: Call, why: str, now: float) -> None:
        """Send a BYE to both sides of each dialog, or cancel an INVITE that is not answered."""
        reason = f'SIP;cause=200;text="{why}"'
        if call.request is not None:
            # It ends with its final response, or is hung up with a 2xx that crosses the CANCEL.
            call.given_up = why
            call.request.now = now
            call.request.cancel(now, reason)
            return
        for talk in call.talks.values():
            for to, other in ((talk.caller, talk.callee), (talk.callee, talk.caller)):
                send(self._core.proxy.client, "BYE", call.call_id, to, other, now, _ignore, reason)
        self._end(call, "server", why, now)


def _ignore(_status: int, _now: float) -> None:
    """An answer that changes nothing: the call is over here."""
