"""The usual relay: a request with one target, while nothing unusual happens to it.

Theory of operation: nearly every request has one target, no module that looks at it, and gets provisional
responses and a 2xx. One object does for it what a response context, its queue, its branch and the branch's
copy do, by the same rules (RFC 3261 16.6, 16.7): it is the user of the server and of the client transaction,
and the copy exists as octets alone. With the first unusual input (a failure, a CANCEL, Timer C, a silent next
hop, a route that waits for the outcome or relays again) it becomes a response context with one branch, in the
state that these would be in by then, and they take the input. Nothing is decided here that those two
would decide otherwise, so ``tests/proxy/test_usual.py`` plays each case on both.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from sansip.proxy.branch import Branch
from sansip.proxy.budget import Budget
from sansip.proxy.context import ResponseContext
from sansip.proxy.forwarding import Forwarding
from sansip.proxy.holding import hold
from sansip.proxy.returning import take_back
from sansip.proxy.ringing import begin, next_look
from sansip.proxy.target import Target
from sansip.transport.flow import ensure_length
from sansip.transport.nat import is_private
from sansip.transport.next_hop import NextHop
from sansip.wire import Request
from sansip.wire.echo import Echo

if TYPE_CHECKING:
    from collections.abc import Callable

    from sansip.clock import Timer
    from sansip.later import Later
    from sansip.proxy.proxy import Proxy
    from sansip.proxy.recording import Recording
    from sansip.proxy.relayed import Record
    from sansip.transaction import ClientTransaction, ServerTransaction
    from sansip.transport import Flow
    from sansip.wire import Response

__all__ = ["Lines", "Usual", "branch_of"]


# The lines From, To, Call-ID and CSeq of a request, as they came, and the tag of its To.
Lines: TypeAlias = "tuple[str, str, str, str, str | None]"
# Takes a response context, its best failure and the time.
Failing: TypeAlias = "Callable[[ResponseContext, Response, float], None]"
# Fields that are looked at in a trust domain (``returning.take_back``).
_OF_TRUST: Final = re.compile("(?i)\n(?:p-|remote-party-id|alert-info|privacy|www-|proxy-a|authentication-)")


class Usual:
    """One request on its way to its one target.

    Attributes:
        done: whether its 2xx went back.
        call: the record of the call that it begins, or ends as a BYE; None: there is none.
        watched: whether the route still runs, and may ask for the outcome.
    """

    __slots__ = (
        "_became",
        "_breadth",
        "_budget",
        "_came",
        "_confirmed",
        "_counted",
        "_early",
        "_failing",
        "_hashed",
        "_id",
        "_leaves",
        "_lines",
        "_provisional",
        "_rang",
        "_records",
        "_request",
        "_started",
        "_tag",
        "_target",
        "_timer",
        "_transaction",
        "_via",
        "call",
        "caller",
        "cseq",
        "done",
        "proxy",
        "recording",
        "server",
        "strange",
        "watched",
    )

    # Written by the functions that make it.
    _breadth: int
    _came: str
    _counted: tuple[str, str] | None
    _hashed: str
    _leaves: int
    _records: bool
    _started: float
    _via: str
    server: ServerTransaction

    def __init__(
        self,
        proxy: Proxy,
        request: Request | Callable[[], Request],
        lines: Lines,
        caller: Flow,
        server: ServerTransaction | None,
        target: Target | Callable[[], Target],
        branch: str,
    ) -> None:
        self.proxy = proxy
        # As received, or what reads it.
        self._request: Any = request
        self._lines = lines
        self.caller = caller
        if server is not None:
            self.server = server
        # Where it goes, or what makes that.
        self._target: Any = target
        self._id = branch
        # What take_back reads of a ``Forwarding``.
        self.cseq = ""
        self.recording: Recording | None = None
        self.strange = isinstance(target, Target) and target.binding is None
        self.call: Record | None = None
        self.done = False
        self.watched = True
        self._became: ResponseContext | None = None
        self._failing: Failing | None = None
        self._provisional = False
        self._rang = 0.0
        self._tag: str | None = None
        self._early: tuple[str, ...] = ()
        self._confirmed: tuple[str, ...] = ()
        # Timer C of an INVITE; of another request the time of its 100.
        self._timer: Timer | None = None
        self._budget: Budget | None = None
        self._transaction: ClientTransaction | None = None

    @property
    def budget(self) -> Budget:
        """The budget that is left for the generations of its request (``sansip.proxy.budget``)."""
        budget = self._budget
        if budget is None:
            budget = self._budget = Budget(self.proxy.limits.branches_in_all - 1)
        return budget

    def _message(self) -> Request:
        """The request as received, without our own Route values."""
        given = self._request
        request: Request = given if isinstance(given, Request) else given()
        self._request = request
        return request

    # --- for the route

    @property
    def context(self) -> ResponseContext | None:
        """The response context that this becomes; None where the 2xx went back."""
        if self._became is None and not self.done:
            self.become()
        return self._became

    @property
    def became(self) -> ResponseContext | None:
        """The response context, where this has become one."""
        return self._became

    def route_ended(self) -> ResponseContext | None:
        """The route will not ask any more; return the response context, where this has become one."""
        self.watched = False
        return self._became

    def tell_failure(self, failing: Failing, now: float) -> None:
        """Have ``failing(context, response, now)`` decide on a failure of this relay, as a route would."""
        self._failing = failing
        context = self._became
        if context is not None and context.failure is not None:
            # It could not leave at all.
            failing(context, context.failure, now)
        elif context is not None:
            context.on_failure = partial(failing, context)

    def be_within(self, leaves: int, hashed: str, breadth: int) -> None:
        """Be a request of a dialog, which no route waits for, and nothing of which is recorded."""
        self.watched = False
        self._records = False
        self._came = ""
        self._counted = None
        self._leaves = leaves
        self._hashed = hashed
        self._breadth = breadth

    def be_first(
        self,
        recording: Recording,
        records: bool,
        leaves: int,
        hashed: str,
        breadth: int,
        counted: tuple[str, str],
        came: str = "",
    ) -> None:
        """Be a request that begins a dialog with a phone of ours, which no route waits for.

        ``came``: the flow token of the caller, "" where it needs none.
        """
        self.watched = False
        self.recording = recording
        self._records = records
        self._came = came
        self._counted = counted
        self._leaves = leaves
        self._hashed = hashed
        self._breadth = breadth

    def start(self, method: str, data: bytes, flow: Flow, via: str, now: float) -> None:
        """Send ``data``, whose Via of ours is the line ``via``, over ``flow``."""
        proxy = self.proxy
        self._started = now
        self._via = via
        self.server.user = self
        transaction = proxy.transactions.begin_client(self._id, method, data, flow, self)
        self._transaction = transaction
        if method == "INVITE":
            # RFC 3261 16.6 step 11
            look, name = next_look(proxy.values.c, proxy.limits.ring_time), "timer C"
        else:
            # RFC 4320 4.1: 100 to a non-INVITE neither earlier nor later.
            look, name = proxy.trying_after, "trying"
        self._timer = proxy.timers.start(now, look, self, name)
        transaction.start(now)

    # --- what is unusual

    def become(self) -> Branch:
        """Make the response context and the branch that this has stood for, in its place from now on."""
        transaction, given = self._transaction, self._target
        target: Target = given if isinstance(given, Target) else given()
        assert transaction is not None
        proxy, server = self.proxy, self.server
        context = ResponseContext(proxy, self._forwarding(transaction.method == "INVITE"), server)
        branch = context.resume(
            target, self._breadth, self._started, self._early, self._tag, self._counted, self._made
        )
        # Where it was sent, once and for all: to an address (``direct``).
        sent = transaction.flow
        hop = NextHop(sent.transport, sent.host, sent.port, True, True)
        timer = self._timer
        if transaction.method != "INVITE":
            context.resume_timer(timer)
            timer = None
        branch.resume(transaction, hop, self._id, self._provisional, self._rang, timer)
        context.keeps_outcome = self.watched
        if self._failing is not None:
            context.on_failure = partial(self._failing, context)
        self._became = context
        self._request = self._target = self._transaction = self._timer = None
        server.user = context
        return branch

    def _forwarding(self, invite: bool) -> Forwarding:
        """Return what a response context and its branch share."""
        recording = self.recording
        return Forwarding(
            self._message(),
            self.caller,
            self._hashed,
            self.budget,
            invite,
            self.caller.listener,
            self._leaves,
            self._handle(),
            record_route=recording if self._records else None,
            recording=recording,
            came=self._came,
            call=self.call,
        )

    def _handle(self) -> Any:
        """Return the object that modules get for this request, None where no module looks at it."""
        return None

    def _made(self, *given: Any) -> Branch:
        return Branch(*given)

    # --- a response that is not read

    def returns(self, transaction: ClientTransaction, echo: Echo, now: float) -> bool:
        """Send ``echo``, of the next hop's host, back as ``response_received`` would; or do nothing."""
        return self.knows(transaction.method == "INVITE", echo) and self.goes(transaction, echo, now)

    def goes(self, transaction: ClientTransaction, echo: Echo, now: float) -> bool:
        """Do what ``returns`` does with an echo that it ``knows``."""
        if not self._is_ready(transaction.flow, echo):
            return False
        transaction.feed("1xx" if echo.status < 200 else "2xx", echo, now)
        return True

    def knows(self, invite: bool, echo: Echo) -> bool:
        """Whether ``echo``, of the next hop's host, repeats the lines that went there, and is usual so far.

        RFC 3261 16.7: a proxy does not look at the rest. The reader would.
        """
        status = echo.status
        if (
            self.done
            or self.watched
            or not (100 < status < 200 if invite and status < 200 else 200 <= status < 300)
            or not echo.goes_back
        ):
            return False
        from_, to, call_id, cseq, tag = self._lines
        return echo.repeats(self._via, from_, to, call_id, cseq, tag)

    def repeats(self, echo: Echo) -> bool:
        """Whether ``echo`` repeats the lines that went there, so that the reader accepts it."""
        from_, to, call_id, cseq, tag = self._lines
        return echo.repeats(self._via, from_, to, call_id, cseq, tag)

    def _is_ready(self, hop: Flow, echo: Echo) -> bool:
        """Whether ``echo``, of the host of ``hop``, may go back; it has what goes then."""
        if self.proxy.trust.exists and echo.has(_OF_TRUST):
            return False
        shown = None
        recording = self.recording
        if recording is not None:
            contact = echo.contact
            if not (hop.reliable or contact is None or hop.named_in(contact) or is_private(hop.host)):
                # It may be behind a NAT (``callee``), and our value does not name its flow yet.
                if "@" not in (echo.recorded or "").partition("\r\n")[0].partition(",")[0]:
                    return False
            places = self.proxy.client.guarded
            guarded = places.active and places.bars(hop.host, hop.port) is not None
            plain, shown = recording.echoed(echo.recorded, echo.tag, contact, guarded=guarded)
            if not plain:
                return False
        echo.data = echo.octets(shown)
        return True

    # --- the user of the client transaction

    def response_received(self, transaction: ClientTransaction, response: Any, now: float) -> None:
        """A response of the next hop (RFC 3261 16.7), or (``returns``) what was read of one."""
        status = response.status
        invite = transaction.method == "INVITE"
        if self.watched or status >= 300 or (status < 200 and not invite):
            if not self.done:
                self.become().response_received(transaction, response, now)
            return
        if status == 100:
            self._provisional = True
            return
        proxy = self.proxy
        if type(response) is Echo:
            self._pass(invite, status, response.data, response.tag, now)
            return
        take_back(proxy, self, response, transaction.flow, stranger=self.strange)
        if "via" not in response.keys:
            if self.done:
                return
            # See ``Branch``.
            for value in reversed(self._message().get_all("via")):
                response.prepend("Via", value)
        ensure_length(response, self.server.flow)
        self._pass(invite, status, response.to_bytes(), response.to_tag, now)

    def _pass(self, invite: bool, status: int, data: bytes, tag: str | None, now: float) -> None:
        """Send the octets of a response back (RFC 3261 16.7 steps 5 and 9)."""
        if not invite:
            self._end()
            waits = self._hang_up(status, now)
            hold(self.proxy, waits, partial(self.server.feed, "send 2xx", data), now)
            return
        proxy = self.proxy
        most = proxy.limits.early_dialogs
        if status < 200:
            self._provisional = True
            # RFC 3261 16.7 step 2: Timer C looks at this time when it fires.
            self._rang = now
            early = begin(self._early, tag, most, proxy.entropy)
            if early is None:
                proxy.notices.reached("early_dialogs", self.server.flow.host, now)
                return
            self._early = early
            self.server.feed("send 1xx", data, now)
            if self.call is not None:
                self.call.rings(now)
            return
        confirmed = begin(self._confirmed, tag, most, proxy.entropy)
        if confirmed is None:
            proxy.notices.reached("early_dialogs", self.server.flow.host, now)
            return
        self._confirmed = confirmed
        self._send_2xx(data, now)
        if not self.done:
            self._end()

    def _send_2xx(self, data: bytes, now: float) -> None:
        """Send a 2xx to an INVITE back, at once (RFC 3261 16.7 step 5)."""
        server = self.server
        state = server.state
        if state == "proceeding" or state == "accepted":
            server.feed("send 2xx", data, now)
        elif state != "terminated":
            # RFC 6026 8.3
            self.proxy.sender.send(server.flow, data, now)
        if self.call is not None:
            self.call.answers(self._confirmed, data, now)

    def give_up(self, now: float, reason: str | None) -> None:
        """End the ringing of an INVITE, as an operator wants."""
        became = self._became
        if became is not None:
            became.cancel(now, reason)
        else:
            self.cancel(now, reason)

    def _hang_up(self, status: int, now: float) -> Later[None] | None:
        """Tell the record of the call that a BYE has this final response, which may have to wait."""
        call = self.call
        if call is None:
            return None
        lines = self._lines
        return call.hung_up(lines[0], lines[3], lines[4] or "", status, now)

    def _end(self) -> None:
        """Keep what a further 2xx needs alone: there are thousands of these for 32 s each."""
        self.done = True
        counted = self._counted
        if counted is not None:
            self.proxy.pending.remove(*counted)
        timer = self._timer
        if timer is not None:
            timer.cancel()
        self._request = self._target = self._transaction = self._timer = None

    def client_failed(self, transaction: ClientTransaction, reason: str, now: float) -> None:
        """The next hop was silent or could not be reached."""
        if not self.done:
            self.become().client_failed(transaction, reason, now)

    def timer_fired(self, name: str, now: float) -> None:
        """Timer C, or the time of the 100."""
        branch = self.become()
        (branch if name == "timer C" else self.server.user).timer_fired(name, now)  # type: ignore[union-attr]  # the user that set it

    # --- the user of the server transaction

    def local_tag(self) -> str:
        """The To tag of responses made here for this request (RFC 3261 8.2.6.2)."""
        if self._tag is None:
            self._tag = self.proxy.entropy.token()
        return self._tag

    def cancel(self, now: float, reason: str | None) -> None:
        """The caller gave up (RFC 3261 16.10)."""
        if not self.done:
            self.become()
            assert self._became is not None
            self._became.cancel(now, reason)

    def ack_received(self, transaction: ServerTransaction, ack: Request, now: float) -> None:
        """An ACK with the INVITE's branch in Accepted: the stack routes it like any other."""

    def server_failed(self, transaction: ServerTransaction, reason: str, now: float) -> None:
        """The caller did not acknowledge, or cannot be reached: there is nothing to do."""


def branch_of(user: object) -> Branch | None:
    """Return the branch that ``user``, of a client transaction, is; None where it is none, or done."""
    if isinstance(user, Usual):
        return None if user.done else user.become()
    return user if isinstance(user, Branch) else None
