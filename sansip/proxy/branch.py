"""One branch of a forked request: an attempt at a target, on behalf of its response context.

Theory of operation: ``client.attempt`` and its table define what an attempt does, ``Leaving`` makes copies
that leave. A branch adds the rest of the work of a proxy. An INVITE has Timer C. A branch removes from each
response what it added to the copies, and passes the response to its owner, the response context (16.7). It is
done when ``final`` is set.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from math import ceil
from typing import TYPE_CHECKING, Any, Final

from sansip.client.life import ANSWERED, OVER, PREPARING
from sansip.proxy.flow_loss import gone_status, node_flow
from sansip.proxy.hooks import waits_of
from sansip.proxy.leaving import Leaving
from sansip.proxy.returning import take_back
from sansip.proxy.ringing import next_look
from sansip.proxy.secure import REQUIRED
from sansip.wire import Response, response_to

if TYPE_CHECKING:
    from sansip.transaction import ClientTransaction
    from sansip.transaction.base import ClientUser
    from sansip.transport.flow import Flow
    from sansip.transport.next_hop import NextHop
    from sansip.wire import Request

__all__ = ["GONE", "Branch"]

# RFC 5626 7: after these another flow of the same phone may be tried.
_FLOW_FAILED = (408, 430)

# Stands for a final response that is not needed any more.
GONE: Final = Response()


class Branch(Leaving):
    """A target being tried."""

    __slots__ = ()

    # --- what ``proxy.watched`` has begun

    def await_hooks(self, hop: NextHop, branch: str, message: Request) -> None:
        """Wait for modules, which look at ``message``: it is to go to ``hop`` with ``branch``."""
        self._hop = hop
        self._place = (hop.transport, hop.host, hop.port)
        self._id = branch
        self._base = message
        self.state = PREPARING

    def be_answered(self, final: Response | None) -> None:
        """The final response is here, and modules look at it; ``final``: it is this, and they did."""
        self._stop_timers()
        self.state = ANSWERED
        if final is not None:
            self.state = OVER
            self._base = None
            self.final = final

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
        self.final = GONE

    def _finish(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        transaction.user = self.remainder()
        self._take_back(transaction, response)
        if "via" not in response.keys:
            # A further one, which leads to no caller.
            return
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
        elif self._barred:
            self._fail(403, now)
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
