"""The response context: all branches of one request, and what goes back.

Theory of operation: RFC 3261 16.7. Groups of targets are tried one after the
other, the members of a group at once. Provisional responses and every 2xx to an
INVITE go back immediately; when no branch is left the best failure goes back,
or is handed to the route that waits for it (``on_failure``), which may relay
again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from sansip.errors import LocalProtocolError
from sansip.proxy.best_response import add_challenges, choose, slim
from sansip.proxy.branch import Branch
from sansip.proxy.budget import Budget
from sansip.proxy.recursion import Redirects
from sansip.proxy.returning import take_back
from sansip.proxy.ringing import begin
from sansip.proxy.target import Target, groups
from sansip.proxy.validation import breadth_of
from sansip.transport.flow import ensure_length
from sansip.wire import response_to

if TYPE_CHECKING:
    from sansip.auth import Account
    from sansip.clock import Timer
    from sansip.proxy.dialog_mark import Recording
    from sansip.proxy.path import PathValue
    from sansip.proxy.proxy import Proxy
    from sansip.transaction import ClientTransaction, ServerTransaction
    from sansip.transport.dns import Place
    from sansip.wire import Request, Response

__all__ = ["ResponseContext"]

# RFC 3326: told to the losers of a fork, so that a phone shows no missed call.
_ANSWERED = 'SIP;cause=200;text="Call completed elsewhere"'


class ResponseContext:
    """One request being relayed statefully."""

    __slots__ = (
        "_branches",
        "_breadth",
        "_cancelled",
        "_confirmed",
        "_declined",
        "_done",
        "_early",
        "_failure",
        "_give_up_timer",
        "_holding",
        "_pending",
        "_redirects",
        "_request",
        "_running",
        "_started",
        "_tag",
        "_tried",
        "_trying_timer",
        "accounts",
        "answer",
        "budget",
        "came",
        "counted",
        "cseq",
        "handle",
        "hashed",
        "is_invite",
        "keeps_outcome",
        "leaves",
        "listener",
        "marked",
        "on_failure",
        "on_success",
        "outcome",
        "path",
        "places",
        "proxy",
        "record_if_raised",
        "record_route",
        "recording",
        "server",
        "spare",
        "strange",
    )

    def __init__(
        self,
        proxy: Proxy,
        request: Request,
        server: ServerTransaction,
        hashed: str,
        listener: int,
        budget: Budget | None = None,
    ) -> None:
        self.proxy = proxy
        # Of the request that this one is a branch of, where it came back here.
        self.budget = budget or Budget(proxy.limits.branches_in_all)
        self._request: Request | None = request
        self.server = server
        self.hashed = hashed
        # What stands for the request where modules look at it; None where none does.
        self.handle: Any = None
        # The listener that the request came by, and the one to send from where
        # the target does not say.
        self.listener = self.leaves = listener
        self.is_invite = request.method == "INVITE"
        # What our Record-Route values say; None: do not record.
        self.record_route: Recording | None = None
        # The same, for answers: within a dialog also where nothing is recorded.
        self.recording: Recording | None = None
        # The source and the callee that it counts for while it waits (``Proxy.pending``).
        self.counted: tuple[str, str] | None = None
        # What a REGISTER that we pass on gets into its Path.
        self.path: PathValue | None = None
        # The flow token of the caller's side for it, or "".
        self.came = ""
        # A route that waits for the outcome: given the best failure instead of
        # its being sent, or told that a 2xx went back.
        self.on_failure: Callable[[Response, float], None] | None = None
        self.on_success: Callable[[Response, float], None] | None = None
        # The 2xx that came before the route asked for it; None once it will not ask.
        self.outcome: Response | None = None
        self.keeps_outcome = True
        # Seconds in which each target has to be heard of, and the end of its ringing.
        self.answer: float | None = None
        self._give_up_timer: Timer | None = None
        # The failure that the route was given, or may still ask for, and has not
        # decided on.
        self._failure: Response | None = None
        self._holding = False
        self._branches: list[Branch] = []
        self._pending: list[list[Target]] = []
        self._redirects: Redirects | None = None
        # Instance -> its targets that are tried where the flow of one failed.
        self.spare: dict[str, list[Target]] = {}
        # Whether a target is none of our users.
        self.strange = False
        # Who of the targets that go ``alone`` has which place; None for one target.
        self.places: dict[Place, Branch] | None = None
        # Branches without a final response.
        self._running = 0
        # Targets tried so far, of all relays of the route.
        self._tried = 0
        # How many branches there may be at once; raises where it is malformed.
        self._breadth = breadth_of(request, proxy.limits.max_breadth)
        self._cancelled = False
        # A 6xx came: nothing more is tried (RFC 3261 16.7 step 5).
        self._declined = False
        self._done = False
        # When it was first relayed.
        self._started = 0.0
        # To tags of the dialogs that its answers began.
        self._early: tuple[str, ...] = ()
        self._confirmed: tuple[str, ...] = ()
        self._tag: str | None = None
        self._trying_timer: Timer | None = None
        # Accounts to answer challenges with, before those of the configuration;
        # None: nothing is answered and no CSeq is changed.
        self.accounts: Sequence[Account] | None = None
        # What ``record_route`` becomes once CSeq was raised; None within a dialog.
        self.record_if_raised: Recording | None = None
        # What our Record-Route value says was added to CSeq in this dialog.
        self.marked = 0
        # The sender's CSeq line, once a branch has another one.
        self.cseq = ""

    def keep_cseq(self, request: Request) -> None:
        """Have responses say the CSeq of ``request`` instead of the one that was sent on."""
        self.cseq = request.first_line("cseq") or ""

    @property
    def request(self) -> Request:
        """The request as received; let go once nothing can need it any more."""
        assert self._request is not None
        return self._request

    @property
    def cancelled(self) -> bool:
        """Whether the caller gave up."""
        return self._cancelled

    @property
    def done(self) -> bool:
        """Whether a final response went back."""
        return self._done

    @property
    def failure(self) -> Response | None:
        """The best failure, where the route has to decide on it."""
        return self._failure

    def local_tag(self) -> str:
        """The To tag of responses made here for this request (RFC 3261 8.2.6.2)."""
        if self._tag is None:
            self._tag = self.proxy.entropy.token()
        return self._tag

    # --- forwarding

    def relay(
        self, targets: list[Target], now: float, ring: float | None = None, answer: float | None = None
    ) -> None:
        """Try ``targets`` (at least one) in the order of their q.

        ``ring``: seconds after which those of them that have not answered are given up;
        ``answer``: seconds for each to give any response at all.

        Raises ``LocalProtocolError`` once ``limits.branches`` have been tried: a
        route that relays until something works must come to an end.
        """
        if self._done or (self._declined and self._running):
            return
        proxy = self.proxy
        targets = targets[: proxy.limits.branches - self._tried]
        if not targets:
            raise LocalProtocolError("more targets for one request than limits.branches")
        self._tried += len(targets)
        self.places = None
        if len(targets) > 1:
            self.places = {}
            targets = self._one_each(targets)
        self._failure = None
        self._declined = False
        self.answer = answer
        if self._give_up_timer is not None:
            self._give_up_timer.cancel()
        self._give_up_timer = None if ring is None else proxy.timers.start(now, ring, self, "ring")
        request = self.request
        self._started = self._started or now
        if self.is_invite:
            if not self.server.last:
                # RFC 3261 17.2.1: within 200 ms, so that the caller stops resending.
                self.server.respond(response_to(request, 100, to_tag=None), now)
        elif self._trying_timer is None:
            # RFC 4320 4.1: 100 to a non-INVITE neither earlier nor later.
            self._trying_timer = proxy.timers.start(now, proxy.trying_after, self, "trying")
        self._pending = groups(targets) + self._pending
        # What fails before this returns is kept for the route, which has had no
        # chance yet to wait for it.
        self._holding = True
        try:
            self._start_group(now)
        finally:
            self._holding = False

    def _one_each(self, targets: list[Target]) -> list[Target]:
        """Return ``targets`` with one for each instance (RFC 5626 7), the first; keep the others."""
        self.spare = {}
        chosen = []
        for target in targets:
            if not target.instance:
                chosen.append(target)
            elif target.instance in self.spare:
                self.spare[target.instance].append(target)
            else:
                self.spare[target.instance] = []
                chosen.append(target)
        return chosen

    def can_fail_over(self, branch: Branch) -> bool:
        """Whether there is another flow of the phone that ``branch`` leads to."""
        spare = self.spare.get(branch.target.instance)
        return bool(spare) and self.budget.left > 0 and not (self._cancelled or self._declined or self._done)

    def fail_over(self, failed: Branch, now: float) -> bool:
        """Try another flow of the instance of ``failed``, whose own is dead; return whether there is one.

        RFC 5626 7, RFC 5627 6.1: the failed branch is replaced, as if it had not been.
        """
        if not self.can_fail_over(failed):
            return False
        self.budget.left -= 1
        target = self.spare[failed.target.instance].pop(0)
        # It takes the place of another: whose it is has been seen to.
        target.alone = False
        branch = Branch(self, target, failed.breadth)
        self._branches[self._branches.index(failed)] = branch
        branch.start(now)
        return True

    def withdraw(self, branch: Branch, now: float) -> None:
        """Another branch leads where ``branch`` would: it is as if there had been no such target."""
        self._branches.remove(branch)
        self._running -= 1
        self._check(now)

    def _start_group(self, now: float) -> None:
        # RFC 5393 5.3.3: the breadths of all branches in progress sum up to
        # no more than what came in.
        breadth = self._breadth
        if self._running:
            breadth -= sum(branch.breadth for branch in self._branches if branch.final is None)
            if breadth < 1:
                return
        elif breadth < 1:
            # RFC 5393 5.3.3: not even one branch is allowed.
            self._pending = []
            self._conclude(
                response_to(self.request, 440, "Max-Breadth Exceeded", to_tag=self.local_tag()), now
            )
            return
        group = self._pending.pop(0)
        if len(group) > breadth:
            # What cannot be tried in parallel is tried after it.
            self._pending.insert(0, group[breadth:])
            group = group[:breadth]
        if len(group) > self.budget.left:
            self.proxy.notices.reached("branches_in_all", self.server.flow.host, now)
            group = group[: self.budget.left]
            self._pending = []
            if not group:
                if self._branches:
                    self._check(now)
                else:
                    tag = self.local_tag()
                    self._conclude(response_to(self.request, 482, "Too Many Branches", to_tag=tag), now)
                return
        self.budget.left -= len(group)
        share, rest = divmod(breadth, len(group))
        self.strange = self.strange or any(target.binding is None for target in group)
        branches = [Branch(self, target, share + (index < rest)) for index, target in enumerate(group)]
        self._running += len(branches)
        self._branches += branches
        for branch in branches:
            if branch.final is None:
                branch.start(now)

    # --- called by the branches

    def provisional_received(self, response: Response, now: float) -> None:
        """A provisional response other than 100, without our Via."""
        # RFC 4320 4.1: nothing but 100 goes back on a non-INVITE.
        if self.is_invite and not self._done:
            proxy = self.proxy
            early = begin(self._early, response.to_tag, proxy.limits.early_dialogs, proxy.entropy)
            if early is None:
                proxy.notices.reached("early_dialogs", self.server.flow.host, now)
                return
            self._early = early
            # RFC 3261 16.7 step 5: every provisional response but 100.
            if self.handle is None:
                self.server.respond(response, now)
            else:
                proxy.hooks.answering(self.handle, response, partial(self.server.respond, response), now)

    def final_received(self, response: Response, first: bool, now: float) -> None:
        """A final response of a branch, without our Via, or one made in its place."""
        status = response.status
        if first:
            self._running -= 1
        if status < 300:
            if self.is_invite:
                self._accept(response, now)
            elif not self._done:
                path = self.path
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
            self._pending = []
            self._cancel_branches(now, None)
        elif status < 400 and first and self.proxy.config.recurse:
            self._follow(response)
        self._check(now)

    def _follow(self, response: Response) -> None:
        """Try what a 3xx points at (RFC 3261 16.7 step 4)."""
        if self._cancelled or self._declined or self._done:
            return
        asked = self.request.uri
        tried = [branch.target for branch in self._branches] + [
            one for group in self._pending for one in group
        ]
        names = {str(asked if one.uri is None else one.uri) for one in tried}
        if self._redirects is None:
            self._redirects = Redirects(names)
        self._redirects.known |= names
        proxy = self.proxy
        most = proxy.limits.branches - self._tried
        targets = self._redirects.follow(response, asked, most, proxy.config.one_branch)
        if targets:
            # Each redirection is an answer that somebody sent: one request for each.
            self.places = {}
            self._tried += len(targets)
            self._pending = groups(targets) + self._pending

    def _accept(self, response: Response, now: float) -> None:
        # RFC 3261 16.7 step 5: every 2xx goes back at once, even after another
        # final response, when the machine does not take it any more; but RFC 6026
        # 8.3: not without a machine.
        server, proxy = self.server, self.proxy
        confirmed = begin(self._confirmed, response.to_tag, proxy.limits.early_dialogs, proxy.entropy)
        if confirmed is None:
            proxy.notices.reached("early_dialogs", server.flow.host, now)
            return
        self._confirmed = confirmed
        if self.handle is None:
            self._send_accepted(response, now)
        else:
            go = partial(self._pass_accepted, self.handle, response, not self._done)
            proxy.hooks.answering(self.handle, response, go, now)
        if not self._done:
            self._end(now)
            self._pending = []
            # RFC 3261 16.7 step 10: the other branches are cancelled.
            if self._running:
                self._cancel_branches(now, _ANSWERED)
            self._succeed(response, now)

    def _pass_accepted(self, handle: Any, response: Response, first: bool, now: float) -> None:
        hooks = self.proxy.hooks
        hooks.accepted(handle, response, self._send_accepted(response, now))
        if first:
            hooks.done(handle, now)
        self._release()

    def _send_accepted(self, response: Response, now: float) -> bytes:
        """Send a 2xx to an INVITE back; return its octets."""
        ensure_length(response, self.server.flow)
        data = response.to_bytes()
        self.send_octets(data, now)
        return data

    def send_octets(self, data: bytes, now: float) -> None:
        """Send a 2xx to an INVITE back, for the first time or again."""
        server = self.server
        if server.state == "proceeding" or server.state == "accepted":
            server.feed("send 2xx", data, now)
        elif server.state != "terminated":
            self.proxy.sender.send(server.flow, data, now)

    def _release(self) -> None:
        # What is left of a call that is set up waits 32 s for a second 2xx,
        # and there are thousands of those: they keep nothing.
        if self._done and not self._running:
            self._request = None
            self._branches = []
            handle = self.handle
            if handle is not None and self.server.answered:
                # Neither is to keep the other when the transactions are gone.
                handle.leave_context()
                if not self._confirmed or not self.proxy.hooks.changes_responses:
                    # Nobody looks at it any more; after a 2xx to an INVITE another one may come.
                    self.handle = None

    def _succeed(self, response: Response, now: float) -> None:
        if self.on_success is not None:
            on_success, self.on_success = self.on_success, None
            on_success(response, now)
        elif self.keeps_outcome:
            self.outcome = response

    def _check(self, now: float) -> None:
        if self._running:
            if not self._done and len(responses := self._failures()) > 1:
                slim(responses, choose(self._kept(responses)))
            return
        if self._done:
            self._release()
            return
        if self._pending and not self._cancelled:
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
        if self._cancelled:
            # RFC 3261 9.2: the caller gets his 487 at once; the route that waits
            # may do its book-keeping, and decides nothing any more.
            self.send_best(best, now)
            if on_failure is not None:
                on_failure(best, now)
        elif on_failure is not None:
            self._branches = []
            self._failure = best
            on_failure(best, now)
        elif self._holding:
            self._branches = []
            self._failure = best
        else:
            self.send_best(best, now)

    def send_best(self, best: Response, now: float) -> None:
        """Send the chosen failure back, as 16.7 step 6 and RFC 4320 shape it."""
        if best.status == 408 and not self.is_invite:
            # RFC 4320 4.2: too late for anybody to use; and it would make the
            # next element time out as well.
            self._end(now)
            self.server.abandon(now)
            if self.handle is not None:
                self.proxy.hooks.done(self.handle, now)
            self._release()
            return
        if best.status == 503:
            # RFC 3261 16.7 step 6: a 503 would tell the caller that we are overloaded.
            best = response_to(self.request, 500, to_tag=self.local_tag())
        self._finish(best, now)

    def reply(self, response: Response, now: float) -> None:
        """Answer from here instead of with a branch's response."""
        if not self._done:
            self._pending = []
            self._finish(response, now)
            self._cancel_branches(now, None)

    def _finish(self, response: Response, now: float) -> None:
        self._end(now)
        if self.handle is None:
            self.server.respond(response, now)
        else:
            go = partial(self._pass_final, self.handle, response)
            self.proxy.hooks.answering(self.handle, response, go, now)
            return
        self._release()

    def _pass_final(self, handle: Any, response: Response, now: float) -> None:
        self.server.respond(response, now)
        self.proxy.hooks.done(handle, now)
        self._release()

    def release_failure(self, now: float) -> None:
        """The route ended without deciding on the failure it had: send that."""
        if self._failure is not None and not self._done:
            self.send_best(self._failure, now)

    def _end(self, now: float) -> None:
        self._done = True
        if self.counted is not None:
            self.proxy.pending.remove(*self.counted)
            self.counted = None
        self._failure = None
        self.on_failure = None
        if self._give_up_timer is not None:
            self._give_up_timer.cancel()
            self._give_up_timer = None
        if self._trying_timer is not None:
            self._trying_timer.cancel()
            self._trying_timer = None

    # --- the user of client transactions whose branch is done

    def response_received(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        """A further 2xx, from another branch of a fork downstream (RFC 6026 7.2)."""
        take_back(
            self.proxy,
            response,
            transaction.flow,
            caller=self.server.flow,
            stranger=self.strange,
            recording=self.recording,
            cseq=self.cseq,
        )
        if response.has("via"):
            self._accept(response, now)

    def client_failed(self, transaction: ClientTransaction, reason: str, now: float) -> None:
        """Nothing is waited for any more."""

    # --- the user of the server transaction

    def ack_received(self, transaction: ServerTransaction, ack: Request, now: float) -> None:
        """An ACK with the INVITE's branch in Accepted: the stack routes it like any other."""

    def server_failed(self, transaction: ServerTransaction, reason: str, now: float) -> None:
        """Nobody acknowledged the failure: there is nothing left to do."""

    # --- cancelling and timers

    def cancel(self, now: float, reason: str | None = None) -> None:
        """The caller gave up (RFC 3261 16.10): cancel what is pending."""
        if not self._done:
            self._cancelled = True
            self._pending = []
        if self.handle is not None:
            self.proxy.hooks.cancelled(self.handle, now)
        if self._done:
            return
        self._cancel_branches(now, reason)
        if not self._running and not self._done:
            # Nothing was pending downstream (a route was deciding).
            self._finish(response_to(self.request, 487, to_tag=self.local_tag()), now)

    def ring_left(self, now: float) -> float:
        """For how many seconds an INVITE may still ring."""
        return self._started + self.proxy.limits.ring_time - now

    def ring_out(self, now: float) -> None:
        """It has rung for ``limits.ring_time``: what rings is cancelled, and nothing more is tried."""
        if self._done:
            return
        self.proxy.notices.reached("ring_time", self.server.flow.host, now)
        self._pending = []
        best = response_to(self.request, 408, "Rang Too Long", to_tag=self.local_tag())
        on_failure = self.on_failure
        self._finish(best, now)
        self._cancel_branches(now, None)
        if on_failure is not None:
            # The route that waits may do its book-keeping.
            on_failure(best, now)

    def _cancel_branches(self, now: float, reason: str | None) -> None:
        for branch in list(self._branches):
            branch.cancel(now, reason)

    def _give_up(self, now: float) -> None:
        """The route waits no longer for these targets: what rings is cancelled, the best failure counts."""
        self._pending = []
        self.spare = {}
        for branch in list(self._branches):
            branch.give_up(now)

    def timer_fired(self, name: str, now: float) -> None:
        if name == "ring":
            self._give_up_timer = None
            if not self._done and not self._cancelled:
                self._give_up(now)
            return
        self._trying_timer = None
        if not self._done and not self.server.last:
            self.server.respond(response_to(self.request, 100, to_tag=None), now)
