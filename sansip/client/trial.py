"""Sending one request to one place after the other, until one answers (RFC 3263 4.3).

Theory of operation: the next place is tried, with a new client transaction, when one times out, cannot be
reached, or answers 503. Each kind of attempt says what the request looks like, by which listener it
leaves, and which object hears the answer. The table of ``life`` says what each input means; ``Attempt``
has the rest of its effects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sansip.client.life import CALLING, LIFE, LOCATING, OVER, PROCEEDING
from sansip.client.via import new_branch, seal
from sansip.transaction.table import IGNORE, IMPOSSIBLE
from sansip.transport.flow import Flow
from sansip.transport.transports import TCP, UDP

if TYPE_CHECKING:
    from sansip.auth import Answers
    from sansip.client.outlet import Outlet
    from sansip.clock import Timer
    from sansip.transaction import ClientTransaction
    from sansip.transaction.base import ClientUser
    from sansip.transport import Listener, NextHop
    from sansip.transport.dns import Place
    from sansip.wire import Request, Response

__all__ = ["Trial"]


class Trial:
    """A request being sent. It is the user of its client transactions, and owns its timers.

    Attributes:
        broke: "timeout", or what broke at the place tried last; "" where nothing did.
        final: the final response, or one made in its place; None before.
        provisional: whether the place being tried has sent a provisional response.
        transaction: that of the place being tried.
    """

    __slots__ = (
        "_answers",
        "_base",
        "_cancel_reason",
        "_cancel_sent",
        "_hop",
        "_hurry",
        "_id",
        "_place",
        "_places",
        "_prefer",
        "_suffix",
        "_switched",
        "_timer",
        "broke",
        "client",
        "final",
        "heard",
        "provisional",
        "state",
        "transaction",
    )

    def __init__(self, client: Outlet, prefer: int | None, suffix: str = "") -> None:
        self.client = client
        # The listener to leave by, where it fits.
        self._prefer = prefer
        self.state = LOCATING
        self.transaction: ClientTransaction | None = None
        self.final: Response | None = None
        self.provisional = False
        # When the first provisional response came, 100 as well.
        self.heard: float | None = None
        self.broke = ""
        # Places left to try, and the one being tried.
        self._places: list[Place] = []
        self._place: Place | None = None
        self._hop: NextHop | None = None
        # The request that copies are made of, without our Via.
        self._base: Request | None = None
        # The branch of the place being tried, "" before the first; and what ends each.
        self._id = ""
        self._suffix = suffix
        # TCP is being tried because the request is large; the same address
        # stands first in ``_places``, for UDP.
        self._switched = False
        # Runs while an INVITE waits for its final response.
        self._timer: Timer | None = None
        # Runs while nothing was heard of this place and others are left.
        self._hurry: Timer | None = None
        # The reason why the user cancelled it (RFC 3326), or ""; None if it was not cancelled.
        self._cancel_reason: str | None = None
        self._cancel_sent = False
        # Answers challenges on our behalf.
        self._answers: Answers | None = None

    # --- defined by each kind of attempt

    def _way(self, transport: str, ip: str) -> tuple[Listener | None, Flow | None]:
        """Return the listener to leave by for ``_place``, None where there is none; and the flow to go over.

        Without a flow, one to the place is made.
        """
        raise NotImplementedError

    def _prepare(
        self, transport: str, listener: Listener, alive: Flow | None, may_switch: bool, now: float
    ) -> Request | None:
        """Return the request as it leaves by ``listener`` (over ``alive``, if given), but for our Via.

        None where it has to wait: "allowed" with the arguments of ``_leave``, or "refused", follows.
        """
        raise NotImplementedError

    def _may_switch(self) -> bool:
        """Whether TCP may be used instead of UDP: a URI that says transport=udp means it."""
        return self._hop is not None and not self._hop.explicit

    def _leaving(self, now: float) -> bool:
        """Start the timers that are not those of the transaction, which is about to send.

        Return whether there is somewhere else to try beside ``_places``.
        """
        return False

    def _repeat(self, now: float) -> bool:
        """Take another CSeq, for the request is sent again with credentials; False where there is none."""
        raise NotImplementedError

    def _progress(self, response: Response, now: float) -> None:
        """A provisional response other than 100 came."""
        raise NotImplementedError

    def _finish(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        """A final response came.

        The first of this attempt is ``final`` afterwards, and the state OVER. After that, ``transaction`` can
        only bring a further 2xx, for ``remainder``.
        """
        raise NotImplementedError

    def _fail(self, status: int, now: float) -> None:
        """No response came: make one with ``status``, or 487 if the user cancelled."""
        raise NotImplementedError

    def _no_way(self, now: float) -> None:
        """No place is left, or no listener of ours reaches one."""
        self._fail(503, now)

    def _unreachable(self) -> int:
        """Return the status for a place that nothing could be sent to (RFC 3261 8.1.3.1)."""
        return 503

    def remainder(self) -> ClientUser:
        """Return the user that gets responses after the final one: a further 2xx to an INVITE."""
        raise NotImplementedError

    def _go_on(
        self,
        transaction: ClientTransaction,
        hop: NextHop,
        branch: str,
        provisional: bool,
        timer: Timer | None,
    ) -> None:
        """Take over a request that was sent to ``hop`` as ``transaction``, with ``branch``."""
        self.transaction = transaction
        if transaction.state != "terminated":
            transaction.user = self
        self._hop = hop
        self._place = (hop.transport, hop.host, hop.port)
        self._id = branch
        self.provisional = provisional
        self.state = PROCEEDING if provisional else CALLING
        self._timer = timer
        if timer is not None:
            timer.owner = self

    # --- the table

    def feed(self, given: str, argument: Any, now: float) -> None:
        """Give the machine an input of its table; it moves and acts."""
        effect, state = LIFE[self.state][given]
        if effect is IGNORE or effect is IMPOSSIBLE:
            return
        self.state = state
        getattr(self, effect)(argument, now)

    # --- sending

    def locate(self, hop: NextHop, now: float) -> None:
        """Send to ``hop``, at once where no name must be resolved."""
        self._hop = hop
        if hop.numeric:
            self._places = [(hop.transport, hop.host, hop.port)]
            self._try_next(now)
        else:
            self.client.places.resolve(hop.question(), self._found, now)

    def _found(self, found: Any, now: float) -> None:
        self.feed("found", found, now)

    def take_places(self, found: Any, now: float) -> None:
        assert self._hop is not None
        # RFC 3263 4.3 and RFC 3261 16.9: where there is none it is as if a 503 had come.
        self._places = self.client.places.take(found, self._hop, now)
        self._try_next(now)

    def _try_next(self, now: float) -> None:
        while self._places:
            self._place = self._places.pop(0)
            if self._send(*self._place, now):
                return
        self.state = OVER
        self._no_way(now)

    def _send(self, transport: str, ip: str, port: int, now: float) -> bool:
        """Send to this place; False where it cannot be reached from here."""
        listener, alive = self._way(transport, ip)
        if listener is None:
            return False
        # The state of the attempt at the last place is cleared (RFC 3261 9.1: a CANCEL waits for a
        # provisional response to this very request).
        self.provisional = False
        self.heard = None
        self._id = self._new_branch()
        refused, self._switched = self._switched, False
        request = self._prepare(transport, listener, alive, not refused, now)
        if request is not None:
            self._leave(request, transport, listener, alive, not refused, now)
        return True

    def _new_branch(self) -> str:
        return new_branch(self.client.entropy, self._suffix)

    def _leave(
        self,
        request: Request,
        transport: str,
        listener: Listener,
        alive: Flow | None,
        may_switch: bool,
        now: float,
    ) -> None:
        client = self.client
        self.state = CALLING
        data = seal(request, listener, self._id)
        if not data:
            self.refuse(500, now)
            return
        assert self._place is not None
        _, ip, port = self._place
        if (
            transport == UDP
            and client.tcp_above
            and len(data) > client.tcp_above
            and request is not self._base
            and may_switch
            and self._may_switch()
            and not client.places.avoided.holds((TCP, ip, port), now)
        ):
            # RFC 3261 18.1.1: too large for UDP on an unknown path, so TCP, and UDP after all if the peer
            # does not listen for TCP.
            stream = client.listeners.reach(TCP, ip, self._prefer)
            if stream is not None:
                self._switched = True
                self._places.insert(0, self._place)
                again = self._prepare(TCP, stream, alive, False, now)
                if again is not None:
                    self._leave(again, TCP, stream, alive, False, now)
                return
        assert self._hop is not None
        flow = alive or Flow(transport, listener.id, (ip, port), name=self._hop.proves(transport))
        transaction = self.transaction = client.transactions.open_client(self._id, request, data, flow, self)
        elsewhere = self._leaving(now)
        if self._switched:
            self._hurry = client.timers.start(now, client.limits.large_connect_time, self, "connection")
        elif client.failover_time and (elsewhere or self._places):
            self._hurry = client.timers.start(now, client.failover_time, self, "failover")
        transaction.start(now)

    def leave(self, given: tuple[Request, str, Listener, Flow | None, bool], now: float) -> None:
        """The copy waits no longer: the arguments of ``_leave``."""
        self._leave(*given, now)

    @property
    def place(self) -> Place | None:
        """Where it is sent to: transport, address, port; None before that is known."""
        return self._place

    def refuse(self, status: int, now: float) -> None:
        """It must not leave."""
        self.state = OVER
        self._fail(status, now)

    # --- responses

    def response_received(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        status = response.status
        if transaction is not self.transaction:
            # One that was given up, after its first 2xx.
            if 200 <= status < 300:
                self.feed("late 2xx", (transaction, response), now)
            return
        if self._switched:
            # TCP works, so UDP is not needed for this address.
            self._switched = False
            del self._places[0]
        self.feed("1xx" if status < 200 else "2xx" if status < 300 else "failure", response, now)

    def client_failed(self, transaction: ClientTransaction, reason: str, now: float) -> None:
        if transaction is self.transaction:
            self.feed("timeout" if reason == "timeout" else "transport error", reason, now)

    def proceed(self, response: Response, now: float) -> None:
        if not self.provisional:
            self.provisional = True
            self.heard = now
        # RFC 3263 4.3: a place that was heard of has not failed.
        self._stop_hurry()
        if response.status != 100:
            self._progress(response, now)

    def accept(self, response: Response, now: float) -> None:
        if self._answers is not None and self._place is not None:
            self._answers.succeeded(response, self._place[1])
        self._answered()
        self._take_final(response, now)

    def judge(self, response: Response, now: float) -> None:
        assert self.transaction is not None
        self._stop_timers()
        if self._answers is not None and response.status in (401, 407):
            if self._answers.take(response):
                if self._repeat(now):
                    self.transaction.user = self.remainder()
                    self._answered()
                    assert self._place is not None
                    self._places.insert(0, self._place)
                    self._try_next(now)
                    return
                self._answers.strip(response)
            self._explain(response)
        if response.status == 503:
            # RFC 3263 4.3: a 503 means the next server.
            self._avoid(now, response.get("retry-after"))
            if self._places:
                self.transaction.user = self.remainder()
                self._try_next(now)
                return
        else:
            self._answered()
        self._finish(self.transaction, response, now)

    def _explain(self, response: Response) -> None:
        if response.status in (401, 407) and not (
            response.has("www-authenticate") or response.has("proxy-authenticate")
        ):
            # The caller can do nothing about it (RFC 3261 16.7 step 6 knows no better).
            response.set_status(500, "Upstream Refused Our Credentials")

    def _take_final(self, response: Response, now: float) -> None:
        transaction = self.transaction
        assert transaction is not None
        self._stop_timers()
        self._finish(transaction, response, now)

    def accept_again(self, response: Response, now: float) -> None:
        """A further 2xx of the same transaction (RFC 6026 7.2)."""
        assert self.transaction is not None
        self._finish(self.transaction, response, now)

    # --- places that failed

    def _avoid(self, now: float, retry_after: str | None) -> None:
        """Have the next requests to this name begin with another of its servers."""
        if self._switched:
            # The same address is tried over UDP next, and large requests after this one at once.
            _, ip, port = self._places[0]
            self.client.places.avoid((TCP, ip, port), None, now)
        elif self._place is not None and self._hop is not None and not self._hop.numeric:
            # One that a name did not lead to has no others; phones come and go.
            self.client.places.avoid(self._place, retry_after, now)

    def _answered(self) -> None:
        if self._place is not None and self._hop is not None and not self._hop.numeric:
            self.client.places.avoided.forget(self._place)

    # --- timers

    def _await_connection(self, now: float) -> None:
        """The connection for a large request had its time; RFC 3261 18.1.1: back to UDP without one."""
        client, transaction = self.client, self.transaction
        if self.state is not CALLING or transaction is None:
            # A cancelled one ends with the connection, or with its answer: it is tried nowhere else.
            return
        if client.sender.withdraw(transaction):
            self.feed("silence", None, now)
        elif client.failover_time:
            # The connection is there: the peer gets as long to answer as any other.
            left = max(client.failover_time - client.limits.large_connect_time, 0.0)
            self._hurry = client.timers.start(now, left, self, "failover")

    def _set_timer(self, now: float, duration: float, name: str) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.client.timers.start(now, duration, self, name)

    def _stop_timers(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._stop_hurry()

    def _stop_hurry(self) -> None:
        if self._hurry is not None:
            self._hurry.cancel()
            self._hurry = None

    def timer_fired(self, name: str, now: float) -> None:
        if name == "failover":
            self._hurry = None
            self.feed("silence", None, now)
        elif name == "connection":
            self._hurry = None
            self._await_connection(now)
        elif name == "cancelled":
            self._timer = None
            self.feed("cancel overdue", None, now)
