"""A plain INVITE on its way to a gateway, which nobody has read.

Theory of operation: it is what ``Lcr.send`` does with its first gateway, for a call that passes as octets
(``sansip.routing.leading``). If that one fails, ``send`` goes on with the next ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from sansip.modules.failover.attempt import caller_of
from sansip.modules.failover.trail import Decision, Step
from sansip.modules.lcr.measuring import note
from sansip.modules.lcr.view import named, number_at
from sansip.proxy import Target
from sansip.routing.leading import Lead

if TYPE_CHECKING:
    from sansip.modules.calls import Call, Calls
    from sansip.modules.failover.trail import Trail
    from sansip.modules.lcr.choice import Candidate
    from sansip.modules.lcr.gateways import Gateways, Outlet
    from sansip.modules.lcr.settings import LcrSettings
    from sansip.routing import IncomingRequest
    from sansip.routing.leading import PlainCall
    from sansip.routing.relaying import Relay
    from sansip.wire import Response, SipUri

__all__ = ["LcrLead", "led_to"]


class Lcr(Protocol):
    """The module, which imports this file, as far as a lead needs it."""

    settings: LcrSettings
    _calls: Calls
    _gateways: Gateways
    _trail: Trail

    def _is_suspected(self, one: Candidate) -> bool: ...

    def _takes_call(self, outlet: Outlet) -> None: ...

    def _share(self, outlet: Outlet) -> None: ...

    def _judge(
        self,
        request: IncomingRequest,
        outlet: Outlet,
        one: Candidate,
        outcome: Response | None,
        sent: tuple[str, float],
        decision: Decision,
    ) -> bool: ...

    async def _go_on(
        self,
        request: IncomingRequest,
        number: str,
        rest: Iterator[Candidate],
        original: Any,
        caller: str,
        decision: Decision,
        attempts: int,
    ) -> bool: ...


def led_to(
    module: Lcr, call: PlainCall, number: str, taken: Sequence[Candidate], passed: Sequence[Candidate]
) -> LcrLead | None:
    """Return the lead of ``call`` to the first of ``taken`` that has room; None where it has to be read."""
    calls, caller = module._calls, caller_of(call)
    steps = [Step(named(one), one.why) for one in passed]
    rest = iter(sorted(taken, key=module._is_suspected))
    for one in rest:
        outlet = module._gateways.get(one.offer.gateway)
        why = "gone" if outlet is None else outlet.health.obstacle(call.now, caller)
        if outlet is None or why:
            steps.append(Step(named(one), why))
            continue
        gateway = outlet.gateway
        if outlet.plain is None or gateway.max_rate:
            return None
        most = gateway.max_calls
        if most:
            if not calls.counts_alone():
                return None
            if calls.count(outlet.key) >= most:
                steps.append(Step(named(one), f"has {most} calls, its max_calls"))
                continue
            if not calls.has_room(call.flow, call.authenticated):
                return None
        head, tail, place = outlet.plain
        user = number_at(outlet, call.user, number, one.offer).replace("#", "%23")
        way = f"{head}{user}{tail}", place, partial(_target, outlet.uri, user)
        return LcrLead(module, call, caller, number, outlet, one, way, rest, steps)
    return None


def _target(uri: SipUri, user: str) -> Target:
    return Target(uri.replace(user=user), chosen=True)


class LcrLead(Lead):
    """One INVITE, and the gateway that it went to."""

    __slots__ = (
        "_call",
        "_caller",
        "_decision",
        "_module",
        "_number",
        "_one",
        "_outlet",
        "_rest",
        "_steps",
        "_way",
        "answer",
        "longest",
    )

    def __init__(
        self,
        module: Lcr,
        call: PlainCall,
        caller: str,
        number: str,
        outlet: Outlet,
        one: Candidate,
        way: tuple[str, tuple[str, int], Callable[[], Target]],
        rest: Iterator[Candidate],
        steps: list[Step],
    ) -> None:
        self._module = module
        self._call = call
        self._caller = caller
        self._number = number
        self._outlet = outlet
        self._one = one
        self._way = way
        self._rest = rest
        self._steps = steps
        self.longest = len(way[0])
        self.answer = module.settings.answer

    def picks(self) -> tuple[str, tuple[str, int], Callable[[], Target]]:
        """Count the request for its gateway."""
        module, outlet = self._module, self._outlet
        call_id = self._call.opening.call_id
        self._decision = Decision(call_id, "INVITE", "", module.settings.order, self._number)
        self._decision.passed_over = self._steps
        module._trail.add(self._decision)
        module._takes_call(outlet)
        return self._way

    def begins(self, call: Call) -> None:
        """Count the call for its gateway, and note what it costs."""
        self._module._calls.count_for(call, self._outlet.key)
        note(call, self._outlet, self._one.offer, self._call.now)

    def succeeded(self, status: int, reason: str, now: float) -> None:
        """As ``Lcr._judge`` for a 2xx."""
        module, outlet = self._module, self._outlet
        self._decision.tried.append(Step(named(self._one), f"{status} {reason}"))
        outlet.health.request_answered(status, self._caller, module.settings.thresholds, now)
        module._share(outlet)

    async def goes_on(self, request: IncomingRequest, relay: Relay) -> None:
        """Judge the gateway; try the others where it failed."""
        module, decision, caller = self._module, self._decision, self._caller
        original = request.uri
        outcome = await relay
        sent = caller, self._call.now
        if not module._judge(request, self._outlet, self._one, outcome, sent, decision):
            await module._go_on(request, self._number, self._rest, original, caller, decision, 1)
