"""The common part of the four machines: look-up of rows, timers, and their two sides.

Theory of operation: a transaction sits between its user (a proxy's response
context, a registrar, an OPTIONS client) and the transport. It is fed inputs by
name, looks the row up in the table of its state, moves, and runs the effect.
The state changes before the effect runs, so an effect that fails
(a send that cannot be done) is judged in the new state.

After its final response a transaction waits up to 32 s doing almost nothing, and
there are thousands of those: so each drops what it no longer needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol

from sansip.limits import DEFAULT
from sansip.transaction.table import IGNORE, IMPOSSIBLE, TERMINATED, Machine, Row
from sansip.transport.flow import ensure_length
from sansip.wire import Request, read_again

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sansip.clock import Timer, Timers
    from sansip.limits import Limits
    from sansip.transaction.timers import TimerValues
    from sansip.transport.flow import Flow
    from sansip.transport.sender import Sender
    from sansip.wire import Response

__all__ = [
    "ClientTransaction",
    "ClientUser",
    "Folded",
    "ServerTransaction",
    "ServerUser",
    "Transaction",
    "Transactions",
]


class ClientUser(Protocol):
    """The user of a client transaction, which sends a request through it."""

    def response_received(self, transaction: ClientTransaction, response: Any, now: float) -> None:
        """Every provisional response, the final one, and further 2xx to INVITE."""

    def client_failed(self, transaction: ClientTransaction, reason: str, now: float) -> None:
        """No final response will come: ``reason`` is "timeout" or what broke.

        RFC 3261 8.1.3.1: a user treats a timeout as 408 and a transport error as 503.
        """


class _Nobody:
    """The user of a client transaction that has ended, so that neither keeps the other."""

    __slots__ = ()

    def response_received(self, transaction: ClientTransaction, response: Any, now: float) -> None:
        pass

    def client_failed(self, transaction: ClientTransaction, reason: str, now: float) -> None:
        pass


_NOBODY: Final = _Nobody()


class ServerUser(Protocol):
    """The user of a server transaction, which answers a request through it."""

    def ack_received(self, transaction: ServerTransaction, ack: Request, now: float) -> None:
        """An ACK for a 2xx that carries the branch of the INVITE (RFC 6026 7.1)."""

    def server_failed(self, transaction: ServerTransaction, reason: str, now: float) -> None:
        """The final response was never acknowledged, or could not be sent."""

    def local_tag(self) -> str:
        """The To tag of answers that are made here (RFC 3261 8.2.6.2)."""

    def cancel(self, now: float, reason: str | None) -> None:
        """A CANCEL came (RFC 3261 9.2); ``reason`` is its Reason field (RFC 3326)."""


class Folded(Protocol):
    """An object that stands for a client and a server transaction in the tables (``proxy.pair``).

    It has what the tables' readers look at: ``flow``, ``method``, ``user``, ``state``, ``feed``,
    ``answered``, ``unanswered``; and ``hop``, the flow of the client transaction.
    """

    def unfold(self) -> None:
        """Put the transactions in its place."""


class Transactions:
    """The tables of one stack, and the two ways down to the transport; the layer is made of it."""

    __slots__ = (
        "_elsewhere",
        "_limits",
        "_most",
        "_room",
        "clients",
        "latest",
        "owners",
        "sender",
        "servers",
        "timers",
        "values",
    )

    def __init__(self, timers: Timers, values: TimerValues, sender: Sender, limits: Limits = DEFAULT) -> None:
        self._elsewhere = 0
        self.bound(limits)
        self.timers = timers
        self.values = values
        self.sender = sender
        # Transactions, and objects that stand for one of each side (``Folded``).
        self.clients: dict[str, Any] = {}
        self.servers: dict[str, Any] = {}
        # All of them by number: it marks the octets that they send (``actions``). The number given last.
        self.owners: dict[int, Any] = {}
        self.latest = 0

    def bound(self, limits: Limits) -> None:
        """Hold so many from now on as ``limits`` say."""
        self._limits = limits
        self._most = limits.transactions - self._elsewhere
        self._room = self._most - limits.transactions * limits.transactions_reserved // 100

    @property
    def limit(self) -> int:
        """How many there may be, at all workers of this server (``limits.transactions``)."""
        return self._limits.transactions

    def leave_room(self, elsewhere: int) -> None:
        """Hold so many less as there are at other workers."""
        self._elsewhere = elsewhere
        self.bound(self._limits)

    def __len__(self) -> int:
        return len(self.clients) + len(self.servers)

    @property
    def full(self) -> bool:
        """Whether there is no room for one more."""
        return len(self.clients) + len(self.servers) >= self._most

    @property
    def crowded(self) -> bool:
        """Whether only the part that strangers have no share of is left (``transactions_reserved``)."""
        return self.crowded_by(0)

    def crowded_by(self, more: int) -> bool:
        """Whether so many ``more`` leave only that part."""
        return len(self.clients) + len(self.servers) + more >= self._room

    def owner(self, number: int) -> Transaction | None:
        """Return the transaction with this number."""
        found = self.owners.get(number)
        if found is not None and not isinstance(found, Transaction):
            found.unfold()
            found = self.owners[number]
        return found

    def flows(self) -> Iterator[Flow]:
        """Return the flows that transactions wait at."""
        for server in self.servers.values():
            yield server.flow
        for client in self.clients.values():
            yield client.flow if isinstance(client, Transaction) else client.hop

    def send_request(self, transaction: ClientTransaction, data: bytes, now: float) -> None:
        self.sender.send_request(transaction.flow, data, transaction, now)

    def send_response(self, transaction: ServerTransaction, data: bytes, now: float) -> None:
        self.sender.send(transaction.flow, data, now, transaction.number)

    def client_ended(self, transaction: ClientTransaction) -> None:
        if self.clients.get(transaction.key) is transaction:
            # Else the same request was sent again, and is still under way.
            del self.clients[transaction.key]
        self.owners.pop(transaction.number, None)
        self.sender.forget(transaction)

    def server_ended(self, transaction: ServerTransaction) -> None:
        self.servers.pop(transaction.key, None)
        self.owners.pop(transaction.number, None)


class Transaction:
    """One machine at work. ``flow`` is where its messages go."""

    __slots__ = ("end_timer", "flow", "interval", "key", "layer", "number", "resend_timer", "rows", "state")

    machine: ClassVar[Machine]
    first_state: ClassVar[str]

    def __init__(self, layer: Transactions, key: str, flow: Flow) -> None:
        self.layer = layer
        number = self.number = layer.latest = layer.latest + 1
        layer.owners[number] = self
        self.key = key
        self.flow = flow
        self.state = self.first_state
        self.rows: dict[str, Row] = self.machine[self.first_state]
        self.interval = 0.0
        self.resend_timer: Timer | None = None
        self.end_timer: Timer | None = None

    def feed(self, given: str, argument: Any, now: float) -> None:
        """Give the machine an input of its table; it moves and acts."""
        if self.state is TERMINATED:
            return
        effect, state = self.rows[given]
        if effect is IGNORE or effect is IMPOSSIBLE:
            return
        if state is not self.state:
            self.state = state
            if state is not TERMINATED:
                self.rows = self.machine[state]
        getattr(self, effect)(argument, now)

    def timer_fired(self, name: str, now: float) -> None:
        self.feed(name, None, now)

    def cancel_timers(self) -> None:
        timer = self.resend_timer
        if timer is not None:
            timer.cancel()
            self.resend_timer = None
        timer = self.end_timer
        if timer is not None:
            timer.cancel()
            self.end_timer = None

    def terminate(self, _argument: Any, now: float) -> None:
        """Leave the layer and let go of everything."""
        raise NotImplementedError


class ClientTransaction(Transaction):
    """A request on its way. ``start`` sends it; ``user`` hears what becomes of it.

    ``request`` and ``data`` are the request as sent; both are let go when the
    final response has come (``let_go``).
    """

    __slots__ = ("_request", "data", "method", "user")

    def __init__(
        self, layer: Transactions, key: str, method: str, data: bytes, flow: Flow, user: ClientUser
    ) -> None:
        super().__init__(layer, key, flow)
        self._request: Request | None = None
        self.method = method
        self.data = data
        self.user = user

    def start(self, now: float) -> None:
        raise NotImplementedError

    @property
    def request(self) -> Request:
        """The request as sent, until the final response has come."""
        request = self._request
        if request is None:
            # It was sent as octets alone.
            read = read_again(self.data)
            assert isinstance(read, Request)
            request = self._request = read
        return request

    def hold(self, request: Request) -> None:
        """Know ``request``, whose octets ``data`` are."""
        self._request = request

    def let_go(self) -> None:
        """Drop what only an unanswered request needs."""
        self._request = None
        self.data = b""

    def fall_silent(self) -> None:
        """Resend no more: no user waits, but an answer before Timer B or F is still passed on."""
        if self.resend_timer is not None:
            self.resend_timer.cancel()
            self.resend_timer = None
        if self.data:
            # A CANCEL may have to be made of it.
            self.hold(self.request)
        self.data = b""

    @property
    def unanswered(self) -> bool:
        """Whether no response at all has come from the next hop, and a user waits for one."""
        return self.state is self.first_state and self.data != b""

    def pass_up(self, response: Any, now: float) -> None:
        self.user.response_received(self, response, now)

    def time_out(self, _argument: Any, now: float) -> None:
        self.fail("timeout", now)

    def fail(self, reason: str, now: float) -> None:
        user = self.user
        self.terminate(None, now)
        user.client_failed(self, reason, now)

    def terminate(self, _argument: Any, now: float) -> None:
        self.state = TERMINATED
        self.cancel_timers()
        self.layer.client_ended(self)
        self.user = _NOBODY


class ServerTransaction(Transaction):
    """A request received. ``respond`` answers it; ``last`` is the response sent last."""

    __slots__ = ("last", "method", "user")

    def __init__(
        self, layer: Transactions, key: str, method: str, flow: Flow, user: ServerUser | None
    ) -> None:
        super().__init__(layer, key, flow)
        self.method = method
        self.user = user
        self.last = b""

    def respond(self, response: Response, now: float) -> None:
        """Send ``response`` if the state allows it; otherwise it is discarded."""
        status = response.status
        ensure_length(response, self.flow)
        given = "send 1xx" if status < 200 else "send 2xx" if status < 300 else "send failure"
        self.feed(given, response.to_bytes(), now)

    def respond_once(self, response: Response, now: float) -> None:
        """Send ``response`` and end: a repeated request is a new one (RFC 3261 8.2.7)."""
        if self.state is not TERMINATED:
            ensure_length(response, self.flow)
            self.layer.send_response(self, response.to_bytes(), now)
            self.terminate(None, now)

    @property
    def answered(self) -> bool:
        """Whether a final response has been sent (or the machine is gone)."""
        return self.state != "proceeding" and self.state != "trying"

    def send(self, data: bytes, now: float) -> None:
        self.last = data
        self.layer.send_response(self, data, now)

    def resend(self, _request: Any, now: float) -> None:
        # A retransmission before the first provisional response gets nothing.
        if self.last:
            self.layer.send_response(self, self.last, now)

    def inform(self, reason: str, now: float) -> None:
        if self.user is not None:
            self.user.server_failed(self, reason, now)

    def abandon(self, now: float) -> None:
        """End without a response (RFC 4320 4.2: never a late 408 to a non-INVITE)."""
        self.terminate(None, now)

    def terminate(self, _argument: Any, now: float) -> None:
        self.state = TERMINATED
        self.cancel_timers()
        self.layer.server_ended(self)
        self.user = None
