"""One branch of a forked request: a target, its addresses, its transaction.

Theory of operation: a branch sends the request to one target and reports to its
response context. It goes through the places of the target, each a transport and
an address, one by one (RFC 3263 4.3): the next is tried, with a new client
transaction, when one times out, cannot be reached, or answers 503. It is done
when ``final`` is set.

Where others are left, silence counts as a failure after
``ProxyConfig.failover_time`` already, and not after 64*T1. A place that was given up may
have been slow only, so that transaction is not forgotten: it sends no more, but a 2xx of
it still counts, and when it begins to ring it is cancelled.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from math import ceil
from typing import TYPE_CHECKING, Any

from sansip.client.cancel import cancel_forgotten, forget, send_cancel
from sansip.client.via import new_branch, seal
from sansip.errors import RemoteProtocolError
from sansip.location import NodeFlow
from sansip.proxy.assertions import keep_private
from sansip.proxy.copying import copy_for
from sansip.proxy.credentials import withhold_credentials
from sansip.proxy.destination import flow_for, route_of
from sansip.proxy.flow_tokens import goes_token
from sansip.proxy.record_route import add_record_route, can_be_recorded
from sansip.proxy.returning import is_trusted, take_back
from sansip.proxy.ringing import next_look
from sansip.proxy.secure import REQUIRED
from sansip.transport.flow import Flow
from sansip.transport.transports import TCP, UDP
from sansip.wire import response_to

if TYPE_CHECKING:
    from sansip.auth import Answers
    from sansip.clock import Timer
    from sansip.proxy.budget import Budget
    from sansip.proxy.context import ResponseContext
    from sansip.proxy.target import Target
    from sansip.transaction import ClientTransaction
    from sansip.transport import Listener, NextHop
    from sansip.transport.dns import Place
    from sansip.wire import Request, Response

__all__ = ["Branch"]

# Octets that line ends, our Via and our Record-Route add at the most, nearly always.
_GROWTH = 400


# RFC 5626 7: after these another flow of the same phone may be tried.
_FLOW_FAILED = (408, 430)


class Branch:
    """A target being tried. It is the user of its client transactions."""

    __slots__ = (
        "_addresses",
        "_answers",
        "_base",
        "_cancel_sent",
        "_cancel_wanted",
        "_given_up",
        "_held",
        "_hop",
        "_hurry",
        "_id",
        "_place",
        "_rang",
        "_shift",
        "_switched",
        "_taken",
        "_timer",
        "breadth",
        "context",
        "final",
        "provisional",
        "target",
        "transaction",
    )

    def __init__(self, context: ResponseContext, target: Target, breadth: int) -> None:
        self.context = context
        self.target = target
        self.breadth = breadth
        self.transaction: ClientTransaction | None = None
        # The final response of this branch, or one made for it.
        self.final: Response | None = None
        self.provisional = False
        # When the last provisional response but 100 came.
        self._rang = 0.0
        # Places left to try, and the one being tried.
        self._addresses: list[Place] = []
        self._place: Place | None = None
        self._base: Request | None = None
        self._hop: NextHop | None = None
        self._id = ""
        # TCP is being tried because the request is large; the same address
        # stands first in ``_addresses``, for UDP.
        self._switched = False
        # A place of its target is that of another branch.
        self._taken = False
        self._timer: Timer | None = None
        # Runs while nothing was heard of this place and others are left.
        self._hurry: Timer | None = None
        # The final response is here, and waits for a module (``sansip.proxy.waiting``).
        self._held = False
        # INVITEs that nobody wants answered any more, and that were not cancelled yet.
        self._given_up: tuple[ClientTransaction, ...] = ()
        self._cancel_wanted: str | None = None
        self._cancel_sent = False
        # Who answers challenges on our behalf, and what is added to CSeq.
        self._answers: Answers | None = None
        self._shift = 0

    @property
    def budget(self) -> Budget:
        """What is left for the generations of its request (``sansip.proxy.budget``)."""
        return self.context.budget

    # --- sending

    def start(self, now: float) -> None:
        """Find the next hop and send, at once where no name must be resolved."""
        context = self.context
        proxy = context.proxy
        try:
            base = self._base = copy_for(context.request, self.target)
            hop = self._hop = route_of(proxy.client, base, self.target)
        except RemoteProtocolError as error:
            self._fail(error.status, now)
            return
        if context.accounts is not None:
            self._answers = proxy.client.auth.answers(hop.host, context.accounts)
            self._shift = proxy.shifts.of(base, context.marked)
        if context.answer:
            proxy.timers.start(now, context.answer, self, "answer")
        # RFC 5393 5.3.3.2: each branch gets its share of the breadth.
        base.set_line("max-breadth", f"Max-Breadth: {self.breadth}")
        if hop.numeric:
            self._addresses = [(hop.transport, hop.host, hop.port)]
            self._try_next(now)
        else:
            proxy.client.places.resolve(hop.question(), self._resolved, now)

    def _resolved(self, addresses: Any, now: float) -> None:
        if self.final is not None:
            return
        assert self._hop is not None
        # RFC 3263 4.3 and RFC 3261 16.9: where there is none it is as if a 503
        # had come; it leaves as 500.
        self._addresses = self.context.proxy.client.places.take(addresses, self._hop, now)
        self._try_next(now)

    def _try_next(self, now: float) -> None:
        while self._addresses:
            self._place = self._addresses.pop(0)
            if self._send(*self._place, now):
                return
        if self._taken and not self._id:
            self.context.withdraw(self, now)
            return
        # No listener of ours speaks this transport or address family.
        hop = self._hop
        if hop is not None and hop.secure and not hop.sips and self._place is not None and not self._id:
            # RFC 5630 5.3: the target wants TLS, and there is none to be had.
            self._fail(480, now, (REQUIRED,))
        else:
            self._fail(503, now)

    def _send(self, transport: str, ip: str, port: int, now: float) -> bool:
        context = self.context
        proxy = context.proxy
        target = self.target
        assert self._base is not None
        alive = flow_for(proxy.client, self._base, target)
        prefer = context.leaves if target.listener is None else target.listener
        listener = (
            proxy.listeners.reach(transport, ip, prefer) if alive is None else proxy.listeners[alive.listener]
        )
        assert self._hop is not None
        if listener is None or not (listener.accepts or can_be_recorded(self._hop, context.record_route)):
            return False
        if target.alone and (places := context.places) is not None:
            place = (transport, ip, port) if alive is None else (alive.transport, alive.host, alive.port)
            if places.setdefault(place, self) is not self:
                self._taken = True
                return False
        # What is known of an attempt is forgotten with it (RFC 3261 9.1: a CANCEL
        # waits for a provisional response to this very request).
        self.provisional = False
        self._rang = 0.0
        self._id = new_branch(proxy.entropy, context.hashed)
        refused, self._switched = self._switched, False
        self._prepare(transport, listener, alive, not refused, now)
        return True

    def _prepare(
        self, transport: str, listener: Listener, alive: Flow | None, may_switch: bool, now: float
    ) -> None:
        """Make the copy that leaves by ``listener``; it leaves once modules have seen it."""
        request = self._copy(listener)
        handle = self.context.handle
        if handle is None:
            self._leave(request, transport, listener, alive, may_switch, True, now)
            return
        # There is nothing to be cancelled until it leaves.
        self.transaction = None
        go = partial(self._leave, request, transport, listener, alive, may_switch)
        self.context.proxy.hooks.leaving(handle, self, request, go, now)

    def _leave(
        self,
        request: Request,
        transport: str,
        listener: Listener,
        alive: Flow | None,
        may_switch: bool,
        allowed: bool,
        now: float,
    ) -> None:
        if self.final is not None:
            # It was given up while it waited.
            return
        context = self.context
        proxy = context.proxy
        if not allowed:
            # A module that has to change it failed, or the caller gave up meanwhile.
            self._fail(487 if context.cancelled else 500, now)
            return
        data = seal(request, listener, self._id)
        if not data:
            self._fail(500, now)
            return
        assert self._place is not None
        _, ip, port = self._place
        above = proxy.config.tcp_above
        if (
            transport == UDP
            and above
            and len(data) > above
            and request is not self._base
            and may_switch
            and self._may_switch()
            and not proxy.client.places.avoided.holds((TCP, ip, port), now)
        ):
            # RFC 3261 18.1.1: too large for UDP on an unknown path, so TCP, and
            # UDP after all where nobody listens.
            prefer = context.leaves if self.target.listener is None else self.target.listener
            stream = proxy.listeners.reach(TCP, ip, prefer)
            if stream is not None:
                self._switched = True
                self._addresses.insert(0, self._place)
                self._prepare(TCP, stream, alive, False, now)
                return
        assert self._hop is not None
        flow = alive or Flow(transport, listener.id, (ip, port), name=self._hop.proves(transport))
        transaction = self.transaction = proxy.transactions.open_client(self._id, request, data, flow, self)
        if context.is_invite:
            # RFC 3261 16.6 step 11
            self._wait(now, proxy.values.c)
        if proxy.config.failover_time and (
            self._addresses or (context.spare and context.can_fail_over(self)) or self._owner() is not None
        ):
            self._hurry = proxy.timers.start(now, proxy.config.failover_time, self, "failover")
        transaction.start(now)

    def _copy(self, listener: Listener) -> Request:
        """Return the request as it leaves by ``listener``, but for our Via."""
        assert self._base is not None
        context = self.context
        proxy = context.proxy
        # Another address, or another transport, would need a copy of its own.
        base = self._base
        again = (
            self._addresses or sum(map(len, base.lines)) + len(base.body) > proxy.config.tcp_above - _GROWTH
        )
        again = again or self._answers is not None or self._shift > 0
        request = base.copy() if again else base
        record, shift_mark = context.record_route, ""
        if proxy.trust.exists and not self._will_trust(flow_for(proxy.client, base, self.target)):
            withhold_credentials(request, proxy.trust)
            keep_private(request)
        if self._answers is not None:
            self._answers.apply(request)
        if self._shift:
            context.keep_cseq(base)
            shift_mark = proxy.shifts.mark(base, self._shift)
            proxy.shifts.apply(request, context.marked, self._shift)
            # Who has raised CSeq has to stay on the path.
            record = context.record_if_raised if record is None else record
        if record is not None:
            assert self._place is not None
            mark = record.mark(self._place[1])
            goes = goes_token(proxy, base, self.target, listener)
            secure = self._hop is not None and self._hop.sips
            add_record_route(
                proxy.listeners,
                request,
                context.listener,
                listener,
                mark,
                context.came,
                goes,
                secure,
                shift_mark,
            )
        if context.path is not None:
            # Who cannot be connected to by this transport is found where the phone found us.
            shown = listener if listener.accepts else proxy.listeners[context.listener]
            context.path.add(request, shown, self._hop is not None and self._hop.sips)
        return request

    def _may_switch(self) -> bool:
        # A URI that says transport=udp means it, and a phone behind a NAT can
        # only be reached by its flow.
        return self.target.address is None and self._hop is not None and not self._hop.explicit

    # --- what comes back

    def response_received(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        status = response.status
        if (transaction is not self.transaction or self.final is not None) and not 200 <= status < 300:
            # A late answer of an address that was given up; a 2xx still counts.
            if status >= 300:
                transaction.user = self.context
            elif transaction in self._given_up:
                # RFC 3261 9.1: it rings, so it may be cancelled.
                self._cancel_given_up(transaction, now)
            return
        if self._switched:
            # TCP works, so UDP is not needed for this address.
            self._switched = False
            del self._addresses[0]
        if status < 200:
            self._provisional_received(transaction, response, now)
            return
        self._stop_timer()
        # What may still come is a further 2xx, for which the context is enough where no module looks.
        context = self.context
        transaction.user = self if context.handle is not None and context.is_invite else context
        if self._answers is not None and self._challenged(self._answers, response, now):
            return
        if status == 503:
            self._avoid(now, response.get("retry-after"))
            if self._addresses and self._cancel_wanted is None:
                # RFC 3263 4.3: a 503 means the next server.
                self._try_next(now)
                return
        else:
            self._answered()
        self._take_via(transaction, response)
        handle = self.context.handle
        if handle is None:
            self._take_final(transaction, response, now)
            return
        hooks = self.context.proxy.hooks
        if status < 300 and self.context.is_invite:
            # RFC 3261 13.3.1.4: it comes again until its ACK does.
            again, before = hooks.repeats(handle, response)
            if again:
                if before is not None:
                    self.context.send_octets(before, now)
                return
        self._held = transaction is self.transaction
        hooks.received(handle, self, response, partial(self._take_final, transaction, response), now)

    def _take_final(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        status = response.status
        self._held = False
        self._base = None
        first = self.final is None
        if not first and status >= 300:
            # It was given up while it waited.
            return
        if first and self.target.instance and status in _FLOW_FAILED:
            if status == 430:
                self.context.proxy.flow_lost(self.target.binding, now)
            if self.context.fail_over(self, now):
                self.final = response
                return
            if status == 430:
                # RFC 5626 11.5: it is between proxies, and no endpoint's to see.
                response = response_to(self.context.request, 480, to_tag=self.context.local_tag())
        self.final = response
        if transaction is not self.transaction and first:
            # The slow one was first after all.
            self._give_up_current(now)
        if first and self.context.handle is not None:
            self.context.proxy.hooks.ended(self.context.handle, self, status, now)
        self.context.final_received(response, first, now)

    def _challenged(self, answers: Answers, response: Response, now: float) -> bool:
        """Answer a challenge meant for us; return whether the request was sent again."""
        base, place = self._base, self._place
        if response.status not in (401, 407) or base is None or place is None:
            if response.status < 300 and place is not None:
                answers.succeeded(response, place[1])
            return False
        proxy = self.context.proxy
        if answers.take(response):
            if self._cancel_wanted is not None:
                answers.strip(response)
                response.set_status(487)
                return False
            if proxy.shifts.note(base, self._shift + 1):
                self._shift += 1
                self._answered()
                self._addresses.insert(0, place)
                self._try_next(now)
                return True
            answers.strip(response)
        if not (response.has("www-authenticate") or response.has("proxy-authenticate")):
            # The caller can do nothing about it (RFC 3261 16.7 step 6 knows no better).
            response.set_status(500, "Upstream Refused Our Credentials")
        return False

    def _provisional_received(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        self.provisional = True
        # RFC 3263 4.3: a place that was heard of has not failed.
        self._stop_hurry()
        if self._cancel_wanted is not None:
            # RFC 3261 9.1: a CANCEL waits for the first provisional response.
            self._send_cancel(now)
        if response.status == 100:
            return
        # RFC 3261 16.7 step 2: it rings still, so Timer C starts again. It is
        # let run out, and looks at this time then.
        self._rang = now
        self._take_via(transaction, response)
        handle = self.context.handle
        if handle is None:
            self.context.provisional_received(response, now)
        else:
            self.context.proxy.hooks.received(handle, self, response, partial(self._pass_on, response), now)

    def _pass_on(self, response: Response, now: float) -> None:
        if self.final is None:
            self.context.provisional_received(response, now)

    def _take_via(self, transaction: ClientTransaction, response: Response) -> None:
        """Make ``response`` what goes back (RFC 3261 16.7 step 3)."""
        context = self.context
        take_back(
            context.proxy,
            response,
            transaction.flow,
            caller=context.server.flow,
            stranger=self.target.binding is None,
            recording=context.recording,
            cseq=context.cseq,
        )
        if not response.has("via") and self.final is None:
            # Some phones answer an INVITE that was cancelled with the Via of
            # the CANCEL, which is ours alone. The transaction knows the rest.
            for value in reversed(context.request.get_all("via")):
                response.prepend("Via", value)

    def _will_trust(self, alive: Flow | None) -> bool:
        """Whether the place being tried is trusted; ``alive`` is the flow to it, if there is one."""
        proxy = self.context.proxy
        if alive is not None:
            return is_trusted(proxy, alive)
        return self._place is not None and proxy.trust.trusts(Flow(self._place[0], 0, self._place[1:]))

    def client_failed(self, transaction: ClientTransaction, reason: str, now: float) -> None:
        if transaction is not self.transaction or self.final is not None:
            return
        self._stop_timer()
        self._avoid(now, None)
        # RFC 3263 4.3: a timeout is a failure where nothing at all was heard.
        heard = reason == "timeout" and self.provisional
        if self._addresses and self._cancel_wanted is None and not heard:
            self._try_next(now)
            return
        # RFC 3261 16.8 and 16.9: silence is a 408, a transport error a 503; RFC 5626
        # 5.3.1: a 430 where it was that of the only flow. RFC 3261 21.4.18: where another
        # node is gone with the phone's connection, it is the user who is not there.
        gone = self._flow_status() or (480 if self._owner() else 503)
        self._fail(408 if reason == "timeout" else gone, now)

    def _flow_status(self) -> int:
        """Return the status that says that the connection of a phone is gone, 0 where it had none."""
        target = self.target
        if target.only or target.bound:
            return 430
        # RFC 3261 21.4.18: it is the phone that is not there, and no server; where its
        # connection is gone, it was looked for at its Contact.
        had = target.flow or getattr(target.binding, "flow", None)
        return 480 if getattr(had, "conn", 0) else 0

    def flow_died(self, transaction: ClientTransaction, other: Flow | None, now: float) -> None:
        """The connection over which the phone rings is gone; ``other`` is a flow that it has still.

        Only where the phone opened it: a server answers over another one (RFC 3261 18.2.2).
        """
        if transaction.flow is not self.target.flow:
            return
        if other is not None:
            # It rings on. The INVITE once more it would refuse as one that it has (8.2.2.2).
            self.follow(transaction, other)
            return
        if transaction is not self.transaction or self.final is not None:
            return
        # Nobody waits for it until Timer C.
        self._stop_timer()
        transaction.terminate(None, now)
        self._fail(self._flow_status(), now)

    def follow(self, transaction: ClientTransaction, flow: Flow) -> None:
        """The phone answers over ``flow`` now, and is cancelled over that (RFC 3261 9.1)."""
        if transaction is self.transaction and self.final is None:
            self.target = replace(self.target, flow=flow)
            self.context.proxy.sender.hand_over(transaction, flow)

    def node_gone(self, life: str, now: float, *, back: bool) -> None:
        """A node's ``life`` ended: what was sent to a phone of its connections is answered by nobody.

        ``back``: the node is there again, in another life, and repeats of what was sent over
        datagrams reach it.
        """
        owner = self._owner()
        if owner is None or owner.life != life or (back and not owner.conn):
            return
        if self.final is None and self.transaction is not None:
            self._stop_timer()
            self.transaction.terminate(None, now)
            self._fail(480, now)

    def _owner(self) -> NodeFlow | None:
        """Return the flow of another node that this leads to, or None."""
        flow = getattr(self.target.binding, "flow", None)
        return flow if isinstance(flow, NodeFlow) and self.target.path else None

    def _avoid(self, now: float, retry_after: str | None) -> None:
        """Have the next calls to this name begin with another of its servers."""
        if self._switched:
            # The same address is tried over UDP next, and large requests after this one at once.
            _, ip, port = self._addresses[0]
            self.context.proxy.client.places.avoid((TCP, ip, port), None, now)
            return
        # One that a name did not lead to has no others; phones come and go.
        if self._place is not None and self._hop is not None and not self._hop.numeric:
            self.context.proxy.client.places.avoid(self._place, retry_after, now)

    def _answered(self) -> None:
        if self._place is not None and self._hop is not None and not self._hop.numeric:
            self.context.proxy.client.places.avoided.forget(self._place)

    def _fail(self, status: int, now: float, headers: Iterable[tuple[str, str]] = ()) -> None:
        if self._cancel_wanted is not None:
            status = 487
        elif self.target.instance and status == 430:
            self.context.proxy.flow_lost(self.target.binding, now)
            # RFC 5626 11.5: it is between proxies, and no endpoint's to see.
            status = 480
        tag = self.context.local_tag()
        self.final = response_to(self.context.request, status, to_tag=tag, headers=headers)
        self._base = None
        if self._cancel_wanted is None and self.target.instance and self.context.fail_over(self, now):
            return
        if self.context.handle is not None:
            self.context.proxy.hooks.ended(self.context.handle, self, status, now)
        self.context.final_received(self.final, True, now)

    # --- cancelling

    def cancel(self, now: float, reason: str | None) -> None:
        """Stop trying this target (RFC 3261 9.1, 16.10). ``reason`` as in RFC 3326."""
        if self.final is not None or self._cancel_wanted is not None or self._held:
            return
        self._cancel_wanted = reason or ""
        if self.transaction is None:
            # Its address is still being looked up: nothing was sent.
            self._fail(487, now)
        elif not self.context.is_invite:
            # RFC 3261 9.1: only INVITE is worth cancelling.
            return
        elif self.provisional:
            self._send_cancel(now)

    # --- giving up

    def _hurried(self, now: float) -> None:
        """Nothing was heard of this place in time: try the next (``ProxyConfig.failover_time``)."""
        transaction = self.transaction
        if self.final is not None or transaction is None or not transaction.unanswered:
            return
        if self._cancel_wanted is not None:
            return
        owner = self._owner()
        if owner is not None:
            self.context.proxy.node_silent(owner.life, now)
        if not self._addresses:
            if self.context.can_fail_over(self):
                # RFC 5626 7: a flow that says nothing; the phone has another.
                self._stop_timer()
                self._give_up_current(now)
                self._fail(408, now)
            return
        self._give_up_current(now)
        self._avoid(now, None)
        self._try_next(now)

    def give_up(self, now: float) -> None:
        """Count as a 408, for the route waits no longer; a CANCEL follows as soon as it may.

        A 2xx that crosses it still counts (RFC 3261 9.1).
        """
        if self.final is None:
            self._stop_timer()
            if self.transaction is not None and not self._held:
                self._give_up_current(now)
            self._fail(408, now)

    def _give_up_current(self, now: float) -> None:
        transaction = self.transaction
        assert transaction is not None
        transaction.fall_silent()
        if self.context.is_invite:
            if self._cancel_sent:
                # RFC 3261 9.1: another one of its branch would be a retransmission.
                forget(self.context.proxy.transactions, transaction, now)
                return
            self._given_up = (*self._given_up, transaction)
            if self.provisional:
                self._cancel_given_up(transaction, now)

    def _cancel_given_up(self, transaction: ClientTransaction, now: float) -> None:
        self._given_up = tuple(one for one in self._given_up if one is not transaction)
        cancel_forgotten(self.context.proxy.transactions, transaction, None, now)

    def _send_cancel(self, now: float) -> None:
        if self._cancel_sent or self.transaction is None:
            return
        self._cancel_sent = True
        send_cancel(self.context.proxy.transactions, self.transaction, self._cancel_wanted or None, now)
        # RFC 3261 9.1: without a final response within 64*T1 it counts as cancelled.
        self._set_timer(now, self.context.proxy.values.t1x64, "cancelled")

    # --- timers

    def _wait(self, now: float, timer_c: float) -> None:
        """Run Timer C for ``timer_c`` seconds, or until the INVITE has rung long enough."""
        self._set_timer(now, next_look(timer_c, self.context.ring_left(now)), "timer C")

    def _set_timer(self, now: float, duration: float, name: str) -> None:
        self._stop_timer()
        self._timer = self.context.proxy.timers.start(now, duration, self, name)

    def _stop_timer(self) -> None:
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
            self._hurried(now)
            return
        if name == "answer":
            heard = (
                self.provisional
                or self._held
                or (self.transaction is not None and not self.transaction.unanswered)
            )
            if not heard and self._cancel_wanted is None:
                self.give_up(now)
            return
        self._timer = None
        if self.final is not None or self.transaction is None:
            return
        if name == "timer C" and self.context.ring_left(now) < 1.0:
            self.context.ring_out(now)
            return
        left = self._rang + self.context.proxy.values.c - now
        if name == "timer C" and self._rang and left > 0:
            # To the half second: see ``next_look``.
            self._wait(now, ceil(2 * left) / 2)
            return
        if name == "timer C" and self.provisional:
            # RFC 3261 16.8: a branch that rings for ever is cancelled.
            self.cancel(now, None)
            return
        # RFC 3261 16.8 (nothing was heard) and 9.1 (nothing followed the CANCEL).
        self.transaction.terminate(None, now)
        self._fail(408, now)
