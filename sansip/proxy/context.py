"""The response context: all branches of one request, and which response goes back.

Theory of operation: RFC 3261 16.7. Groups of targets are tried one after the
other, the members of a group at once. Provisional responses and every 2xx to an
INVITE go back immediately (``way_back``); when no branch is left the best failure goes back,
or is handed to the route that waits for it (``on_failure``), which may relay
again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sansip.proxy.best_response import add_challenges, choose, slim
from sansip.proxy.branch import Branch
from sansip.proxy.recursion import Redirects
from sansip.proxy.target import TargetQueue
from sansip.proxy.validation import breadth_of
from sansip.proxy.way_back import WayBack

if TYPE_CHECKING:
    from sansip.clock import Timer
    from sansip.proxy.budget import Budget
    from sansip.proxy.forwarding import Forwarding
    from sansip.proxy.proxy import Proxy
    from sansip.proxy.target import Target
    from sansip.transaction import ServerTransaction
    from sansip.transport.dns import Place
    from sansip.wire import Response

__all__ = ["ResponseContext"]

# RFC 3326: told to the losers of a fork, so that a phone shows no missed call.
_ANSWERED = 'SIP;cause=200;text="Call completed elsewhere"'


class ResponseContext(WayBack):
    """One request being relayed statefully.

    Attributes:
        cancelled: whether the caller gave up.
        failure: the best failure, which the route was given, or may still ask for, and has to decide on.
    """

    __slots__ = (
        "_branches",
        "_breadth",
        "_declined",
        "_give_up_timer",
        "_holding",
        "_queue",
        "_redirects",
        "_running",
        "_started",
        "cancelled",
        "counted",
        "failure",
        "keeps_outcome",
        "on_failure",
        "on_success",
        "outcome",
    )

    def __init__(self, proxy: Proxy, forwarding: Forwarding, server: ServerTransaction) -> None:
        super().__init__(proxy, forwarding, server)
        # The source and the callee that it counts for while it waits (``Proxy.pending``).
        self.counted: tuple[str, str] | None = None
        # A route that waits for the outcome: given the best failure instead of
        # its being sent, or told that a 2xx went back.
        self.on_failure: Callable[[Response, float], None] | None = None
        self.on_success: Callable[[Response, float], None] | None = None
        # The 2xx that came before the route asked for it; None once it will not ask.
        self.outcome: Response | None = None
        self.keeps_outcome = True
        # The end of the targets' ringing.
        self._give_up_timer: Timer | None = None
        self.failure: Response | None = None
        self._holding = False
        self._branches: list[Branch] = []
        self._queue = TargetQueue(proxy.limits.branches)
        self._redirects: Redirects | None = None
        # Branches without a final response.
        self._running = 0
        # How many branches there may be at once; raises where it is malformed.
        self._breadth = breadth_of(self.request, proxy.limits.max_breadth)
        self.cancelled = False
        # A 6xx came: nothing more is tried (RFC 3261 16.7 step 5).
        self._declined = False
        # When it was first relayed.
        self._started = 0.0

    @property
    def budget(self) -> Budget:
        """The budget that is left for the generations of its request (``sansip.proxy.budget``)."""
        return self.forwarding.budget

    # --- forwarding

    def resume(
        self,
        target: Target,
        breadth: int,
        started: float,
        early: tuple[str, ...],
        tag: str | None,
        counted: tuple[str, str] | None,
    ) -> Branch:
        """Go on with a request that ``proxy.usual`` has sent to ``target``; return the branch of it."""
        self._queue.begin_with_one()
        self._running = 1
        self._started = started
        self._early = early
        self._tag = tag
        self.counted = counted
        branch = Branch(self.proxy, self.forwarding, self, target, breadth)
        self._branches.append(branch)
        return branch

    def resume_timer(self, timer: Timer | None) -> None:
        """Go on with the timer of the 100 to a request that is no INVITE."""
        self._trying_timer = timer
        if timer is not None:
            timer.owner = self

    def relay(
        self, targets: list[Target], now: float, ring: float | None = None, answer: float | None = None
    ) -> None:
        """Try ``targets`` (at least one) in the order of their q.

        ``ring``: seconds after which those of them that have not answered are given up;
        ``answer``: seconds for each to give any response at all.

        Raises ``LocalProtocolError`` once ``limits.branches`` have been tried: a
        route that relays until something works must come to an end.
        """
        if self.done or (self._declined and self._running):
            return
        self._queue.put(targets)
        forwarding, proxy = self.forwarding, self.proxy
        self.failure = None
        self._declined = False
        forwarding.answer = answer
        if self._give_up_timer is not None:
            self._give_up_timer.cancel()
        self._give_up_timer = None if ring is None else proxy.timers.start(now, ring, self, "ring")
        self._started = self._started or now
        self._promise(now)
        # A failure before this returns is kept for the route, which could not wait for it yet.
        self._holding = True
        try:
            self._start_group(now)
        finally:
            self._holding = False

    def _start_group(self, now: float) -> None:
        # RFC 5393 5.3.3: the breadths of all branches in progress sum up to no more than that of the request.
        breadth = self._breadth
        queue, budget = self._queue, self.forwarding.budget
        if self._running:
            breadth -= sum(branch.breadth for branch in self._branches if branch.final is None)
            if breadth < 1:
                return
        elif breadth < 1:
            # RFC 5393 5.3.3: not even one branch is allowed.
            queue.clear()
            self._conclude(self._own(440, "Max-Breadth Exceeded"), now)
            return
        group = queue.take(breadth)
        if len(group) > budget.left:
            self.proxy.notices.reached("branches_in_all", self.server.flow.host, now)
            group = group[: budget.left]
            queue.clear()
            if not group:
                if self._branches:
                    self._check(now)
                else:
                    self._conclude(self._own(482, "Too Many Branches"), now)
                return
        budget.left -= len(group)
        share, rest = divmod(breadth, len(group))
        branches = [self._branch(target, share + (index < rest)) for index, target in enumerate(group)]
        self._running += len(branches)
        self._branches += branches
        for branch in branches:
            if branch.final is None:
                branch.start(now)

    def _branch(self, target: Target, breadth: int) -> Branch:
        if target.binding is None:
            self.forwarding.strange = True
        return Branch(self.proxy, self.forwarding, self, target, breadth)

    # --- called by the branches

    def claim(self, branch: Branch, place: Place) -> bool:
        """Whether ``place`` is for ``branch`` to try; False where another one has it."""
        return self._queue.claim(branch, place)

    def withdraw(self, branch: Branch, now: float) -> None:
        """Another branch leads where ``branch`` would: it is as if there had been no such target."""
        self._branches.remove(branch)
        self._running -= 1
        self._check(now)

    def can_fail_over(self, branch: Branch) -> bool:
        """Whether there is another flow of the phone that ``branch`` leads to."""
        return (
            self._queue.has_spare(branch.target.instance)
            and self.forwarding.budget.left > 0
            and not (self.cancelled or self._declined or self.done)
        )

    def fail_over(self, failed: Branch, now: float) -> bool:
        """Try another flow of the instance of ``failed``, whose own is dead; return whether there is one.

        RFC 5626 7, RFC 5627 6.1: the failed branch is replaced, as if it had not been.
        """
        if not self.can_fail_over(failed):
            return False
        self.forwarding.budget.left -= 1
        branch = self._branch(self._queue.take_spare(failed.target.instance), failed.breadth)
        self._branches[self._branches.index(failed)] = branch
        branch.start(now)
        return True

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
