"""A usual relay of octets over datagrams: one object, without transactions, timers or messages of its own.

Theory of operation: as long as a request has one target, and is answered by provisional responses and a 2xx,
its server and client transaction step together, by their tables (``proxy.steps``), and one timer is enough.
So one object stands in the tables of transactions under both keys and both numbers. What it does not do by
itself is for the transactions: ``unfold`` puts them in its place, in the states and with the timers that they
would have by then, and this goes on as their user (``Usual``). ``tests/proxy/test_pair.py`` plays both.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from sansip.proxy.holding import hold
from sansip.proxy.ringing import begin, next_look
from sansip.proxy.steps import END, INVITE, NON_INVITE, OTHER, RESEND, RING
from sansip.proxy.usual import Usual

if TYPE_CHECKING:
    from collections.abc import Callable

    from sansip.later import Later
    from sansip.proxy.branch import Branch
    from sansip.proxy.led import Led
    from sansip.proxy.proxy import Proxy
    from sansip.proxy.target import Target
    from sansip.proxy.usual import Lines
    from sansip.transaction import ClientTransaction
    from sansip.transport import Flow
    from sansip.wire import Request
    from sansip.wire.echo import Echo

__all__ = ["Pair"]


class Pair(Usual):
    """One request that came as a datagram, on its way to its one target.

    Attributes:
        flow: where it came from, and its answers go.
        hop: where it was sent.
        method: of the request.
        number: of its server transaction; that of the client transaction follows.
        led: what hears how it goes for the module that chose its target; None where none did.
    """

    __slots__ = (
        "_client_key",
        "_data",
        "_folded",
        "_half",
        "_key",
        "_last",
        "_other",
        "_state",
        "_steps",
        "_values",
        "flow",
        "hop",
        "led",
        "method",
        "number",
    )

    def __init__(
        self,
        proxy: Proxy,
        method: str,
        request: Request | Callable[[], Request],
        lines: Lines,
        caller: Flow,
        target: Target | Callable[[], Target],
        branch: str,
    ) -> None:
        super().__init__(proxy, request, lines, caller, None, target, branch)
        self.watched = False
        self.led: Led | None = None
        self.method = method
        self.flow = caller
        self._steps = INVITE if method == "INVITE" else NON_INVITE
        self._state = 0
        # Any: mypyc takes it for unchanged where a hook, say, has been called meanwhile.
        self._folded: Any = True
        # Whether the client transaction has ended, and the server transaction has not.
        self._half = False
        # The client transaction, once there is one.
        self._other: ClientTransaction | None = None

    def send(self, key: str, data: bytes, first: bytes, hop: Flow, via: str, now: float) -> None:
        """Send ``data``, whose Via of ours is the line ``via``, to ``hop``; ``first`` (or b"") goes back.

        ``data`` is b"" where it has to wait (``proxy.steered``). ``key``: that of the server transaction.
        """
        proxy = self.proxy
        layer = proxy.transactions
        sender = proxy.sender
        method = self.method
        self._started = now
        self._via = via
        self._data = data
        self._last = first
        self.hop = hop
        self._values = layer.values
        number = self.number = layer.latest + 1
        layer.latest = number + 1
        if key in layer.servers:
            key = f"{key} {method}"
        self._key = key
        client_key = self._client_key = f"{self._id} {method}"
        owners = layer.owners
        layer.servers[key] = owners[number] = self
        if first:
            sender.send(self.flow, first, now, number)
        if data:
            layer.clients[client_key] = owners[number + 1] = self
            sender.send(hop, data, now, number + 1)
        # RFC 3261 17.1.1.2, 17.1.2.2: Timer A or E, which finds out what has come by then.
        self._timer = proxy.timers.start(now, self._values.t1, self, "look")

    # --- what is usual

    def takes(self, echo: Echo, now: float, ready: bool = False) -> bool:
        """Send ``echo``, of the next hop's host, back as the transactions would; or do nothing.

        ``ready``: whether it is known already that it may go back, with what goes.
        """
        status = echo.status
        steps = self._steps
        act, following = (steps.provisional if status < 200 else steps.success)[self._state]
        if status == 100 and act == RING and steps is INVITE and self._folded and self.repeats(echo):
            # RFC 3261 16.7 step 5: a 100 goes no further.
            self._state = following
            self._provisional = True
            if self.led is not None:
                self.led.hears(status, now)
            return True
        if (
            act == OTHER
            or not self._folded
            or not (ready or (self.knows(self.method == "INVITE", echo) and self._is_ready(self.hop, echo)))
        ):
            return False
        proxy = self.proxy
        if act == RING:
            early = begin(self._early, echo.tag, proxy.limits.early_dialogs, proxy.entropy)
            if early is None:
                return False
            self._early = early
            self._state = following
            self._provisional = True
            # RFC 3261 16.7 step 2: Timer C looks at this time when it fires.
            self._rang = now
            self._last = echo.data
            if self.led is not None:
                self.led.hears(status, now)
            proxy.sender.send(self.flow, echo.data, now, self.number)
            if self.call is not None:
                self.call.rings(now)
            return True
        assert act == END
        values = self._values
        if self.method == "INVITE":
            confirmed = begin(self._confirmed, echo.tag, proxy.limits.early_dialogs, proxy.entropy)
            if confirmed is None:
                return False
            self._confirmed = confirmed
            # RFC 6026 7.1: repeated INVITEs are absorbed; 8.4, 8.5: Timers L and M are equal.
            self._last = b""
            end, name = values.t1x64, "end"
            if self.call is not None:
                self.call.answers(confirmed, echo.data, now)
            if self.led is not None:
                led, self.led = self.led, None
                led.succeeds(status, echo.data, now)
        else:
            # RFC 3261 17.1.2.2, 17.2.2: Timer K, then J.
            self._last = echo.data
            end, name = values.t4, "half"
            waits = self._hang_up(status, now)
            if waits is not None and not waits.done:
                self._hold(waits, echo.data, following, now)
                return True
        self._state = following
        self._data = b""
        self._end()
        proxy.sender.send(self.flow, echo.data, now, self.number)
        self._timer = proxy.timers.start(now, end, self, name)
        self._rang = now
        return True

    def _hold(self, waits: Later[None], data: bytes, following: int, now: float) -> None:
        """Keep back ``data``, the 2xx to a BYE, until the record of its call is durable, or too late."""
        self._state = following
        self._data = self._last = b""
        self._end()
        proxy = self.proxy
        self._rang = now
        self._timer = proxy.timers.start(now, self._values.t4, self, "half")
        hold(proxy, waits, partial(self.go_on, data), now)

    def go_on(self, data: bytes, now: float) -> None:
        """Send ``data``, which was held, and for each BYE that comes again."""
        if self._folded:
            self._last = data
        else:
            self.server.last = data
        self.proxy.sender.send(self.flow, data, now, self.number)

    def timer_fired(self, name: str, now: float) -> None:
        if name == "end":
            self._server_over(now)
            if not self._half:
                self._client_over(now)
        elif name == "half":
            self._client_over(now)
            self._half = True
            values = self._values
            end = self._rang + values.t1x64
            self._timer = self.proxy.timers.put(end, values.t1x64 - values.t4, self, "end")
        elif name == "look":
            self._timer = None
            if self._state:
                # RFC 3261 16.6 step 11: it rings, so Timer C is all that runs.
                look = self._time_until_c()
                values = self._values
                self._timer = self.proxy.timers.put(self._started + look, look - values.t1, self, "timer C")
                return
            self.unfold()
            assert self._other is not None
            self._other.feed("timer A" if self.method == "INVITE" else "timer E", None, now)
        else:
            # Timer C.
            if self._folded:
                self._unfold()
            super().timer_fired(name, now)

    def feed(self, given: str, argument: Any, now: float) -> None:
        """The request came once more, or an ACK: as ``ServerTransaction.feed``."""
        act = self._steps.request[self._state] if given == "request" and self._folded else OTHER
        if act == RESEND:
            if self._last:
                self.proxy.sender.send(self.flow, self._last, now, self.number)
        elif act == OTHER:
            self.unfold()
            self.server.feed(given, argument, now)

    # --- as a transaction

    @property
    def user(self) -> Pair:
        """The user of both transactions."""
        return self

    @property
    def state(self) -> str:
        """The state of the server transaction."""
        return self._steps.states[self._state][1]

    @property
    def answered(self) -> bool:
        """Whether the request has its final response."""
        return self.done

    @property
    def unanswered(self) -> bool:
        """Whether no response has come from the next hop."""
        return self._state == 0

    # --- what is not

    def unfold(self) -> None:
        """Put in its place what goes on with it."""
        if self._folded:
            self._unfold()
            if self.led is not None and not self.done:
                # The module gives it less time than Timer B does.
                self.become()

    def _unfold(self) -> None:
        """Put the transactions that this has stood for in its place."""
        self._folded = False
        layer = self.proxy.transactions
        method, ended = self.method, self.done
        invite = method == "INVITE"
        asks, answers = self._steps.states[self._state]
        # A retransmission of an answered request needs the octets of the response only.
        user = self if invite or not ended else None
        self.server = layer.revive_server(
            self.number, self._key, method, self.flow, user, answers, self._last
        )
        if self._half:
            return
        client = self._other = layer.revive_client(
            self.number + 1, self._client_key, method, self._data, self.hop, self, asks
        )
        if ended:
            # The end of both comes from here.
            return
        self._transaction = client
        timers, values, started = self.proxy.timers, self._values, self._started
        timer = self._timer
        if self._state == 0:
            client.interval = values.t1
            if timer is not None:
                timer.owner, timer.name = client, "timer A" if invite else "timer E"
                client.resend_timer = timer
            name = "timer B" if invite else "timer F"
            client.end_timer = timers.put(started + values.t1x64, values.t1x64, client, name)
            timer = None
        elif timer is not None and timer.name == "look":
            timer.cancel()
            timer = None
        if timer is None:
            look, name = (self._time_until_c(), "timer C") if invite else (self._time_until_100(), "trying")
            timer = timers.put(started + look, look, self, name)
        self._timer = timer

    def become(self) -> Branch:
        if self._folded:
            self._unfold()
        led = self.led
        if led is None:
            return super().become()
        self.call = led.appears(self._message(), self.server, self.call, self._started)
        branch = super().become()
        self.led = None
        context = self._became
        assert context is not None
        led.goes_on(context, branch)
        return branch

    def _handle(self) -> Any:
        return None if self.led is None else self.led.handle

    def returns(self, transaction: ClientTransaction, echo: Echo, now: float) -> bool:
        """As ``Usual.returns``; a module that waits for the outcome has each response read."""
        return self.led is None and super().returns(transaction, echo, now)

    def response_received(self, transaction: ClientTransaction, response: Any, now: float) -> None:
        """A response that is read, for the transactions stand in the place of this."""
        if self.led is None:
            super().response_received(transaction, response, now)
        else:
            self.become().response_received(transaction, response, now)

    def _time_until_c(self) -> float:
        return next_look(self._values.c, self.proxy.limits.ring_time)

    def _time_until_100(self) -> float:
        return self.proxy.trying_after

    def _server_over(self, now: float) -> None:
        if self._folded:
            layer = self.proxy.transactions
            layer.servers.pop(self._key, None)
            layer.owners.pop(self.number, None)
        else:
            self.server.feed("timer L" if self.method == "INVITE" else "timer J", None, now)

    def _client_over(self, now: float) -> None:
        if self._other is not None:
            self._other.feed("timer M" if self.method == "INVITE" else "timer K", None, now)
        else:
            layer = self.proxy.transactions
            layer.clients.pop(self._client_key, None)
            layer.owners.pop(self.number + 1, None)
