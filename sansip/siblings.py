"""The other workers of one server, as this stack knows them.

Theory of operation: workers tell each other facts (``Tell``, ``Stack.told``): records of bindings,
connections that came and went, tokens that a source used, wrong passwords, and what modules tell their other
processes: words, counts, and rows that one of them changed. A message that belongs to
another worker is passed on as it came (``PassOn``, ``Stack.passed_on``):

    a response                to the worker whose mark is in the branch of our Via
    a request within a        to the worker whose mark is in our tag
    dialog of ours
    a request within a        to the worker that relayed its first request: its digit is in the mark of our
    dialog that we relay      Route value (``proxy.dialog_mark``), and it has what modules know of the call
    a request of ours that    to the worker that sent it: its mark is in the branch of our Via, the topmost;
    comes back (a spiral)     so do its CANCEL and the ACK of its failure
    a request of a method     to the first worker: a module that it alone has serves them
    that is gathered
    any other request         to the worker that has its server transaction: a CANCEL, the ACK of a failure,
                              or a retransmission that a NAT sends from another port

A message is passed on once, so two workers that disagree do not send it back and forth. It may come sooner
than the fact that its connection was opened, which goes through the parent: then it waits for that. A
connection that a worker has opened itself is told of when something that came over it is passed on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, Protocol

from sansip.actions import Action, Address, PassOn, Tell
from sansip.auth import Authenticator
from sansip.errors import RemoteProtocolError
from sansip.location import SharedLocation, SharedRecord
from sansip.module import Modules
from sansip.proxy.dialog_mark import PARAMETER, place_in
from sansip.routing.core import Core
from sansip.routing.loss import connection_lost, give_up
from sansip.routing.named_flows import inward_record
from sansip.rows import Key, Values
from sansip.seat import Seat, seat_of_branch
from sansip.sources import SharedRates
from sansip.sums import PREFIX, SharedPending, Sums
from sansip.transaction import TransactionLayer
from sansip.transport import Connections, Flow
from sansip.transport.connection import Connection
from sansip.transport.filter import OpenConnection
from sansip.transport.transports import SECURE
from sansip.ua.tags import MARK as TAG_MARK
from sansip.wire import Request, Response, SipUri

__all__ = ["EARLY", "Siblings"]

# Messages that wait for the fact that their connection was opened: milliseconds. → the oldest is dropped, as
# those are whose connection was closed before they came
EARLY: Final = 64
# Seconds between two looks at how many transactions there are, while others know of some.
_LOOK: Final = 1.0


class WorkingCore(Core, Protocol):
    """The stack, as this file needs it."""

    authenticator: Authenticator | None
    connections: Connections
    out: list[Action]
    transactions: TransactionLayer
    unstarted: bool
    modules: Modules


class Siblings:
    """What the worker with ``seat`` tells and hears. ``rates`` are its counts of requests by source."""

    def __init__(self, core: WorkingCore, seat: Seat) -> None:
        self._core = core
        self.seat = seat
        self.rates: SharedRates | None = None
        # What the others count for modules (``sansip.module.tally``).
        self.held: dict[str, int] = {}
        core.proxy.pending = self._pending = SharedPending(core.limits, partial(self.tell, "held"))
        self._sums = Sums(core.transactions, core.ua, partial(self.tell, "held"))
        # Whether a timer runs to look at the sums.
        self._looks = False
        # Words that came before the modules were started.
        self._words: list[tuple[str, str, Any]] = []
        # Takes a message that waited: (octets, flow, now).
        self.received: Callable[[bytes, Flow, float], None] | None = None
        # Connections and messages that came over them, with what their peers had proved to be.
        self._early: deque[tuple[int, bytes, tuple[str, ...]]] = deque(maxlen=EARLY)
        if core.authenticator is not None:
            core.authenticator.share(lambda *failure: self.tell("failed", *failure))
        self._hearers: dict[str, Callable[..., None]] = {
            "record": self._record,
            "opened": self._opened,
            "closed": self._closed,
            "took": self._took,
            "failed": self._failed,
            "held": self._held,
            "said": self._said,
            "own": self._said,
            "rows": self._rows,
        }

    # --- to the others

    def tell(self, kind: str, *values: Any) -> None:
        """Tell the others a fact, which ``hear`` takes there."""
        self._core.out.append(Tell((kind, *values)))

    def opened(self, conn: int) -> None:
        """Tell the others of connection ``conn``, over which they may send from now on."""
        connection = self._core.connections.get(conn)
        if connection is not None and not connection.told:
            connection.told = True
            flow = connection.flow
            self.tell("opened", conn, flow.transport, flow.listener, tuple(flow.address[:2]))

    def closed(self, connection: Connection, reason: str) -> None:
        """Tell the others that ``connection`` is gone, if they know it."""
        if connection.told:
            self.tell("closed", connection.flow.conn, reason, False)

    def has_response(self, response: Response, flow: Flow, data: bytes) -> bool:
        """Pass ``response`` on if another worker sent its request; return whether that was done."""
        other = seat_of_branch(self.seat, response.via.branch)
        return other is not None and self._pass_on(other, flow, data)

    def has_request(self, request: Request, key: str, flow: Flow, data: bytes, now: float) -> bool:
        """Pass ``request`` on if another worker has its transaction or its dialog; return whether it has.

        Else this worker has the transaction from now on, if the request begins one.
        """
        tag = request.to_tag
        other = None
        self._count(now)
        if tag is not None and tag.startswith(TAG_MARK):
            other = self.seat.other(tag[len(TAG_MARK) : len(TAG_MARK) + 1])
        elif request.method in ("ACK", "CANCEL"):
            # RFC 3261 9.1, 17.1.1.3: they have the branch of their INVITE.
            other = self.seat.directory.find(key)
            if other is None:
                # That of a spiral was not noted: it went to the worker that sent it.
                other = self._spiral_of(request)
            if other is None and tag is not None:
                # RFC 3261 13.2.2.4: the ACK of a 2xx has a branch of its own.
                other = self._dialog_at(request)
        else:
            gathered = request.method in self.seat.gathers
            if tag is not None:
                other = self._dialog_at(request)
            elif not gathered:
                # The first worker sent those that are gathered; another mark is a stranger's.
                other = self._spiral_of(request)
            if other is None and gathered:
                other = 0
            if other is None or other == self.seat.number:
                other = self.seat.directory.claim(key)
        if other is None or other == self.seat.number:
            return False
        return self._pass_on(other, flow, data)

    def claims(self, key: str, now: float) -> bool:
        """Whether this worker has the transaction that a new request begins, as from now on."""
        self._count(now)
        return self.seat.directory.claim(key) == self.seat.number

    def _count(self, now: float) -> None:
        if self._sums.request() and not self._looks:
            self._looks = True
            self._core.proxy.timers.start(now, _LOOK, self, None)

    def _spiral_of(self, request: Request) -> int | None:
        """Return the other worker that sent this request, which comes back; None for this one, or none."""
        via = request.via
        if not self._core.listeners.is_own_sent_by(via.sent_by):
            return None
        return seat_of_branch(self.seat, via.branch)

    def _dialog_at(self, request: Request) -> int | None:
        """Return the other worker that relayed the first request of this dialog, None for this one."""
        line = request.first_line("route")
        if line is None:
            return None
        listeners = self._core.listeners
        recorded = listeners.recorded_by(line)
        if recorded is not None:
            return self.seat.other_by(place_in(recorded[1]))
        try:
            uri = request.routes[0].uri
        except RemoteProtocolError:
            # It is refused here as well as there.
            return None
        if not isinstance(uri, SipUri) or not listeners.is_own_address(uri.host, uri.port, uri.transport):
            return None
        return self.seat.other_by(place_in(uri.params.get(PARAMETER) or ""))

    def _pass_on(self, other: int, flow: Flow, data: bytes) -> bool:
        if flow.conn:
            self.opened(flow.conn)
        passed = PassOn(other, flow.listener, flow.conn, data, flow.address, flow.identities)
        self._core.out.append(passed)
        return True

    def take_back(self) -> None:
        """Do not pass on what was to be passed on just now."""
        self._core.out.pop()

    # --- from the others

    def hold(self, conn: int, data: bytes, identities: tuple[str, ...]) -> None:
        """Keep a message that came over connection ``conn``, of which was not told yet."""
        self._early.append((conn, data, identities))

    def _take_early(self, conn: int) -> list[tuple[bytes, tuple[str, ...]]]:
        found = [(data, identities) for one, data, identities in self._early if one == conn]
        if found:
            self._early = deque((one for one in self._early if one[0] != conn), EARLY)
        return found

    def hear(self, fact: tuple[Any, ...], now: float) -> None:
        """Take a fact of another worker."""
        self._hearers[fact[0]](*fact[1:], now)

    def _record(self, aor: str, record: SharedRecord, now: float) -> None:
        location = self._core.location
        assert isinstance(location, SharedLocation)
        location.mirror(aor, inward_record(self._core, record), now)

    def _opened(self, conn: int, transport: str, listener: int, address: Address, now: float) -> None:
        flow = Flow(transport, listener, address, conn)
        if transport in SECURE:
            flow.peer = OpenConnection(listener, transport, ("", 0), address, True)
        self._core.connections.mirror(conn, flow, now)
        connection = self._core.connections.get(conn)
        assert connection is not None
        assert self.received is not None
        for data, identities in self._take_early(conn):
            self.identified(connection.flow, identities)
            self.received(data, connection.flow, now)

    def identified(self, flow: Flow, identities: tuple[str, ...]) -> None:
        """The peer of a connection of another worker has proved to be these domains (RFC 5922 7.1)."""
        if flow.peer is not None and identities:
            flow.peer.identities = identities

    def _closed(self, conn: int, reason: str, is_heir: bool, now: float) -> None:
        """Connection ``conn`` is gone; its bindings are removed by its worker, or by its heir."""
        core = self._core
        self._take_early(conn)
        connection = core.connections.get(conn)
        if connection is None:
            return
        waiting = core.connections.closed(conn, reason)
        if is_heir:
            connection_lost(core, connection.flow, now)
        for transaction in waiting:
            # RFC 3261 18.4: the waiting clients need not wait any longer.
            transaction.feed("transport error", reason, now)
        give_up(core, waiting, now)

    def _took(self, source: str, tokens: int, now: float) -> None:
        if self.rates is not None:
            self.rates.take(source, tokens, now)

    # --- what modules tell their other processes

    def started(self, now: float) -> None:
        """The modules are started, and hear what was said before."""
        words, self._words = self._words, []
        for word in words:
            self._said(*word, now)

    def timer_fired(self, name: None, now: float) -> None:
        """Tell the others of transactions that have ended."""
        self._looks = self._sums.look()
        if self._looks:
            self._core.proxy.timers.start(now, _LOOK, self, None)

    def _held(self, key: str, change: int, now: float) -> None:
        if key.startswith(PREFIX):
            if not self._pending.hear(key, change):
                self._sums.hear(key, change)
            return
        left = self.held.get(key, 0) + change
        if left > 0:
            self.held[key] = left
        else:
            self.held.pop(key, None)

    def _said(self, module: str, key: str, word: Any, now: float) -> None:
        if self._core.unstarted:
            self._words.append((module, key, word))
        else:
            self._core.modules.announced(module, key, word, now)

    def _rows(self, table: str, rows: Sequence[Values], deleted: Sequence[Key], now: float) -> None:
        if not self._core.unstarted:
            self._core.modules.rows_changed(table, rows, deleted, now)

    def _failed(self, source: str, user: str, answer: int, now: float) -> None:
        authenticator = self._core.authenticator
        if authenticator is not None:
            authenticator.hear_of_failure(source, user, answer, now)
