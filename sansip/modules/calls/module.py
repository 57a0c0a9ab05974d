"""The module ``calls``: a record of each call that is relayed, and actions on it.

Theory of operation: the record is made when the first copy of an INVITE leaves. It follows the responses, and
then the requests of each dialog that a 2xx began; the BYE that is answered ends it. If no message ends a
record, time ends it: an INVITE that the caller left (``limits.ring_time``), a session that neither side
refreshes (RFC 4028), a call longer than ``max_duration``. So every record ends, whichever messages are lost,
and all counts of it end with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sansip.module import Slot, function
from sansip.modules.calls.book import UNACKED
from sansip.modules.calls.call import Call, Talk
from sansip.modules.calls.events import CallTried
from sansip.modules.calls.reinvite import Reinvite
from sansip.modules.calls.riding import Riding
from sansip.modules.calls.session import REFRESHES, Asked, ask, complete, interval_of, too_small
from sansip.modules.calls.talks import contact_of
from sansip.proxy.relayed import GONE

if TYPE_CHECKING:
    from sansip.later import Later
    from sansip.module.base import Waits
    from sansip.proxy.branch import Branch
    from sansip.routing import IncomingRequest
    from sansip.transport import Flow
    from sansip.wire import Request, Response

__all__ = ["Calls"]


class Calls(Riding):
    """Keeps a record of each call: its sides and times; counts calls, limits them, hangs them up."""

    name = "calls"
    methods = frozenset(("INVITE", "ACK", "UPDATE"))

    _asked: Slot[Asked] = Slot()
    # Of a request: the To tags whose 2xx got their Session-Expires here.
    _completed: Slot[set[str]] = Slot()

    # --- for routes and other modules

    @function
    def of(self, request: IncomingRequest) -> Call | None:
        """Return the call of a request: of an INVITE once ``limit`` or a relay made it, or of its dialog."""
        call = self._of.get(request)
        if call is None and request.in_dialog:
            call, _, _ = self._talks.side_of(request.message)
        return call

    @function
    def count(self, key: str) -> int:
        """Return how many calls count for ``key`` now."""
        return self._counts.of(key)

    @function
    async def limit(self, request: IncomingRequest, key: str, most: int) -> bool:
        """Count the call of ``request`` for ``key``; False, and not counted, where ``most`` others are.

        It counts from then on until the call ends, in any way. If calls come at the same time, exactly
        ``most`` pass. Where nodes share a Redis (``rows``) they count together; while it cannot be reached,
        each counts for itself.
        """
        call = self._begin(request)
        if call is None or call.over or not await self._counts.admit(call, key, most):
            return False
        if self._together is None or await self._together.admits(call, key, most):
            return True
        self._counts.drop(call, key)
        return False

    @function
    def hold(self, request: IncomingRequest, key: str, most: int | None = None) -> bool:
        """Do what ``limit`` does, at once: calls that come to other workers right now may pass as well."""
        call = self._begin(request)
        return call is not None and not call.over and self._counts.add(call, key, most)

    @function
    def release(self, request: IncomingRequest, key: str) -> None:
        """Count the call of ``request`` for ``key`` no longer: it went elsewhere."""
        call = self._of.get(request)
        if call is not None:
            self._counts.drop(call, key)
            if self._together is not None:
                self._together.changed(key, request.now)

    @function
    def hang_up(self, call: Call, why: str, now: float) -> None:
        """End ``call``: a BYE to both sides, or a CANCEL and a 487 while it rings."""
        if not call.over:
            self._supervision.hang_up(call, why, now)

    @function
    def reinvite(self, call: Call, talk: Talk, to_caller: bool, sdp: bytes) -> Reinvite:
        """Return a new offer to one side, as if it came from the other: await its final response."""
        core = self.core
        to = talk.caller if to_caller else talk.callee
        return Reinvite(core.proxy.client, core.proxy.shifts, call, talk, to, sdp, core.limits.early_dialogs)

    # --- the INVITE

    def _is_shown(self, call: Call, handle: IncomingRequest) -> None:
        """Note what the hooks would have noted of a call that rode until now."""
        self._of.set(handle, call)
        self._asked.set(handle, ask(handle.message, 0, 0))

    def request_received(self, request: IncomingRequest) -> bool:
        """Refuse a session that is too short (RFC 4028 8.1); take note of the ACK of a 2xx."""
        method = request.method
        if method == "ACK":
            self._acknowledged(request)
            return False
        if (method == "INVITE" or method == "UPDATE") and too_small(request.message, self.settings.min_se):
            request.reply(422, None, [("Min-SE", str(self.settings.min_se))])
            return True
        return False

    def branch_leaving(self, request: IncomingRequest, branch: Branch, message: Request) -> None:
        """Note that a request of a call leaves; give it a session timer."""
        method = request.method
        if method == "INVITE" and not request.in_dialog:
            call = self._begin(request)
            if call is not None:
                call.target = message.uri_text
                if not call.tried:
                    call.tried = True
                    self._book.tried.add()
                    self.core.tell(CallTried(call), request.now)
        elif request.in_dialog:
            target = request.flows.target if request.flows is not None else None
            over = "" if target is None or target.flow is None else target.flow.host
            call, talk, side = self._talks.leaving(message, over)
            if call is not None and talk is not None and side is not None:
                other = talk.callee if side is talk.caller else talk.caller
                if request.from_dialog or message.uri_text == other.target:
                    # It goes to the other side; who aims it elsewhere ends nobody's call.
                    self._of.set(request, call)
                    side.cseq = max(side.cseq, message.cseq.number)
        if method in REFRESHES:
            self._asked.set(request, ask(message, self.settings.session_expires, self.settings.min_se))

    def response_received(self, request: IncomingRequest, branch: Branch, response: Response) -> None:
        """Take a 2xx: it begins a dialog of the call, or refreshes one."""
        if response.status >= 300 or response.status < 200 or request.method not in REFRESHES:
            return
        asked = self._asked.get(request)
        if asked is not None and complete(response, asked):
            tags = self._completed.get(request) or set()
            if len(tags) < self.core.limits.early_dialogs:
                self._completed.set(request, tags | {response.to_tag or ""})
        call = self._of.get(request)
        if call is None or call.over:
            return
        if request.in_dialog:
            self._refreshed(call, request, response, request.now)
            return
        if call.request is not None or call.state == "answered":
            # Whether the caller hears of it is not certain yet: ``response_leaving`` is.
            transaction, most = branch.transaction, self.core.limits.early_dialogs
            answers = call.answers
            if answers is None:
                answers = call.answers = {}
            if len(answers) < most:
                flow = None if transaction is None else transaction.flow
                answers[response.to_tag or ""] = (branch.target, flow)

    def response_leaving(self, request: IncomingRequest, response: Response) -> Waits:
        """Follow the responses that the caller gets to its INVITE; hold the 2xx until its call is kept."""
        if request.method != "INVITE" or request.in_dialog:
            return None
        call = self._of.get(request)
        if call is None:
            return None
        now, status = request.now, response.status
        if status < 200:
            if status != 100 and call.rang is None and call.state == "calling":
                self._book.move(call, "rings", now)
        elif status < 300:
            self._accepted(call, request, response, now)
            if self.settings.keep and not call.over:
                return _until(self._keeping.put(call, now))
        elif call.request is request:
            call.status = status
            by = "caller" if status == 487 and request.cancelled else "callee"
            if request.context is None or call.given_up:
                by = "server"
            self._book.end(call, by, call.given_up or f"{status} {response.reason}", now)
        return None

    def request_ended(self, request: IncomingRequest) -> None:
        """Let go of the request of a call that is answered."""
        call = self._of.get(request)
        if call is not None and call.request is request and not call.over:
            call.request = None
            if call.state != "answered":
                # Its answer was lost on the way to the caller (RFC 3261 17.2.4), or it was dropped.
                self._book.end(call, "server", "no answer left", request.now)

    def _accepted(self, call: Call, request: IncomingRequest, response: Response, now: float) -> None:
        first = call.state in ("calling", "ringing")
        if call.tried:
            target, flow = (call.answers or {}).pop(response.to_tag or "", (None, None))
            self._add_talk(call, request, response, flow)
            if first and target is not None:
                call.won = target
                call.target = str(target.uri or call.target)
        self._book.goes_on(call, response.status if first else 0, now)

    def _add_talk(self, call: Call, request: IncomingRequest, response: Response, flow: Flow | None) -> None:
        if call.over:
            return
        flows, proven = (request.flow, flow), not request.is_stranger
        talk = self._talks.begin(call, self.core.listeners, request.message, response, flows, proven)
        if talk is not None:
            talk.unacked = request.now + UNACKED
            self._expects(talk, request, response, request.now)

    def _acknowledged(self, request: IncomingRequest) -> None:
        """The ACK of a 2xx came: by the caller's own Route value, for the callee knows the tags, too."""
        if not (request.from_dialog or not self.core.proxy.config.dialog_tokens):
            return
        _, talk, side = self._talks.side_of(request.message)
        if talk is not None and side is talk.caller:
            talk.unacked = None

    # --- within a dialog

    def _refreshed(self, call: Call, request: IncomingRequest, response: Response, now: float) -> None:
        talk, side = self._talks.side_in(call, request.message)
        if side is None or talk is None:
            return
        other = talk.callee if side is talk.caller else talk.caller
        # RFC 3261 12.2.1.2, 12.2.2, RFC 3311 5.2: both ends may have a new remote target.
        side.target = contact_of(request.message) or side.target
        other.target = contact_of(response) or other.target
        self._expects(talk, request, response, now)
        self._book.look_again(call, now)
        if self.settings.keep:
            self._keeping.put(call, now)

    def _expects(self, talk: Talk, request: IncomingRequest, response: Response, now: float) -> None:
        """Note when the session ends unless it is refreshed."""
        seconds = interval_of(response)
        # RFC 4028 11: no peer has us look at its call more often than the least that is let through.
        length = max(seconds or 0, self.settings.min_se)
        talk.expires = None if seconds is None else now + length
        talk.interval = 0.0 if seconds is None else length
        talk.alone = length if (response.to_tag or "") in (self._completed.get(request) or ()) else 0.0

    def branch_ended(self, request: IncomingRequest, branch: Branch, status: int) -> None:
        """End a dialog whose BYE is answered, or one that a side does not know any more."""
        if not request.in_dialog:
            return
        method = request.method
        if method == "BYE":
            if not (200 <= status < 300 or status in GONE):
                return
        elif not (status == 481 and method in REFRESHES):
            return
        call = self._of.get(request)
        if call is None or call.over:
            return
        talk, side = self._talks.side_in(call, request.message)
        if talk is None:
            return
        by = "caller" if side is talk.caller else "callee"
        self._book.over(
            call, talk, by, "hung up" if method == "BYE" else f"{status} to {method}", request.now
        )


async def _until(kept: Later[None]) -> None:
    await kept
