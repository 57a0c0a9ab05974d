"""The copies of a request that leave for one target (RFC 3261 16.6).

Theory of operation: ``client.attempt`` says when a copy is to be made, and for which place; this says what it
looks like and over which flow it goes. It may have to wait for modules (``sansip.proxy.hooks``). What comes
back is in ``Branch``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sansip.client.attempt import Attempt
from sansip.client.life import PREPARING
from sansip.errors import RemoteProtocolError
from sansip.proxy.copying import copy_for, keep_back
from sansip.proxy.destination import flow_for, route_of
from sansip.proxy.flow_loss import node_flow
from sansip.proxy.flow_tokens import goes_token
from sansip.proxy.record_route import add_record_route, can_be_recorded
from sansip.transport.flow import Flow

if TYPE_CHECKING:
    from sansip.client.guarded import Guard
    from sansip.clock import Timer
    from sansip.proxy.budget import Budget
    from sansip.proxy.forwarding import Forwarding
    from sansip.proxy.owner import Owner
    from sansip.proxy.proxy import Proxy
    from sansip.proxy.target import Target
    from sansip.transaction import ClientTransaction
    from sansip.transport import Listener, NextHop
    from sansip.wire import Request

__all__ = ["Leaving"]

# Octets that line ends, our Via and our Record-Route add at the most, nearly always.
_GROWTH = 400


class Leaving(Attempt):
    """A target being tried, as far as requests leave for it."""

    __slots__ = ("_barred", "_owner", "_rang", "_shift", "_taken", "breadth", "forwarding", "proxy", "target")

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
        # A place of its target is one that only modules choose.
        self._barred = False
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
        guarded = proxy.client.guarded
        if guarded.active and not self.target.chosen and (guard := guarded.names(hop)) is not None:
            self._bar(guard, hop.host, hop.port)
            self.refuse(403, now)
            return
        if forwarding.accounts is not None:
            if forwarding.accounts or self.target.chosen or not (guarded.active and guarded.beside(hop)):
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
        if proxy.client.guarded.active and self._is_barred(alive):
            return None, None
        if target.alone:
            place = self._place if alive is None else (alive.transport, alive.host, alive.port)
            assert place is not None
            if not self._owner.claim(self, place):
                self._taken = True
                return None, None
        return listener, alive

    def _is_barred(self, alive: Flow | None) -> bool:
        """Whether the place is one that only modules choose, and none did."""
        guarded = self.proxy.client.guarded
        assert self._place is not None
        assert self._hop is not None
        _, ip, port = self._place if alive is None else (alive.transport, alive.host, alive.port)
        if self.target.chosen:
            if not self._hop.numeric:
                guarded.learn(self._hop.host, ip, port)
            return False
        if alive is not None and alive.reliable:
            # Its peer opened the connection, and registered over it.
            return False
        guard = guarded.bars(ip, port)
        if guard is None:
            return False
        self._bar(guard, ip, port)
        return True

    def _bar(self, guard: Guard, ip: str, port: int) -> None:
        self._barred = True
        forwarding = self.forwarding
        self.proxy.client.guarded.refused(guard, forwarding.caller.host, self.request.method, ip, port)

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

    def _wait(self, now: float, timer_c: float) -> None:
        """Run Timer C for ``timer_c`` seconds, or until the INVITE has rung long enough."""
        raise NotImplementedError
