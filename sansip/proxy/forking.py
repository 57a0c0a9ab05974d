"""The branches of one request: which targets are tried, and when (RFC 3261 16.6, RFC 5393 5.3).

Theory of operation: groups of targets are tried one after the other, the members of a group at once, within
the breadth that the request brought and the budget of all its generations. A branch whose flow is dead is
replaced by another of the same phone. What the branches answer is in ``ResponseContext``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sansip.proxy.branch import Branch
from sansip.proxy.target import TargetQueue
from sansip.proxy.validation import breadth_of
from sansip.proxy.way_back import WayBack

if TYPE_CHECKING:
    from sansip.clock import Timer
    from sansip.proxy.budget import Budget
    from sansip.proxy.forwarding import Forwarding
    from sansip.proxy.proxy import Proxy
    from sansip.proxy.recursion import Redirects
    from sansip.proxy.target import Target
    from sansip.transaction import ServerTransaction
    from sansip.transport.dns import Place
    from sansip.wire import Response

__all__ = ["Forking"]


class Forking(WayBack):
    """One request, and the branches it has.

    Attributes:
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
        made: Callable[..., Branch],
    ) -> Branch:
        """Go on with a request that ``proxy.usual`` has sent to ``target``; return the branch of it.

        ``made`` makes that.
        """
        self._queue.begin_with_one()
        self._running = 1
        self._started = started
        self._early = early
        self._tag = tag
        self.counted = counted
        branch = made(self.proxy, self.forwarding, self, target, breadth)
        self._branches.append(branch)
        return branch

    def hold_failures(self) -> None:
        """Keep a failure for the route, which could not wait for it yet, until ``stop_holding``."""
        self._holding = True

    def stop_holding(self) -> None:
        """The route may wait from now on."""
        self._holding = False

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

    # --- what the response context says

    def final_received(self, response: Response, first: bool, now: float) -> None:
        """A final response of a branch, without our Via, or one made in its place."""
        raise NotImplementedError

    def ring_left(self, now: float) -> float:
        """For how many seconds an INVITE may still ring."""
        raise NotImplementedError

    def ring_out(self, now: float) -> None:
        """It has rung for as long as it may."""
        raise NotImplementedError

    def _check(self, now: float) -> None:
        """Go on, or conclude, where no branch is left."""
        raise NotImplementedError

    def _conclude(self, best: Response, now: float) -> None:
        """Nothing more is tried."""
        raise NotImplementedError
