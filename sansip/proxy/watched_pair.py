"""A relay of octets whose hooks are called: as quick as without modules, until one of them looks.

Theory of operation: this is ``Watched`` as ``Pair`` is ``Usual``: one object, without transactions, timers or
messages of its own. A hook gets a request handle, a branch and a message that nobody has looked at yet
(``sansip.routing.unmade``, ``sansip.proxy.unseen``, ``sansip.wire.unread``), and one that does nothing costs
a call. When a hook looks at the handle or the branch, the transactions take the place of this, in the states
that they have at that moment; when it looks at the message, or waits, they do after the hook. From there on
``Watched`` goes on. ``tests/proxy/test_watched.py`` plays both.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from sansip.proxy.hooks import waits_of
from sansip.proxy.pair import Pair
from sansip.proxy.ringing import begin
from sansip.proxy.steps import OTHER, RING
from sansip.proxy.unseen import is_over, is_unseen, unseen
from sansip.proxy.watched import Watched, _below, _without
from sansip.wire.unread import UnreadRequest, UnreadResponse, unread_request, unread_response

if TYPE_CHECKING:
    from collections.abc import Callable

    from sansip.proxy.proxy import Proxy
    from sansip.proxy.target import Target
    from sansip.proxy.usual import Lines
    from sansip.transaction import ClientTransaction, ServerTransaction
    from sansip.transport import Flow, Listener
    from sansip.wire import Request
    from sansip.wire.echo import Echo

__all__ = ["WatchedPair"]


class WatchedPair(Watched):
    """One request that came as a datagram, on its way to its one target, before the eyes of modules."""

    __slots__ = ("_expected", "_following", "_given", "_kept", "_make", "_modules", "_over", "_seen")

    def __init__(
        self,
        proxy: Proxy,
        method: str,
        request: Request,
        lines: Lines,
        caller: Flow,
        target: Target | Callable[[], Target],
        branch: str,
        handle: Any,
        make: Callable[[Any, Any, ServerTransaction], None],
        given: Any,
        modules: Any,
    ) -> None:
        """``make(handle, given, server)`` makes ``handle``; ``modules``: those that the request begins by."""
        Pair.__init__(self, proxy, method, request, lines, caller, target, branch)
        self.handle = handle
        self._make = make
        self._given = given
        self._modules = modules
        self._shown = unseen(self)
        self._goal = target
        self._leaving = None
        self._answered = False
        self._final = None
        self._sent = None
        self._held = None
        # The octets of the first 2xx to an INVITE, for those that come again.
        self._kept: bytes | None = None
        # While modules look at the first 2xx: the next pair of states, which the client transaction is in.
        self._following = -1
        self._over = False
        # The time of the input that modules look at.
        self._seen = 0.0
        # The response that modules may have seen arrive.
        self._expected: Echo | None = None

    # --- leaving

    def departs(
        self, key: str, data: bytes, first: bytes, hop: Flow, via: str, listener: Listener, now: float
    ) -> bool:
        """Do what ``send`` does, once modules have seen the copy; return as ``leave``.

        ``listener``: the one that it leaves by.
        """
        proxy = self.proxy
        layer = proxy.transactions
        method = self.method
        self._started = self._seen = now
        self._via = via
        self.hop = hop
        self._values = layer.values
        self._data = b""
        self._last = first
        number = self.number = layer.latest = layer.latest + 1
        if key in layer.servers:
            key = f"{key} {method}"
        self._key = key
        self._client_key = f"{self._id} {method}"
        layer.servers[key] = layer.owners[number] = self
        sender = layer.sender
        if first:
            sender.send(self.flow, first, now, number)
        message = unread_request(method, (_without, data, via))
        self._leaving = message, hop, listener, None
        given = message, hop.transport, listener, None, True
        go = partial(self._leaves_late, via)
        allowed = self._modules.hooks.leaves(self.handle, self._shown, message, go, given, now)
        if not (allowed and self._folded and type(message) is UnreadRequest and layer.latest == number):
            self.unfold()
            return self._has_left(allowed, given, via, now)
        data = message._unread[1]
        most = proxy.client.tcp_above
        if most and len(data) > most:
            # RFC 3261 18.1.1
            self.unfold()
            return self._has_left(True, given, via, now)
        self._leaving = None
        layer.latest = number + 1
        layer.clients[self._client_key] = layer.owners[number + 1] = self
        self._data = data
        sender.send(hop, data, now, number + 1)
        # RFC 3261 17.1.1.2, 17.1.2.2: as in ``Pair.send``.
        self._timer = proxy.timers.start(now, self._values.t1, self, "look")
        return True

    # --- what is usual

    def takes(self, echo: Echo, now: float, ready: bool = False) -> bool:
        """As ``Pair.takes``; modules see what goes back."""
        handle, status, steps = self.handle, echo.status, self._steps
        if handle is None or status == 100 or not self._folded:
            return Pair.takes(self, echo, now, ready)
        act, following = (steps.provisional if status < 200 else steps.success)[self._state]
        # As ``Usual.knows``, which compares the lines that have been compared before modules saw it arrive.
        if (
            act == OTHER
            or self.done
            or self.watched
            or not (200 <= status < 300 or (status < 200 and self.method == "INVITE"))
            or not echo.goes_back
            or not (echo is self._expected or echo.repeats(self._via, *self._lines))
            or not self._is_ready(self.hop, echo)
        ):
            return False
        self._expected = None
        self._seen = now
        if act == RING:
            self._rings_quickly(handle, echo, following, now)
        else:
            self._ends_quickly(handle, echo, following, now)
        return True

    def repeats(self, echo: Echo) -> bool:
        if echo is self._expected:
            return True
        known = echo.repeats(self._via, *self._lines)
        # This is asked before modules see it arrive, and after.
        self._expected = echo if known else None
        return known

    def _rings_quickly(self, handle: Any, echo: Echo, following: int, now: float) -> None:
        """A provisional response other than 100 to an INVITE."""
        proxy, hooks, tag = self.proxy, self._modules.hooks, echo.tag
        self._state = following
        self._provisional = True
        # RFC 3261 16.7 step 2: Timer C looks at this time when it fires.
        self._rang = now
        message: Any = unread_response(echo.status, (_below, echo.data, echo.top))
        passed = hooks.arrives(handle, self._shown, message, self._passes_late, now)
        if not (passed and self._folded and type(message) is UnreadResponse):
            self.unfold()
            self._rings_on(handle, passed, message, tag, now)
            return
        early = begin(self._early, tag, proxy.limits.early_dialogs, proxy.entropy)
        if early is None:
            proxy.notices.reached("early_dialogs", self.flow.host, now)
            return
        self._early = early
        if self.call is not None:
            self.call.rings(now)
        if not hooks.answers(handle, message, self._respond_late, now):
            return
        if not self._folded or type(message) is not UnreadResponse:
            self.unfold()
            self._rings_back(message, now)
            return
        data = self._last = message._unread[1]
        proxy.sender.send(self.flow, data, now, self.number)

    def _respond_late(self, response: Any, now: float) -> None:
        """A provisional response has waited for a module on its way back."""
        self.server.respond(response, now)

    def _ends_quickly(self, handle: Any, echo: Echo, following: int, now: float) -> None:
        """The first 2xx."""
        proxy, hooks, branch, tag = self.proxy, self._modules.hooks, self._shown, echo.tag
        invite = self.method == "INVITE"
        self._following = following
        self._held = tag
        self._answered = True
        message: Any = unread_response(echo.status, (_below, echo.data, echo.top))
        passed = hooks.arrives(handle, branch, message, self._decides_late, now)
        if not (passed and self._folded and type(message) is UnreadResponse):
            self.unfold()
            if self._is_over_by(handle, passed, message, now):
                self._goes_on(handle, message, tag, now)
            return
        self._final = message
        hooks.ends(handle, branch, echo.status)
        if self._became is not None:
            self._became.final_received(message, True, now)
            return
        if not self._folded or type(message) is not UnreadResponse:
            self.unfold()
            self._goes_on(handle, message, tag, now)
            return
        if invite:
            confirmed = begin(self._confirmed, tag, proxy.limits.early_dialogs, proxy.entropy)
            if confirmed is None:
                self.unfold()
                proxy.notices.reached("early_dialogs", self.flow.host, now)
                return
            self._confirmed = confirmed
            go = partial(self._accepts_seen, handle, True, tag)
        else:
            go = self._answers_seen  # type: ignore[assignment]  # one of both
        self._end()
        self._final = None
        if not invite:
            self._hang_up(echo.status, now)
        if not hooks.answers(handle, message, go, now):
            return
        if not self._folded or type(message) is not UnreadResponse:
            self.unfold()
            go(message, now)
            return
        data = message._unread[1]
        values = self._values
        self._state, self._following = following, -1
        self._data = b""
        self._rang = now
        if invite:
            # RFC 6026 7.1, 8.4, 8.5: as in ``Pair.takes``.
            self._last = b""
            end, name = values.t1x64, "end"
        else:
            # RFC 3261 17.1.2.2, 17.2.2: Timer K, then J.
            self._last = data
            end, name = values.t4, "half"
        proxy.sender.send(self.flow, data, now, self.number)
        self._timer = proxy.timers.start(now, end, self, name)
        keeps = invite and hooks.changes_responses
        if keeps:
            # RFC 3261 13.3.1.4: it comes again until its ACK does.
            self._kept = data
        if invite and self.call is not None:
            self.call.answers(self._confirmed, data, now)
        hooks.finishes(handle)
        # Without a tag in its 2xx the call has no fork that may follow.
        if not (keeps and self._confirmed):
            self._forget()

    def _goes_on(self, handle: Any, message: Any, tag: str | None, now: float) -> None:
        """Go on with the first 2xx, over transactions."""
        if self.method == "INVITE":
            self._goes_back(handle, tag, message, now)
        else:
            self._answers_on(handle, message, now)

    # --- what is not

    @property
    def shown_transaction(self) -> ClientTransaction | None:
        """The client transaction of its copy; None before that has left."""
        if self._leaving is None:
            self.unfold()
        return self._sent

    def meet(self, handle: Any) -> None:
        """Make ``handle``, which a module looks at, what it is by now."""
        self.unfold()
        self._make(handle, self._given, self.server)
        handle.now = self._seen
        handle.decided = True
        handle.recording, handle.record = self.recording, self._records
        context = self._became
        if context is not None:
            handle._context = context
        elif not self.done:
            handle.usual = self
        if self._answered and self.method == "INVITE" and self._modules.hooks.changes_responses:
            waits_of(handle).accepted[self._held or ""] = self._kept

    def _unfold(self) -> None:
        following = self._following
        if self._leaving is None and following < 0 and not self._over:
            super()._unfold()
            self._sent = self._other
            return
        # Modules look at a message, or it is over: the transactions do not step together now.
        self._folded = False
        proxy = self.proxy
        layer, method, states = proxy.transactions, self.method, self._steps.states
        answers = states[self._state][1]
        other = layer.servers.get(self._key)
        self.server = server = layer.revive_server(
            self.number, self._key, method, self.flow, self, answers, self._last
        )
        if self._over:
            server.terminate(b"", self._rang)
            if other is not None:
                layer.servers[self._key] = other
            return
        if following < 0:
            # The copy has not left.
            return
        invite, values = method == "INVITE", self._values
        client = layer.revive_client(
            self.number + 1, self._client_key, method, b"", self.hop, self, states[following][0]
        )
        # RFC 6026 8.4: Timer M; RFC 3261 17.1.2.2: Timer K.
        end, name = (values.t1x64, "timer M") if invite else (values.t4, "timer K")
        client.end_timer = proxy.timers.start(self._seen, end, client, name)
        self._sent = self._other = client
        if self.done:
            return
        self._transaction = client
        timer = self._timer
        if timer is not None and timer.name == "look":
            timer.cancel()
            look, name = (self._time_until_c(), "timer C") if invite else (self._time_until_100(), "trying")
            self._timer = proxy.timers.put(self._started + look, look, self, name)

    def _server_over(self, now: float) -> None:
        super()._server_over(now)
        self._over = True
        self._forget()

    def _forget(self) -> None:
        """Let go of the handle and the branch; a module may have kept one, to look at it later."""
        branch, handle = self._shown, self.handle
        if branch is not None and is_unseen(branch):
            is_over(branch, (None, handle, self.caller, self._hashed, self._leaves, self._goal))
        self.handle = self._shown = None
