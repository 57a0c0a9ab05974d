"""A usual relay of octets one of whose sides, or each, is a connection.

Theory of operation: this is ``Pair``, but for what RFC 3261 17 says of reliable transports: nothing is sent
again (Timers A and E), and nothing is waited for once a request other than INVITE has its answer (Timers J
and K are 0). A lost connection ends what waits for an answer over it (18.4), so the relay stands among those
that wait there, as its client transaction would, and takes that transaction with it when it unfolds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sansip.proxy.pair import Pair
from sansip.proxy.steps import END

if TYPE_CHECKING:
    from collections.abc import Callable

    from sansip.later import Later
    from sansip.proxy.proxy import Proxy
    from sansip.proxy.target import Target
    from sansip.proxy.usual import Lines
    from sansip.transaction import ClientTransaction
    from sansip.transport import Flow
    from sansip.wire import Request
    from sansip.wire.echo import Echo

__all__ = ["StreamPair"]


class StreamPair(Pair):
    """One request on its way from or to a connection. ``back``: where its answers go."""

    __slots__ = ("_gone", "_waits")

    def __init__(
        self,
        proxy: Proxy,
        method: str,
        request: Request | Callable[[], Request],
        lines: Lines,
        caller: Flow,
        target: Target | Callable[[], Target],
        branch: str,
        back: Flow,
    ) -> None:
        super().__init__(proxy, method, request, lines, caller, target, branch)
        self.flow = back
        # Whether the server transaction has ended, and the client transaction has not.
        self._gone = False
        # What the answer to a BYE waits for.
        self._waits: Later[None] | None = None

    def send(self, key: str, data: bytes, first: bytes, hop: Flow, via: str, now: float) -> None:
        super().send(key, b"", first, hop, via, now)
        self._data = data
        layer = self.proxy.transactions
        number = self.number + 1
        layer.clients[self._client_key] = layer.owners[number] = self
        if not hop.reliable:
            layer.sender.send(hop, data, now, number)
            return
        connection = layer.sender.connections.send(hop, data, now, number)
        if connection is not None:
            connection.waiting[self] = None

    @property
    def client(self) -> ClientTransaction | None:
        """The client transaction, once there is one."""
        return self._other

    # --- what is usual

    def takes(self, echo: Echo, now: float, ready: bool = False) -> bool:
        """As ``Pair.takes``; RFC 3261 17.1.2.2, 17.2.2: Timer K is 0 for the next hop, J for the caller."""
        steps = self._steps
        if (
            self.method == "INVITE"
            or echo.status < 200
            or steps.success[self._state][0] != END
            or not self._folded
        ):
            return super().takes(echo, now, ready)
        hop, back = self.hop, self.flow
        if not (ready or (self.knows(False, echo) and self._is_ready(hop, echo))):
            return False
        waits = self._hang_up(echo.status, now)
        if waits is not None and not waits.done:
            # The transactions hold it back, and end as they should.
            self._unfold()
            assert self._other is not None
            self._other.feed("2xx", echo, now)
            return True
        self._state = steps.success[self._state][1]
        self._data = b""
        self._last = echo.data
        self._end()
        proxy = self.proxy
        if hop.reliable:
            self._client_over(now)
        proxy.sender.send(back, echo.data, now, self.number)
        self._rang = now
        values = self._values
        if back.reliable:
            self._server_over(now)
            if not hop.reliable:
                self._gone = True
                self._timer = proxy.timers.start(now, values.t4, self, "half")
        elif hop.reliable:
            self._half = True
            self._timer = proxy.timers.start(now, values.t1x64, self, "end")
        else:
            self._timer = proxy.timers.start(now, values.t4, self, "half")
        return True

    def _hang_up(self, status: int, now: float) -> Later[None] | None:
        """Tell the record of the call once alone."""
        waits = self._waits
        if waits is None:
            waits = self._waits = super()._hang_up(status, now)
        return waits

    def timer_fired(self, name: str, now: float) -> None:
        if name == "look" and not self._state and self.hop.reliable:
            # RFC 3261 17.1.1.2, 17.1.2.2: no Timer A or E.
            first = self._first_deadline()
            self._timer = self.proxy.timers.put(self._started + first, first - self._values.t1, self, "late")
        elif name == "late":
            self._timer = None
            look, first = self._time_until_c(), self._first_deadline()
            if not self._state:
                self.unfold()
            elif look > first:
                self._timer = self.proxy.timers.put(self._started + look, look - first, self, "timer C")
            else:
                super().timer_fired("timer C", now)
        elif name == "half" and self._gone:
            self._client_over(now)
        else:
            super().timer_fired(name, now)

    def _first_deadline(self) -> float:
        """Return the seconds from the beginning to the first timer of the transactions, or of their user."""
        # RFC 3261 16.6 step 11: Timer C; RFC 4320 4.1: the time of a 100.
        look = self._time_until_c() if self.method == "INVITE" else self._time_until_100()
        # Timer B or F.
        return min(look, self._values.t1x64)

    def feed(self, given: str, argument: Any, now: float) -> None:
        """As ``Pair.feed``; or the connection to the next hop is lost (RFC 3261 17.1.4, 18.4)."""
        if given != "transport error":
            super().feed(given, argument, now)
        elif not self.done:
            self.unfold()
            assert self._other is not None
            self._other.feed(given, argument, now)

    # --- what is not

    def _unfold(self) -> None:
        servers, owners = self.proxy.transactions.servers, self.proxy.transactions.owners
        timer = self._timer
        if timer is not None and timer.name == "late":
            timer.cancel()
            self._timer = None
        # Another transaction may have the key by now.
        later = servers.get(self._key)
        super()._unfold()
        if self._gone:
            if later is None:
                del servers[self._key]
            else:
                servers[self._key] = later
            owners.pop(self.number, None)
        client = self._other
        hop = self.hop
        if client is None or not hop.reliable:
            return
        resends = client.resend_timer
        if resends is not None:
            resends.cancel()
            client.resend_timer = None
        connection = self.proxy.sender.connections.get(hop.conn)
        if connection is not None and connection.waiting.pop(self, 0) is None:
            connection.waiting[client] = None

    def _client_over(self, now: float) -> None:
        if self._other is None and self.hop.reliable:
            connection = self.proxy.sender.connections.get(self.hop.conn)
            if connection is not None:
                connection.waiting.pop(self, None)
        super()._client_over(now)
