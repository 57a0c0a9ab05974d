"""The usual relay of a request that modules look at: their hooks are called, and it stays one object.

Theory of operation: this is ``Usual`` over transactions, with each hook called where a response context and
its branch call it, in the same order. A hook gets a message and a branch that nobody has read yet
(``sansip.wire.unread``, ``sansip.proxy.unseen``): if no hook looks, octets go on as without modules. What a
hook has read leaves as it is after the hook. While a hook waits with the copy of an INVITE, or with its first
2xx, this stays as well. A hook that looks into the branch, refuses the copy, waits with something else, or
turns a response into one of another class, makes this a response context with one branch, in the state that
these would be in at that moment; and they go on. ``WatchedPair`` (``proxy.watched_pair``) does the same
without transactions, for as long as no module looks at anything.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from sansip.client.via import seal
from sansip.proxy.context import ResponseContext
from sansip.proxy.hooks import waits_of
from sansip.proxy.pair import Pair
from sansip.proxy.returning import take_back
from sansip.proxy.ringing import begin
from sansip.proxy.unseen import fill_over, is_over, is_unseen, seen, unseen
from sansip.transport.flow import ensure_length
from sansip.transport.next_hop import NextHop
from sansip.transport.transports import UDP
from sansip.wire import read_again
from sansip.wire.echo import Echo
from sansip.wire.unread import UnreadRequest, UnreadResponse, unread_request, unread_response

if TYPE_CHECKING:
    from collections.abc import Callable

    from sansip.proxy.branch import Branch
    from sansip.proxy.proxy import Proxy
    from sansip.proxy.target import Target
    from sansip.proxy.usual import Lines
    from sansip.transaction import ClientTransaction, ServerTransaction
    from sansip.transport import Flow, Listener
    from sansip.wire import Request, Response

__all__ = ["GROWTH", "Watched"]

# A copy within so many octets of the size for TCP may need another copy of its own (``Leaving``).
GROWTH: Final = 400


class Watched(Pair):
    """One request on its way to its one target, before the eyes of modules."""

    __slots__ = ("_answered", "_final", "_goal", "_held", "_leaving", "_sent", "_shown", "handle")

    # Written by ``be_seen_by``.
    # Whether modules look at the first 2xx, and that, where they have.
    _answered: bool
    _final: Response | None
    # The tag of the 2xx that modules look at.
    _held: str | None
    # The target, or what makes it.
    _goal: Any
    # While modules look at the copy: that, its flow and listener, and the flow of the phone.
    _leaving: tuple[Request, Flow, Listener, Flow | None] | None
    _shown: Branch | None
    # The client transaction, once there is one.
    _sent: ClientTransaction | None
    handle: Any

    def __init__(
        self,
        proxy: Proxy,
        request: Request | Callable[[], Request],
        lines: Lines,
        caller: Flow,
        server: ServerTransaction,
        target: Target | Callable[[], Target],
        branch: str,
    ) -> None:
        super().__init__(proxy, server.method, request, lines, caller, target, branch)
        self.watched = True
        self.server = server
        self._folded = False

    def be_seen_by(self, handle: Any) -> None:
        """Have the modules of ``handle``, the object that they get for the request, look."""
        self.handle = handle
        self._shown = unseen(self)
        self._goal = self._target
        self._leaving = None
        self._answered = False
        self._final = None
        self._sent = None
        handle.decided = True
        handle.usual = self

    # --- leaving

    def leave(
        self,
        method: str,
        data: bytes,
        flow: Flow,
        via: str,
        listener: Listener,
        alive: Flow | None,
        now: float,
    ) -> bool:
        """Do what ``start`` does, once modules have seen the copy; it may wait, or not leave at all.

        Return False where it became a response context.
        ``listener``: the one that it leaves by. ``alive``: ``flow``, where that is the phone's own.
        """
        handle, branch = self.handle, self._shown
        assert branch is not None
        self._started = now
        self.server.user = self
        message = unread_request(method, (_without, data, via))
        self._leaving = message, flow, listener, alive
        given = message, flow.transport, listener, alive, True
        go = partial(self._leaves_late, via)
        allowed = handle.modules.hooks.leaving(handle, branch, message, go, given, now)
        return self._has_left(allowed, given, via, now)

    def _has_left(self, allowed: bool | None, given: Any, via: str, now: float) -> bool:
        """Go on once modules have seen the copy: ``leave`` returns this."""
        method, branch = self.method, self._shown
        assert branch is not None
        if self._became is None and (
            (allowed is None and method == "INVITE") or (allowed and self._starts(via, now))
        ):
            return True
        if self._became is None:
            self._prepare()
        context = self._became
        assert context is not None
        if allowed is not None:
            branch._go(given, allowed, now)
        context.stop_holding()
        return False

    def _starts(self, via: str, now: float) -> bool:
        """Send the copy, which modules have seen; or do nothing, where it may need to go another way."""
        assert self._leaving is not None
        message, flow, listener, _ = self._leaving
        if type(message) is UnreadRequest:
            data: bytes = message._unread[1]
        else:
            data = seal(message, listener, self._id)
        most = self.proxy.client.tcp_above
        if most and len(data) > most and flow.transport == UDP:
            # RFC 3261 18.1.1
            return False
        self._leaving = None
        self.start(message.method, data, flow, via, now)
        self._sent = self._transaction
        return True

    def _leaves_late(self, via: str, given: Any, allowed: bool, now: float) -> None:
        """The copy has waited for a module."""
        if allowed and self._became is None and self._starts(via, now):
            return
        if self._became is None:
            self._prepare()
        branch, context = self._shown, self._became
        assert branch is not None
        if context is not None:
            context.stop_holding()
        branch._go(given, allowed, now)

    # --- what is unusual

    @property
    def context(self) -> ResponseContext | None:
        """The response context that this becomes; None where the 2xx went back."""
        if self._became is None and not self.done:
            self.show(None)
        return self._became

    @property
    def shown_transaction(self) -> ClientTransaction | None:
        """The client transaction of its copy; None before that has left."""
        return self._sent

    @property
    def shown_target(self) -> Target:
        """Where it goes."""
        goal = self._goal
        if callable(goal):
            goal = self._goal = goal()
        return goal  # type: ignore[no-any-return]  # Any by design

    @property
    def shown_place(self) -> tuple[str, str, int] | None:
        """Transport, address and port that its copy is to go to; None unless modules look at that now."""
        if self._leaving is None:
            return None
        flow = self._leaving[1]
        return flow.transport, flow.address[0], flow.address[1]

    def show(self, _branch: Branch | None) -> None:
        """Become what a module looks into."""
        if self.done:
            self._be_over()
        elif self._leaving is not None:
            self._prepare()
        else:
            self.become()

    def _handle(self) -> Any:
        return self.handle

    def _made(self, *given: Any) -> Branch:
        branch = self._shown
        assert branch is not None
        return seen(branch, *given)

    def become(self) -> Branch:
        """Make the response context and the branch that this has stood for, in its place from now on."""
        if self._leaving is not None:
            self._prepare()
            assert self._shown is not None
            return self._shown
        self.unfold()
        transaction = self._transaction
        self._target = self.shown_target
        branch = super().become()
        if self._answered:
            branch.be_answered(self._final)
            if transaction is not None and transaction.state != "terminated":
                transaction.user = branch.remainder()
        self._hand_over()
        return branch

    def _hand_over(self) -> None:
        handle = self.handle
        if handle is not None and handle.usual is self:
            handle.usual = None
            handle._context = self._became

    def _prepare(self) -> None:
        """Become a response context whose branch waits for modules to see its copy."""
        assert self._leaving is not None
        self.unfold()
        message, flow, _, _ = self._leaving
        self._leaving = None
        proxy, server = self.proxy, self.server
        invite = message.method == "INVITE"
        forwarding = self._forwarding(invite)
        context = ResponseContext(proxy, forwarding, server)
        branch = context.resume(
            self.shown_target, self._breadth, self._started, (), self._tag, self._counted, self._made
        )
        branch.await_hooks(NextHop(flow.transport, flow.host, flow.port, True, True), self._id, message)
        if not invite:
            # RFC 4320 4.1
            context.resume_timer(proxy.timers.start(self._started, proxy.trying_after, context, "trying"))
        context.hold_failures()
        context.keeps_outcome = self.watched
        self._became = context
        self._request = self._target = None
        server.user = context
        self._hand_over()

    def _be_over(self) -> None:
        """Let a module look at the branch of a request whose 2xx went back."""
        branch, handle = self._shown, self.handle
        if branch is not None and is_unseen(branch):
            fill_over(branch, *self._rest(handle))

    def _rest(self, handle: Any) -> tuple[Any, ...]:
        """Return what is known of a branch that is over: the arguments of ``fill_over``."""
        return self.shown_transaction, handle, self.caller, self._hashed, self._leaves, self._goal

    # --- what comes back

    def knows(self, invite: bool, echo: Echo) -> bool:
        """As ``Usual.knows``; while the first 2xx waits for a module, no other response is usual."""
        return (self.done or not self._answered) and super().knows(invite, echo)

    def response_received(self, transaction: ClientTransaction, response: Any, now: float) -> None:
        """A response of the next hop (RFC 3261 16.7), or (``returns``) what was read of one."""
        status = response.status
        handle = self.handle
        invite = transaction.method == "INVITE"
        if self._answered and not self.done and self._became is None:
            # The first 2xx waits for a module.
            self.become()
            user: Any = transaction.user
            user.response_received(transaction, response, now)
            return
        if (
            handle is None
            or status == 100
            or self.watched
            or status >= 300
            or (status < 200 and (self.done or not invite))
        ):
            super().response_received(transaction, response, now)
            return
        message: Response
        if type(response) is Echo:
            read = _below, response.data, response.top
            message, tag = unread_response(status, read), response.tag
        else:
            message, tag = response, None
            take_back(self.proxy, self, response, transaction.flow, stranger=self.strange)
            if "via" not in response.keys:
                if self.done:
                    return
                # See ``Branch``.
                for value in reversed(self._message().get_all("via")):
                    response.prepend("Via", value)
        if status < 200:
            self._rings(handle, message, tag, now)
        elif not invite:
            self._answers(handle, message, now)
        else:
            self._accepts(handle, message, tag, now)

    def _rings(self, handle: Any, message: Response, tag: str | None, now: float) -> None:
        """A provisional response other than 100 to an INVITE."""
        hooks = handle.modules.hooks
        self._provisional = True
        # RFC 3261 16.7 step 2: Timer C looks at this time when it fires.
        self._rang = now
        passed = hooks.received(handle, self._shown, message, self._passes_late, now)
        self._rings_on(handle, passed, message, tag, now)

    def _rings_on(self, handle: Any, passed: bool, message: Response, tag: str | None, now: float) -> None:
        """Go on with a provisional response that modules have seen; not ``passed``: it waits."""
        proxy, hooks = self.proxy, handle.modules.hooks
        if (
            not passed
            or self._became is not None
            or not (type(message) is UnreadResponse or message.status < 200)
        ):
            branch = self._real()
            if passed:
                branch._pass_on(message, now)
            return
        if type(message) is not UnreadResponse:
            tag = message.to_tag
        early = begin(self._early, tag, proxy.limits.early_dialogs, proxy.entropy)
        if early is None:
            proxy.notices.reached("early_dialogs", self.server.flow.host, now)
            return
        self._early = early
        if self.call is not None:
            self.call.rings(now)
        if hooks.answering(handle, message, self.server.respond, now):
            self._rings_back(message, now)

    def _rings_back(self, message: Response, now: float) -> None:
        """Send a provisional response back, which modules have seen leave."""
        if type(message) is UnreadResponse:
            self.server.feed("send 1xx", message._unread[1], now)
        else:
            self.server.respond(message, now)

    def _passes_late(self, response: Response, now: float) -> None:
        """A provisional response has waited for a module."""
        self._real()._pass_on(response, now)

    def _decides_late(self, response: Response, now: float) -> None:
        """The final response has waited for a module."""
        handle = self.handle
        if self._became is not None or handle.method != "INVITE" or not _is_2xx(response):
            self._real()._decide(response, now)
        elif self._has_ended(handle, response, now):
            tag = None if type(response) is not UnreadResponse else self._held
            self._goes_back(handle, tag, response, now)

    def _real(self) -> Branch:
        """Return the branch, which this stands for no longer."""
        if self._became is None:
            self.become()
        assert self._shown is not None
        return self._shown

    def _is_over(self, handle: Any, message: Response, now: float) -> bool:
        """Show the first 2xx; return False where the branch goes on with it."""
        self._answered = True
        passed = handle.modules.hooks.received(handle, self._shown, message, self._decides_late, now)
        return self._is_over_by(handle, passed, message, now)

    def _is_over_by(self, handle: Any, passed: bool, message: Response, now: float) -> bool:
        """Go on with the first 2xx, which modules have seen; not ``passed``: it waits."""
        if not passed and self._became is None and handle.method == "INVITE":
            return False
        if not passed or self._became is not None or not _is_2xx(message):
            branch = self._real()
            if passed:
                branch._decide(message, now)
            return False
        return self._has_ended(handle, message, now)

    def _has_ended(self, handle: Any, message: Response, now: float) -> bool:
        """Tell that modules have seen the first 2xx; return False where the branch goes on with it."""
        hooks = handle.modules.hooks
        self._final = message
        hooks.ended(handle, self._shown, message.status, now)
        context = self.became
        if context is not None:
            context.final_received(message, True, now)
            return False
        return True

    def _answers(self, handle: Any, message: Response, now: float) -> None:
        """A 2xx to a request that is no INVITE."""
        if not self.done and self._is_over(handle, message, now):
            self._answers_on(handle, message, now)

    def _answers_on(self, handle: Any, message: Response, now: float) -> None:
        self._end()
        self._final = None
        self._hang_up(message.status, now)
        if handle.modules.hooks.answering(handle, message, self._answers_seen, now):
            self._answers_seen(message, now)

    def _answers_seen(self, message: Response, now: float) -> None:
        handle = self.handle
        if type(message) is UnreadResponse:
            self.server.feed("send 2xx", message._unread[1], now)
        else:
            self.server.respond(message, now)
        handle.modules.hooks.done(handle, now)
        self._let_go()

    def _accepts(self, handle: Any, message: Response, tag: str | None, now: float) -> None:
        """A 2xx to an INVITE."""
        hooks = handle.modules.hooks
        if type(message) is not UnreadResponse:
            tag = message.to_tag
        if hooks.changes_responses:
            # RFC 3261 13.3.1.4: it comes again until its ACK does.
            accepted, known = waits_of(handle).accepted, tag or ""
            if known in accepted:
                if (before := accepted[known]) is not None:
                    self._send_2xx(before, now)
                return
            accepted[known] = None
        self._held = tag
        if self.done:
            if hooks.received(handle, self._shown, message, partial(self._goes_too, handle, tag), now):
                self._goes_too(handle, tag, message, now)
        elif self._is_over(handle, message, now):
            self._goes_back(handle, tag, message, now)

    def _goes_too(self, handle: Any, tag: str | None, message: Response, now: float) -> None:
        """Send a further 2xx of a fork, unless a module made a failure of it."""
        if type(message) is UnreadResponse or message.status < 300:
            self._goes_back(handle, tag, message, now)

    def _goes_back(self, handle: Any, tag: str | None, message: Response, now: float) -> None:
        proxy, first = self.proxy, not self.done
        if type(message) is not UnreadResponse:
            tag = message.to_tag
        confirmed = begin(self._confirmed, tag, proxy.limits.early_dialogs, proxy.entropy)
        if confirmed is None:
            proxy.notices.reached("early_dialogs", self.server.flow.host, now)
            return
        self._confirmed = confirmed
        if first:
            self._end()
            self._final = None
        go = partial(self._accepts_seen, handle, first, tag)
        if handle.modules.hooks.answering(handle, message, go, now):
            go(message, now)

    def _accepts_seen(self, handle: Any, first: bool, tag: str | None, message: Response, now: float) -> None:
        hooks = handle.modules.hooks
        if type(message) is UnreadResponse:
            data: bytes = message._unread[1]
        else:
            ensure_length(message, self.server.flow)
            data, tag = message.to_bytes(), message.to_tag
        self._send_2xx(data, now)
        if hooks.changes_responses:
            waits_of(handle).accepted[tag or ""] = data
        if first:
            hooks.done(handle, now)
            self._let_go()

    def _let_go(self) -> None:
        """Keep what a module needs to see of a further 2xx, or nothing."""
        handle, branch = self.handle, self._shown
        if branch is None:
            return
        if handle.usual is self:
            handle.usual = None
        # Without a tag in its 2xx the call has no fork that may follow.
        if self._confirmed and handle.modules.hooks.changes_responses:
            if type(handle.message) is not UnreadRequest:
                handle.rest()
            if is_unseen(branch):
                is_over(branch, self._rest(handle))
            return
        if is_unseen(branch):
            # A module may have kept it, to look at it later.
            is_over(branch, self._rest(handle))
        self.handle = self._shown = None

    # --- the user of the server transaction

    def cancel(self, now: float, reason: str | None) -> None:
        """The caller gave up (RFC 3261 16.10)."""
        if not self.done:
            super().cancel(now, reason)
        elif self.handle is not None:
            self.proxy.hooks.cancelled(self.handle, now)


def _is_2xx(message: Response) -> bool:
    return type(message) is UnreadResponse or 200 <= message.status < 300


def _below(data: bytes, top: str) -> Response:
    """Return the response in ``data``, which came with the line ``top`` above its other Via.

    RFC 3261 16.7 step 3: nobody but the caller reads those, so they need not be well-formed.
    """
    at = data.find(b"\r\n") + 2
    response = read_again(b"".join((data[:at], top.encode(), b"\r\n", data[at:])))
    response.pop_first_value("via")
    return response  # type: ignore[return-value]  # a response


def _without(data: bytes, via: str) -> Request:
    """Return the request in ``data`` without the line ``via``, our own."""
    return read_again(data.replace(f"{via}\r\n".encode(), b"", 1))  # type: ignore[return-value]  # a request
