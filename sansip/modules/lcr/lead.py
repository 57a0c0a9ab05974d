"""A plain INVITE on its way to a gateway, which nobody has read.

Theory of operation: it is what ``Lcr.send`` does with its first gateway, for a call that passes as octets
(``sansip.routing.leading``). If that one fails, ``send`` goes on with the next ones. What `lcr.show` shows of
it is put together when an operator asks.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from sansip.modules.failover.attempt import caller_of
from sansip.modules.failover.trail import Decision, Step
from sansip.modules.lcr.choice import named, number_at
from sansip.modules.lcr.measuring import note
from sansip.proxy.target import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Sequence

    from sansip.modules.calls import Call, Calls
    from sansip.modules.failover.sharing import SharedHealth
    from sansip.modules.failover.trail import Trail
    from sansip.modules.lcr.choice import Candidate
    from sansip.modules.lcr.gateways import Gateways, Outlet
    from sansip.modules.lcr.settings import LcrSettings
    from sansip.routing import IncomingRequest
    from sansip.routing.leading import PlainCall
    from sansip.routing.relaying import Relay
    from sansip.wire import SipUri

__all__ = ["LcrLead", "led_to"]


class Lcr(Protocol):
    """The module, which imports this file, as far as a lead needs it."""

    settings: LcrSettings
    _calls: Calls
    _gateways: Gateways
    _shared: SharedHealth
    _trail: Trail

    def _takes_call(self, outlet: Outlet) -> None: ...

    def _share(self, outlet: Outlet) -> None: ...

    async def _follow(
        self,
        request: IncomingRequest,
        relay: Relay,
        number: str,
        at: tuple[Outlet, Candidate],
        rest: Iterator[Candidate],
        sent: tuple[str, float],
        decision: Decision,
    ) -> None: ...


def led_to(
    module: Lcr, call: PlainCall, number: str, taken: Sequence[Candidate], passed: Sequence[Candidate]
) -> LcrLead | None:
    """Return the lead of ``call`` to the first of ``taken`` that has room; None where it has to be read."""
    calls, caller, outlets = module._calls, caller_of(call), module._gateways.outlets
    over = [(one, one.why) for one in passed]
    able: list[tuple[Candidate, Any]] = []
    suspected: list[tuple[Candidate, Any]] = []
    for one in taken:
        outlet = outlets.get(one.offer.gateway)
        doubted = outlet is not None and bool(outlet.health.suspected)
        (suspected if doubted else able).append((one, outlet))
    able += suspected
    for place, (one, outlet) in enumerate(able):
        why = "gone" if outlet is None else outlet.health.obstacle(call.now, caller)
        if why:
            over.append((one, why))
            continue
        gateway = outlet.gateway
        if outlet.plain is None or gateway.max_rate:
            return None
        most = gateway.max_calls
        if most:
            if not calls.counts_alone():
                return None
            if calls.count(outlet.key) >= most:
                over.append((one, f"has {most} calls, its max_calls"))
                continue
            if not calls.has_room(call.flow, call.authenticated):
                return None
        head, tail, where = outlet.plain
        # RFC 3261 25.1: a user has # as %23.
        user = number_at(outlet, call.user, number, one.offer).replace("#", "%23")
        way = f"{head}{user}{tail}", where, partial(_target, outlet.uri, user)
        rest = [candidate for candidate, _ in able[place + 1 :]]
        return LcrLead(module, call, caller, number, outlet, one, way, rest, over)
    return None


def _target(uri: SipUri, user: str) -> Target:
    return Target(uri.replace(user=user), chosen=True)


class LcrLead:
    """One INVITE, and the gateway that it went to. It is a ``sansip.routing.lead.Lead``."""

    __slots__ = (
        "_call_id",
        "_caller",
        "_decision",
        "_module",
        "_now",
        "_number",
        "_one",
        "_order",
        "_outlet",
        "_over",
        "_rest",
        "_said",
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
        rest: list[Candidate],
        over: list[tuple[Candidate, str]],
    ) -> None:
        settings = module.settings
        self._module = module
        self._call_id: str = call.opening.call_id
        self._now = call.now
        self._caller = caller
        self._number = number
        self._order: str = settings.order
        self._outlet: Any = outlet
        self._one = one
        self._way: Any = way
        # Those that are left, and those passed over, with the reason.
        self._rest: Any = rest
        self._over = over
        # What its gateway said, where it took the call.
        self._said = ""
        self._decision: Decision | None = None
        self.longest = len(way[0])
        self.answer: float = settings.answer

    def picks(self) -> tuple[str, tuple[str, int], Callable[[], Target]]:
        """Count the request for its gateway."""
        module, way = self._module, self._way
        self._way = None
        module._trail.add_later(self._call_id, self.decision)
        module._takes_call(self._outlet)
        return way  # type: ignore[no-any-return]  # it is once

    def decision(self) -> Decision:
        """Return what `lcr.show` shows."""
        found = self._decision
        if found is None:
            found = Decision(self._call_id, "INVITE", "", self._order, self._number)
            found.passed_over += [Step(named(one), why) for one, why in self._over]
            if self._said:
                found.tried.append(Step(named(self._one), self._said))
            self._decision = found
        return found

    def begins(self, call: Call) -> None:
        """Count the call for its gateway, and note what it costs."""
        outlet = self._outlet
        self._module._calls.count_for(call, outlet.key)
        note(call, outlet, self._one.offer, self._now)

    def heard(self, at: float) -> None:
        """Do nothing: how soon it rings is measured (``quality``)."""

    def succeeded(self, status: int, reason: str, now: float) -> None:
        """As ``Lcr._judge`` for a 2xx."""
        module, outlet = self._module, self._outlet
        self._said = f"{status} {reason}"
        # Nothing else is tried: the trail keeps it a while.
        self._rest = None
        outlet.health.took(now)
        if module._shared.tells:
            module._share(outlet)

    def appears(self, request: IncomingRequest, heard: bool) -> None:
        """Do nothing: no hook of the module sees responses."""

    def goes_on(self, request: IncomingRequest, relay: Relay) -> Coroutine[Any, Any, Any]:
        """Judge the gateway; try the others where it failed."""
        at, sent = (self._outlet, self._one), (self._caller, self._now)
        rest = iter(self._rest)
        return self._module._follow(request, relay, self._number, at, rest, sent, self.decision())
