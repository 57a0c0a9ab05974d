"""The relay of an INVITE whose bodies are replaced on their way, by a module that reads nothing else of it.

Theory of operation: this is ``Pair``, with a ``Plan`` of the module. The INVITE waits, as octets, until the
plan has a body for it; so does each response with a body, and later responses wait behind it. Everything
unusual makes this a response context at once, and from there the plan's module alone sees the call, by its
hooks, with messages that were read. What a peer sends again leaves as it left before (RFC 3261 13.3.1.4), for
the plan knows what it has replaced.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from sansip.errors import RemoteProtocolError
from sansip.proxy.hooks import Hooks
from sansip.proxy.pair import Pair
from sansip.proxy.usual import Usual
from sansip.wire import read_again, response_to

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sansip.clock import Timer
    from sansip.proxy.bodies import Plan
    from sansip.proxy.branch import Branch
    from sansip.proxy.proxy import Proxy
    from sansip.proxy.target import Target
    from sansip.proxy.usual import Lines
    from sansip.transaction import ServerTransaction
    from sansip.transport import Flow
    from sansip.wire import Request
    from sansip.wire.echo import Echo

__all__ = ["Steered"]

# Responses that wait behind one. → a further one is dropped; a 2xx comes again (RFC 3261 13.3.1.4)
_MOST: Final = 8


class _Alone:
    """The modules of a handle, where one module alone sees its request."""

    __slots__ = ("hooks",)

    def __init__(self, hooks: Hooks) -> None:
        self.hooks = hooks


class Steered(Pair):
    """One INVITE on its way to its one target, whose bodies are replaced."""

    __slots__ = ("_asked", "_behind", "_handled", "_line", "_make", "_plan", "_taken", "_waits")

    def __init__(
        self,
        proxy: Proxy,
        request: Callable[[], Request],
        lines: Lines,
        caller: Flow,
        target: Target | Callable[[], Target],
        branch: str,
        plan: Plan,
        make: Callable[[Request, Flow, ServerTransaction, float], Any],
        asked: str,
    ) -> None:
        super().__init__(proxy, "INVITE", request, lines, caller, target, branch)
        self._plan = plan
        # Makes the handle that hooks get; ``asked``: as it has it.
        self._make = make
        self._asked = asked
        self._handled: Any = None
        # Whether the copy waits.
        self._waits = False
        # The response that waits, None where none does, and those behind it.
        self._line: Echo | None = None
        self._behind: list[Echo] = []
        # Whether one of them is a 2xx: the callee has taken the call.
        self._taken = False

    @property
    def came_as(self) -> Request:
        """The INVITE as it came; only while it has no final answer."""
        return self._message()

    # --- leaving

    def send(self, key: str, data: bytes, first: bytes, hop: Flow, via: str, now: float) -> None:
        """As ``Pair.send``; ``data`` leaves once the plan has a body for it."""
        self._waits = True
        super().send(key, b"", first, hop, via, now)
        self._plan.begins(self, data, now)

    def leave(self, data: bytes, now: float) -> None:
        """Send ``data``, the INVITE with the body that the plan has for it."""
        if not self._waits:
            # Given up meanwhile.
            return
        self._waits = False
        proxy, timer = self.proxy, self._timer
        if not self._folded:
            if timer is not None:
                timer.cancel()
            # A CANCEL that was none has looked at it.
            Usual.start(self, "INVITE", data, self.hop, self._via, now)
            self.become()
            return
        layer = proxy.transactions
        layer.clients[self._client_key] = layer.owners[self.number + 1] = self
        self._data = data
        self._started = now
        proxy.sender.send(self.hop, data, now, self.number + 1)
        if timer is None:
            self._timer = proxy.timers.start(now, self._values.t1, self, "look")

    def refuse(
        self, status: int, headers: Iterable[tuple[str, str]], now: float, *, cancelled: bool = False
    ) -> None:
        """Answer the INVITE, which has not left."""
        if not self._waits:
            return
        self.unfold()
        self._waits = False
        response = response_to(self._message(), status, to_tag=self.local_tag(), headers=headers)
        self._end()
        if self.call is not None:
            self.call.fails(status, response.reason, cancelled, now)
        self.server.respond(response, now)

    def timer_fired(self, name: str, now: float) -> None:
        proxy = self.proxy
        if name != "look" or (not self._waits and self._line is None):
            if name == "look" and not self._state and now < self._started + self._values.t1:
                # It began with the wait; RFC 3261 17.1.1.2: Timer A begins when the INVITE leaves.
                self._timer = self._timer_a()
            else:
                super().timer_fired(name, now)
            return
        if now - self._started < proxy.hooks.hook_time:
            # RFC 3261 17.1.1.2: it has not left, or has a response.
            self._timer = proxy.timers.start(now, self._values.t1, self, "look")
            return
        self._timer = None
        line = self._line
        if line is not None:
            # As where a hook waits too long: it goes as it came.
            self._goes(line, line.data, now)
            return
        self._plan.gives_up(now)
        self.refuse(500, (), now)

    def _timer_a(self) -> Timer:
        t1 = self._values.t1
        return self.proxy.timers.put(self._started + t1, t1, self, "look")

    # --- what comes back

    def takes(self, echo: Echo, now: float, ready: bool = False) -> bool:
        """As ``Pair.takes``; what has a body waits for the plan, and what follows waits behind it."""
        status = echo.status
        if self._line is not None:
            if len(self._behind) < _MOST:
                self._behind.append(echo)
                if 200 <= status < 300:
                    self._succeeds()
            return True
        if status == 100 or status >= 300:
            return super().takes(echo, now)
        if not (self.knows(True, echo) and self._is_ready(self.hop, echo)):
            return False
        go = partial(self._goes, echo)
        data = self._plan.answers(echo.data, echo.tag or "", status, go, now)
        if data is None:
            self._line = echo
            if status >= 200:
                self._succeeds()
            else:
                # RFC 3261 17.1.1.2, 9.1: it has come, so no INVITE goes again, and a CANCEL may.
                self._state = self._steps.provisional[self._state][1]
                self._provisional = True
                self._rang = now
            return True
        echo.data = data
        return super().takes(echo, now, True)

    def _succeeds(self) -> None:
        """The callee has taken the call: RFC 3261 17.1.1.2, no error of the INVITE counts any more."""
        self._taken = True
        if self._folded:
            self.proxy.transactions.owners.pop(self.number + 1, None)

    def _goes(self, echo: Echo, data: bytes, now: float) -> None:
        """The plan has ``data`` for a response that waited."""
        if self._line is not echo:
            # It took too long.
            return
        self._line = None
        behind, self._behind = self._behind, []
        echo.data = data
        if not (self._folded and super().takes(echo, now, True)):
            self._play(echo, now)
        for one in behind:
            if not (self._folded and self.takes(one, now)):
                self._play(one, now)

    def _play(self, echo: Echo, now: float) -> None:
        """Take a response the long way."""
        layer = self.proxy.transactions
        try:
            response: Any = read_again(echo.came)
            transaction = layer.find_client(response)
        except RemoteProtocolError:
            # As where it is read first: it is dropped (RFC 3261 18.1.2).
            return
        if transaction is not None:
            layer.response_received(transaction, response, now)

    def _pass(self, invite: bool, status: int, data: bytes, tag: str | None, now: float) -> None:
        """Send a further 2xx back, or the first one again."""

        def go(made: bytes, now: float) -> None:
            Usual._pass(self, invite, status, made, tag, now)

        made = self._plan.answers(data, tag or "", status, go, now)
        if made is not None:
            go(made, now)

    # --- what is unusual

    def unfold(self) -> None:
        """Put in its place what goes on with it: once it has left, a response context."""
        if not self._folded:
            return
        if self._waits:
            self._folded = False
            server = self.proxy.transactions.revive_server(
                self.number, self._key, "INVITE", self.flow, self, self._steps.states[0][1], self._last
            )
            self.server = server
        elif self.done:
            super().unfold()
        else:
            self.become()

    def _unfold(self) -> None:
        timer = self._timer
        if not self._state and timer is not None and timer.deadline < self._started + self._values.t1:
            timer.cancel()
            self._timer = self._timer_a()
        super()._unfold()

    def become(self) -> Branch:
        if self._folded:
            self._unfold()
        branch = super().become()
        handle, self._handled = self._handled, None
        handle._context = self._became
        self._plan.hands_over(handle, branch)
        return branch

    def _handle(self) -> Any:
        handle = self._make(self._message(), self.flow, self.server, self._started)
        handle.decided = True
        handle.hashed, handle.asked = self._hashed, self._asked
        handle.recording, handle.record = self.recording, self._records
        handle.modules = _Alone(self.proxy.hooks.of(self._plan.module))
        self._handled = handle
        return handle

    def cancel(self, now: float, reason: str | None) -> None:
        """The caller gave up (RFC 3261 16.10); 9.2: what has not left is answered here."""
        if self._taken:
            # RFC 3261 9.1: the INVITE has its final response, which goes back in a moment.
            return
        if not self._waits:
            super().cancel(now, reason)
            return
        self._plan.gives_up(now)
        self.refuse(487, (), now, cancelled=True)
