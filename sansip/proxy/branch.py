"""One branch of a forked request: an attempt at a target, on behalf of its response context.

Theory of operation: ``client.attempt`` and its table define what an attempt does. A branch adds the work of a
proxy. It makes the copies that leave from the request as received (RFC 3261 16.6). They may have to wait for
modules (``sansip.proxy.hooks``), and they go over the flow that a phone registered. An INVITE has Timer C. A
branch removes from each response what it added to the copies, and passes the response to its owner, the
response context (16.7). It is done when ``final`` is set.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from math import ceil
from typing import TYPE_CHECKING, Any, Final, Protocol

from sansip.client.attempt import Attempt
from sansip.client.life import OVER, PREPARING
from sansip.errors import RemoteProtocolError
from sansip.proxy.copying import copy_for, keep_back
from sansip.proxy.destination import flow_for, route_of
from sansip.proxy.flow_loss import gone_status, node_flow
from sansip.proxy.flow_tokens import goes_token
from sansip.proxy.hooks import waits_of
from sansip.proxy.record_route import add_record_route, can_be_recorded
from sansip.proxy.returning import take_back
from sansip.proxy.ringing import next_look
from sansip.proxy.secure import REQUIRED
from sansip.transaction.base import ClientUser
from sansip.transport.flow import Flow
from sansip.wire import Response, response_to

if TYPE_CHECKING:
    from sansip.clock import Timer
    from sansip.proxy.budget import Budget
    from sansip.proxy.forwarding import Forwarding
    from sansip.proxy.proxy import Proxy
    from sansip.proxy.target import Target
    from sansip.transaction import ClientTransaction
    from sansip.transport import Listener, NextHop
    from sansip.transport.dns import Place
    from sansip.wire import Request

__all__ = ["Branch", "Owner"]

# Octets that line ends, our Via and our Record-Route add at the most, nearly always.
_GROWTH = 400
# RFC 5626 7: after these another flow of the same phone may be tried.
_FLOW_FAILED = (408, 430)


# Stands for a final response that is not needed any more.
_GONE: Final = Response()


class Owner(ClientUser, Protocol):
    """The owner of a branch, to which it reports: the response context. It hears further 2xx itself."""

    @property
    def cancelled(self) -> bool:
        """Whether the caller gave up."""

    def local_tag(self) -> str:
        """The To tag of responses made here."""

    def ring_left(self, now: float) -> float:
        """For how many seconds an INVITE may still ring."""

    def ring_out(self, now: float) -> None:
        """It has rung for as long as it may."""

    def claim(self, branch: Branch, place: Place) -> bool:
        """Whether ``place`` is for ``branch`` to try; False where another one has it."""

    def withdraw(self, branch: Branch, now: float) -> None:
        """Another branch leads where ``branch`` would: it is as if there had been no such target."""

    def can_fail_over(self, branch: Branch) -> bool:
        """Whether there is another flow of the phone that ``branch`` leads to."""

    def fail_over(self, failed: Branch, now: float) -> bool:
        """Try another flow of the phone of ``failed``, whose own is dead; return whether there is one."""

    def provisional_received(self, response: Response, now: float) -> None:
        """A provisional response other than 100, as it goes back."""

    def final_received(self, response: Response, first: bool, now: float) -> None:
        """A final response, as it goes back, or one made in its place; ``first``: of this branch."""

    def send_octets(self, data: bytes, now: float) -> None:
        """Send a 2xx to an INVITE back once more."""


class Branch(Attempt):
    """A target being tried."""

    __slots__ = ("_owner", "_rang", "_shift", "_taken", "breadth", "forwarding", "proxy", "target")

    def __init__(
        self, proxy: Proxy, forwarding: Forwarding, owner: Owner, target: Target, breadth: int
    ) -> None:
        prefer = forwarding.leaves if target.listener is None else target.listener
        super().__init__(proxy.client, prefer, forwarding.hashed)
        self.proxy = proxy
        self.forwarding = forwarding
        self._owner = owner
        self.target = target
        self.breadth = breadth
        # When the last provisional response but 100 came.
        self._rang = 0.0
        # A place of its target is that of another branch.
        self._taken = False
        # The number that is added to CSeq.
        self._shift = 0

    @property
    def request(self) -> Request:
        """The request as received."""
        request = self.forwarding.request
        assert request is not None
        return request

    @property
    def budget(self) -> Budget:
        """The budget that is left for the generations of its request (``sansip.proxy.budget``)."""
        return self.forwarding.budget

    # --- sending

    def resume(
        self,
        transaction: ClientTransaction,
        hop: NextHop,
        branch: str,
        provisional: bool,
        rang: float,
        timer: Timer | None,
    ) -> None:
        """Go on with what ``proxy.usual`` has begun; ``timer`` is Timer C."""
        self._go_on(transaction, hop, branch, provisional, timer)
        self._rang = rang

    def start(self, now: float) -> None:
        """Find the next hop and send, at once where no name must be resolved."""
        forwarding, proxy = self.forwarding, self.proxy
        try:
            base = self._base = copy_for(self.request, self.target, self.breadth)
            hop = route_of(proxy.client, base, self.target)
        except RemoteProtocolError as error:
            self.refuse(error.status, now)
            return
        if forwarding.accounts is not None:
            self._answers = proxy.client.auth.answers(hop.host, forwarding.accounts)
            self._shift = proxy.shifts.of(base, forwarding.marked)
        if forwarding.answer:
            proxy.timers.start(now, forwarding.answer, self, "answer")
        self.locate(hop, now)

    def _way(self, transport: str, ip: str) -> tuple[Listener | None, Flow | None]:
        proxy, target = self.proxy, self.target
        assert self._base is not None
        assert self._hop is not None
        alive = None if target.flow is None else flow_for(proxy.client, self._base, target)
        if alive is None:
            listener = proxy.listeners.reach(transport, ip, self._prefer)
        else:
            listener = proxy.listeners[alive.listener]
        if listener is None or not (
            listener.accepts or can_be_recorded(self._hop, self.forwarding.record_route)
        ):
            return None, None
        if target.alone:
            place = self._place if alive is None else (alive.transport, alive.host, alive.port)
            assert place is not None
            if not self._owner.claim(self, place):
                self._taken = True
                return None, None
        return listener, alive

    def _prepare(
        self, transport: str, listener: Listener, alive: Flow | None, may_switch: bool, now: float
    ) -> Request | None:
        request = self._copy(listener, alive)
        handle = self.forwarding.handle
        if handle is None:
            return request
        # It leaves once modules have seen it. There is nothing to be cancelled until then.
        self.state = PREPARING
        self.transaction = None
        given = (request, transport, listener, alive, may_switch)
        allowed = handle.modules.hooks.leaving(handle, self, request, self._go, given, now)
        if allowed and self.state is PREPARING:
            return request
        if allowed is not None:
            self._go(given, allowed, now)
        return None

    def _go(self, given: Any, allowed: bool, now: float) -> None:
        if allowed:
            self.feed("allowed", given, now)
        else:
            # A module that has to change it failed, or the caller gave up meanwhile.
            self.feed("refused", 487 if self._owner.cancelled else 500, now)

    def _copy(self, listener: Listener, alive: Flow | None) -> Request:
        base = self._base
        assert base is not None
        assert self._hop is not None
        assert self._place is not None
        # Another address, or another transport, would need a copy of its own.
        again = (
            self._places
            or self._answers is not None
            or self._shift > 0
            or sum(map(len, base.lines)) + len(base.body) > self.client.tcp_above - _GROWTH
        )
        request = base.copy() if again else base
        proxy, forwarding = self.proxy, self.forwarding
        if proxy.trust.exists:
            transport, host, port = self._place
            keep_back(proxy, request, alive or Flow(transport, 0, (host, port)))
        if self._answers is not None:
            self._answers.apply(request)
        record, shift_mark = forwarding.record_route, ""
        if self._shift:
            forwarding.cseq = base.first_line("cseq") or ""
            shift_mark = proxy.shifts.mark(base, self._shift)
            proxy.shifts.apply(request, forwarding.marked, self._shift)
            # A proxy that has raised CSeq has to stay on the path.
            record = forwarding.record_if_raised if record is None else record
        if record is not None:
            add_record_route(
                proxy.listeners,
                request,
                forwarding.listener,
                listener,
                record.mark(self._place[1]),
                forwarding.came,
                goes_token(proxy, base, self.target, alive, listener),
                self._hop.sips,
                shift_mark,
            )
        if forwarding.path is not None:
            # If we accept no connections by this transport, the next hop reaches us at the listener that the
            # phone used.
            shown = listener if listener.accepts else proxy.listeners[forwarding.listener]
            forwarding.path.add(request, shown, self._hop.sips)
        return request

    def _may_switch(self) -> bool:
        # A phone behind a NAT can only be reached by its flow.
        return self.target.address is None and super()._may_switch()

    def _leaving(self, now: float) -> bool:
        self._rang = 0.0
        if self.forwarding.is_invite:
            # RFC 3261 16.6 step 11
            self._wait(now, self.proxy.values.c)
        elsewhere = bool(self.target.instance) and self._owner.can_fail_over(self)
        return elsewhere or (self.target.binding is not None and node_flow(self.target) is not None)

    def _repeat(self, now: float) -> bool:
        base = self._base
        if base is None or not self.proxy.shifts.note(base, self._shift + 1):
            return False
        self._shift += 1
        return True

    # --- what comes back

    def _progress(self, response: Response, now: float) -> None:
        # RFC 3261 16.7 step 2: it rings still, so Timer C starts again. It is
        # let run out, and looks at this time then.
        self._rang = now
        assert self.transaction is not None
        self._take_back(self.transaction, response)
        handle = self.forwarding.handle
        if handle is None or handle.modules.hooks.received(handle, self, response, self._pass_on, now):
            if self.final is None:
                self._owner.provisional_received(response, now)

    def _pass_on(self, response: Response, now: float) -> None:
        if self.final is None:
            self._owner.provisional_received(response, now)

    def _take_back(self, transaction: ClientTransaction, response: Response) -> None:
        """Make ``response`` what goes back (RFC 3261 16.7 step 3)."""
        forwarding = self.forwarding
        take_back(self.proxy, forwarding, response, transaction.flow, stranger=self.target.binding is None)
        if self.final is None and "via" not in response.keys:
            # Some phones answer an INVITE that was cancelled with the Via of
            # the CANCEL, which is ours alone. The transaction knows the rest.
            for value in reversed(self.request.get_all("via")):
                response.prepend("Via", value)

    def remainder(self) -> ClientUser:
        # Where no module looks at responses the owner is enough for a further 2xx.
        forwarding = self.forwarding
        handle = forwarding.handle
        looks = handle is not None and forwarding.is_invite and handle.modules.hooks.changes_responses
        return self if looks else self._owner

    def rest(self) -> None:
        """Keep of the final response, which has gone back, that there was one: a further 2xx may come."""
        self.final = _GONE

    def _finish(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        transaction.user = self.remainder()
        self._take_back(transaction, response)
        handle = self.forwarding.handle
        if handle is None:
            self._decide(response, now)
            return
        hooks = handle.modules.hooks
        if response.status < 300 and self.forwarding.is_invite and hooks.changes_responses:
            # RFC 3261 13.3.1.4: it comes again until its ACK does.
            accepted, tag = waits_of(handle).accepted, response.to_tag or ""
            if tag in accepted:
                if (before := accepted[tag]) is not None:
                    self._owner.send_octets(before, now)
                return
            accepted[tag] = None
        if hooks.received(handle, self, response, self._decide, now):
            self._decide(response, now)

    def _decide(self, response: Response, now: float) -> None:
        status = response.status
        first = self.final is None
        if not first and status >= 300:
            # It was given up while it waited.
            return
        self.state = OVER
        self._base = None
        if first and self.target.instance and status in _FLOW_FAILED:
            if status == 430:
                self.proxy.flow_lost(self.target.binding, now)
            if self._owner.fail_over(self, now):
                self.final = response
                return
            if status == 430:
                # RFC 5626 11.5: it is between proxies, and no endpoint's to see.
                response = response_to(self.request, 480, to_tag=self._owner.local_tag())
        self.final = response
        if first and self.forwarding.handle is not None:
            self.forwarding.handle.modules.hooks.ended(self.forwarding.handle, self, status, now)
        self._owner.final_received(response, first, now)

    # --- what does not come

    def hurry(self, argument: Any, now: float) -> None:
        node = node_flow(self.target)
        if node is not None:
            self.proxy.node_silent(node.life, now)
        if self._places:
            super().hurry(argument, now)
        elif self._owner.can_fail_over(self):
            # RFC 5626 7: a silent flow; the phone has another.
            self.feed("give up", None, now)

    def _no_way(self, now: float) -> None:
        hop = self._hop
        if self._taken and not self._id:
            self._owner.withdraw(self, now)
        elif hop is not None and hop.secure and not hop.sips and self._place is not None and not self._id:
            # RFC 5630 5.3: the target wants TLS, and there is none to be had.
            self._fail(480, now, (REQUIRED,))
        else:
            self._fail(503, now)

    def _unreachable(self) -> int:
        # RFC 3261 16.9: a transport error is a 503; RFC 5626 5.3.1: a 430 where it was that of the only flow.
        # RFC 3261 21.4.18: if another node is gone with the phone's connection, the status is that of an
        # absent user.
        return gone_status(self.target) or (480 if node_flow(self.target) else 503)

    def _fail(self, status: int, now: float, headers: Iterable[tuple[str, str]] = ()) -> None:
        cancelled = self._cancel_reason is not None
        if cancelled:
            status = 487
        elif self.target.instance and status == 430:
            self.proxy.flow_lost(self.target.binding, now)
            # RFC 5626 11.5: it is between proxies, and no endpoint's to see.
            status = 480
        forwarding = self.forwarding
        self.final = response_to(self.request, status, to_tag=self._owner.local_tag(), headers=headers)
        self._base = None
        if not cancelled and self.target.instance and self._owner.fail_over(self, now):
            return
        if forwarding.handle is not None:
            forwarding.handle.modules.hooks.ended(forwarding.handle, self, status, now)
        self._owner.final_received(self.final, True, now)

    # --- the flows of phones

    def flow_died(self, transaction: ClientTransaction, other: Flow | None, now: float) -> None:
        """The connection over which the phone rings is gone; ``other`` is a flow that it has still.

        Only where the phone opened it: a server answers over another one (RFC 3261 18.2.2).
        """
        if transaction.flow is not self.target.flow:
            return
        if other is not None:
            # The phone rings on. It would refuse the INVITE sent again as one that it has already (8.2.2.2).
            self.follow(transaction, other)
        elif transaction is self.transaction:
            # The phone is gone: do not wait for it until Timer C.
            self.feed("lost", gone_status(self.target), now)

    def follow(self, transaction: ClientTransaction, flow: Flow) -> None:
        """The phone answers over ``flow`` now, and is cancelled over that (RFC 3261 9.1)."""
        if transaction is self.transaction and self.final is None:
            self.target = replace(self.target, flow=flow)
            self.proxy.sender.hand_over(transaction, flow)

    def node_gone(self, life: str, now: float, *, back: bool) -> None:
        """A node's ``life`` ended: the phones of its connections cannot answer any more.

        ``back``: the node is there again, in another life, and repeats of requests over datagrams reach it.
        """
        node = node_flow(self.target)
        if node is not None and node.life == life and (node.conn or not back):
            self.feed("lost", 480, now)

    # --- giving up

    def give_up(self, now: float) -> None:
        """Count as a 408, for the route waits no longer; a CANCEL follows as soon as it may.

        A 2xx that crosses it still counts (RFC 3261 9.1).
        """
        self.feed("give up", None, now)

    # --- timers

    def _wait(self, now: float, timer_c: float) -> None:
        """Run Timer C for ``timer_c`` seconds, or until the INVITE has rung long enough."""
        self._set_timer(now, next_look(timer_c, self._owner.ring_left(now)), "timer C")

    def timer_fired(self, name: str, now: float) -> None:
        if name == "timer C":
            self._timer = None
            self._look(now)
        elif name == "answer":
            self.feed("no answer", None, now)
        else:
            super().timer_fired(name, now)

    def _look(self, now: float) -> None:
        """Timer C, or the time that an INVITE may ring, may be over."""
        if self._owner.ring_left(now) < 1.0:
            self._owner.ring_out(now)
            return
        left = self._rang + self.proxy.values.c - now
        if self._rang and left > 0:
            # To the half second: see ``next_look``.
            self._wait(now, ceil(2 * left) / 2)
        else:
            # RFC 3261 16.8: cancelled where it rings for ever, or nothing was heard.
            self.feed("overdue", None, now)
