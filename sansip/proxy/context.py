"""The response context: all branches of one request, and which response goes back.

Theory of operation: RFC 3261 16.7. Groups of targets are tried one after the
other, the members of a group at once. Provisional responses and every 2xx to an
INVITE go back immediately (``way_back``); when no branch is left the best failure goes back,
or is handed to the route that waits for it (``on_failure``), which may relay
again.
"""

from __future__ import annotations

from sansip.proxy.best_response import add_challenges, choose, slim
from sansip.proxy.forking import Forking
from sansip.proxy.recursion import Redirects
from sansip.wire import Response

__all__ = ["ResponseContext"]

# RFC 3326: told to the losers of a fork, so that a phone shows no missed call.
_ANSWERED = 'SIP;cause=200;text="Call completed elsewhere"'


class ResponseContext(Forking):
    """One request being relayed statefully."""

    __slots__ = ()

    # --- called by the branches

    def final_received(self, response: Response, first: bool, now: float) -> None:
        """A final response of a branch, without our Via, or one made in its place."""
        status = response.status
        if first:
            self._running -= 1
        if status < 300:
            if self.forwarding.is_invite:
                self._accept(response, now)
            elif not self.done:
                path = self.forwarding.path
                if path is not None and path.note(response) and self.server.flow.conn:
                    self.proxy.sender.connections.watch(self.server.flow, path.flow_timer, now)
                self._finish(response, now)
                self._succeed(response, now)
            # This branch may have been the last that was waited for.
            self._release()
            return
        if status >= 600 and not self._declined:
            self._declined = True
            # RFC 3261 16.7 step 5: it goes back when all others have ended.
            self._queue.clear()
            self._cancel_branches(now, None)
        elif status < 400 and first and (self.proxy.config.recurse or self.forwarding.follows is not None):
            self._follow(response)
        self._check(now)

    def _follow(self, response: Response) -> None:
        """Try the contacts of a 3xx (RFC 3261 16.7 step 4)."""
        if self.cancelled or self._declined or self.done:
            return
        asked, queue = self.request.uri, self._queue
        tried = [branch.target for branch in self._branches]
        tried += [one for group in queue.pending for one in group]
        names = {str(asked if one.uri is None else one.uri) for one in tried}
        if self._redirects is None:
            self._redirects = Redirects(names)
        self._redirects.known |= names
        alone, accept = self.proxy.config.one_branch, self.forwarding.follows
        targets = self._redirects.follow(response, asked, queue.room, alone, accept)
        if targets:
            queue.put_first(targets)

    def _accept(self, response: Response, now: float) -> None:
        # RFC 3261 16.7 step 5: every 2xx goes back at once, even after another
        # final response, when the machine does not take it any more; but RFC 6026
        # 8.3: not without a machine.
        if not self._pass_2xx(response, now) or self.done:
            return
        self._end(now)
        self._queue.clear()
        # RFC 3261 16.7 step 10: the other branches are cancelled.
        if self._running:
            self._cancel_branches(now, _ANSWERED)
        self._succeed(response, now)

    def _release(self) -> None:
        # The context of a call that is set up waits 32 s for a second 2xx. There are thousands of them, so
        # they keep nothing else.
        if self.done and not self._running:
            forwarding = self.forwarding
            forwarding.request = None
            branches, self._branches = self._branches, []
            handle = forwarding.handle
            if handle is not None and self.server.answered:
                # Neither object may keep the other when the transactions are gone.
                handle.leave_context()
                if not self._confirmed or not handle.modules.hooks.changes_responses:
                    # No module looks at it any more.
                    forwarding.handle = None
                    return
                # After a 2xx to an INVITE another one may come.
                handle.rest()
                for branch in branches:
                    branch.rest()

    def _succeed(self, response: Response, now: float) -> None:
        if self.on_success is not None:
            on_success, self.on_success = self.on_success, None
            on_success(response, now)
        elif self.keeps_outcome:
            self.outcome = response

    # --- the best failure

    def _check(self, now: float) -> None:
        if self._running:
            if not self.done and len(responses := self._failures()) > 1:
                slim(responses, choose(self._kept(responses)))
            return
        if self.done:
            self._release()
            return
        if self._queue.pending and not self.cancelled:
            self._start_group(now)
            return
        responses = self._kept(self._failures())
        best = choose(responses)
        limits = self.proxy.limits
        add_challenges(best, responses, limits.challenges, limits.header_size)
        self._conclude(best, now)

    def _failures(self) -> list[Response]:
        return [branch.final for branch in self._branches if branch.final is not None]

    def _kept(self, responses: list[Response]) -> list[Response]:
        return responses if self._redirects is None else self._redirects.kept(responses)

    def _conclude(self, best: Response, now: float) -> None:
        """Nothing more is tried: the failure goes to the route that waits for it, or back."""
        on_failure, self.on_failure = self.on_failure, None
        self.on_success = None
        if self.cancelled:
            # RFC 3261 9.2: the caller gets a 487 at once. The route that waits may do its book-keeping, but
            # cannot decide on the request any more.
            self.send_best(best, now)
            if on_failure is not None:
                on_failure(best, now)
        elif on_failure is not None:
            self._branches = []
            self.failure = best
            on_failure(best, now)
        elif self._holding:
            self._branches = []
            self.failure = best
        else:
            self.send_best(best, now)

    def send_best(self, best: Response, now: float) -> None:
        """Send the chosen failure back, as 16.7 step 6 and RFC 4320 shape it."""
        if best.status == 408 and not self.forwarding.is_invite:
            # RFC 4320 4.2: it would come too late to be of use, and would make the next element time out as
            # well.
            self._end(now)
            self._pass_nothing(now)
            return
        if best.status == 503:
            # RFC 3261 16.7 step 6: a 503 would tell the caller that we are overloaded.
            best = self._own(500)
        self._finish(best, now)

    def reply(self, response: Response, now: float) -> None:
        """Answer from here instead of with a branch's response."""
        if not self.done:
            self._queue.clear()
            self._finish(response, now)
            self._cancel_branches(now, None)

    def release_failure(self, now: float) -> None:
        """The route ended without deciding on the failure it had: send that."""
        if self.failure is not None and not self.done:
            self.send_best(self.failure, now)

    def _finish(self, response: Response, now: float) -> None:
        self._end(now)
        self._pass_final(response, now)
        if self.forwarding.handle is None:
            self._release()

    def _end(self, now: float) -> None:
        self.done = True
        if self.counted is not None:
            self.proxy.pending.remove(*self.counted)
            self.counted = None
        self.failure = None
        self.on_failure = None
        if self._give_up_timer is not None:
            self._give_up_timer.cancel()
            self._give_up_timer = None
        if self._trying_timer is not None:
            self._trying_timer.cancel()
            self._trying_timer = None

    # --- cancelling and timers

    def cancel(self, now: float, reason: str | None = None) -> None:
        """The caller gave up (RFC 3261 16.10): cancel the pending branches."""
        if not self.done:
            self.cancelled = True
            self._queue.clear()
        if self.forwarding.handle is not None:
            self.proxy.hooks.cancelled(self.forwarding.handle, now)
        if self.done:
            return
        self._cancel_branches(now, reason)
        if not self._running and not self.done:
            # Nothing was pending downstream (a route was deciding).
            self._finish(self._own(487), now)

    def ring_left(self, now: float) -> float:
        """For how many seconds an INVITE may still ring."""
        return self._started + self.proxy.limits.ring_time - now

    def ring_out(self, now: float) -> None:
        """It has rung for ``limits.ring_time``: cancel the phones that ring, and try no further target."""
        if self.done:
            return
        self.proxy.notices.reached("ring_time", self.server.flow.host, now)
        self._queue.clear()
        best = self._own(408, "Rang Too Long")
        on_failure = self.on_failure
        self._finish(best, now)
        self._cancel_branches(now, None)
        if on_failure is not None:
            # The route that waits may do its book-keeping.
            on_failure(best, now)

    def _cancel_branches(self, now: float, reason: str | None) -> None:
        for branch in list(self._branches):
            branch.cancel(now, reason)

    def timer_fired(self, name: str, now: float) -> None:
        if name == "ring":
            self._give_up_timer = None
            if not self.done and not self.cancelled:
                # The route waits no longer for these targets: the context cancels the phones that ring, and
                # the best failure counts.
                self._queue.clear()
                self._queue.forget_spare()
                for branch in list(self._branches):
                    branch.give_up(now)
        else:
            super().timer_fired(name, now)
