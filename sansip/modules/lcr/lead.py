"""A plain INVITE on its way to a gateway, which nobody has read.

Theory of operation: it is what ``Lcr.send`` does with its first gateway, for a call that passes as octets
(``sansip.routing.leading``). If that one fails, ``send`` goes on with the next ones. What `lcr.show` shows of
it is put together when an operator asks.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from sansip.modules.failover.attempt import caller_of, sender_among
from sansip.modules.failover.trail import Decision, Step
from sansip.modules.lcr.choice import asks_who, choose, named, number_at
from sansip.modules.lcr.number import dialled
from sansip.proxy.target import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Sequence

    from sansip.clock import Wall
    from sansip.entropy import Entropy
    from sansip.module import Core
    from sansip.module.metrics import Counter
    from sansip.modules.calls import Call, Calls
    from sansip.modules.calls.counts import Counts
    from sansip.modules.failover.sharing import SharedHealth
    from sansip.modules.failover.trail import Trail
    from sansip.modules.lcr.choice import Candidate
    from sansip.modules.lcr.gateways import Gateways, Outlet
    from sansip.modules.lcr.measuring import Measuring
    from sansip.modules.lcr.rates import Rates
    from sansip.modules.lcr.settings import LcrSettings
    from sansip.routing import IncomingRequest
    from sansip.routing.leading import PlainCall
    from sansip.routing.relaying import Relay
    from sansip.wire import SipUri

__all__ = ["LcrLead", "Leader"]


class Lcr(Protocol):
    """The module, which imports this file, as far as a lead needs it."""

    settings: LcrSettings
    _calls: Calls
    _gateways: Gateways
    _shared: SharedHealth
    _trail: Trail
    _rates: Rates
    _measuring: Measuring
    _loading: Any
    _sent: Counter

    def _caller(self, request: IncomingRequest | PlainCall) -> str: ...

    def _qualities(self, now: float) -> Callable[[str], float] | None: ...

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


class Leader:
    """Leads plain INVITEs for ``module``, with the parts of it that last as long as it."""

    __slots__ = ("_counts", "_entropy", "_module", "_rates", "_wall", "measuring", "sent", "trail")

    def __init__(self, module: Lcr, core: Core, counts: Counts) -> None:
        self._module = module
        self._counts = counts
        self._rates = module._rates
        self._wall: Wall = core.wall
        self._entropy: Entropy = core.entropy
        self.measuring = module._measuring
        self.sent = module._sent
        self.trail = module._trail

    def lead(self, call: PlainCall) -> LcrLead | bool | None:
        """Return the lead of ``call``; True: the next step decides; None: it has to be read."""
        module = self._module
        settings = module.settings
        number = dialled(call.user)
        if settings.takes != "unregistered" or not number:
            return True
        if not module._loading.begun:
            return None
        levels = self._rates.levels(number)
        outlets: dict[str, Outlet] = module._gateways.outlets
        if not levels or sender_among(outlets.values(), call.flow) is not None:
            return True
        if call.authenticates and not call.proven and not settings.strangers:
            return True
        now = call.now
        caller = module._caller(call) if asks_who(levels) else ""
        quality = module._qualities(now)
        unix = self._wall.unix(now)
        taken, passed = choose(levels, settings, outlets, caller, unix, quality, self._entropy.number)
        return self._led_to(call, number, taken, passed, outlets)

    def counts(self, call: Call, outlet: Outlet) -> None:
        """Count ``call`` for its gateway."""
        if not call.over:
            self._counts.add(call, outlet.key)

    def _led_to(
        self,
        call: PlainCall,
        number: str,
        taken: Sequence[Candidate],
        passed: Sequence[Candidate],
        outlets: dict[str, Outlet],
    ) -> LcrLead | None:
        """Return the lead to the first of ``taken`` that has room; None where it has to be read."""
        module, caller = self._module, caller_of(call)
        over = [(one, one.why) for one in passed]
        able: list[tuple[Candidate, Any]] = []
        suspected: list[tuple[Candidate, Any]] = []
        for one in taken:
            outlet = outlets.get(one.offer.gateway)
            if outlet is not None and outlet.health.suspected:
                suspected.append((one, outlet))
            else:
                able.append((one, outlet))
        able += suspected
        for place, (one, outlet) in enumerate(able):
            why = "gone" if outlet is None else outlet.health.obstacle(call.now, caller)
            if why:
                over.append((one, why))
                continue
            gateway, plain = outlet.gateway, outlet.plain
            if plain is None or gateway.max_rate:
                return None
            most = gateway.max_calls
            if most:
                calls = module._calls
                if not calls.counts_alone():
                    return None
                if self._counts.of(outlet.key) >= most:
                    over.append((one, f"has {most} calls, its max_calls"))
                    continue
                if not calls.has_room(call.flow, call.authenticated):
                    return None
            head, tail, where = plain
            user = number_at(outlet, call.user, number, one.offer)
            if "#" in user:
                # RFC 3261 25.1: a user has # as %23.
                user = user.replace("#", "%23")
            way = f"{head}{user}{tail}", where, partial(_target, outlet.uri, user)
            rest = [candidate for candidate, _ in able[place + 1 :]]
            return LcrLead(module, self, call, caller, number, outlet, one, way, rest, over)
        return None


def _target(uri: SipUri, user: str) -> Target:
    return Target(uri.replace(user=user), chosen=True)


class LcrLead:
    """One INVITE, and the gateway that it went to. It is a ``sansip.routing.lead.Lead``."""

    __slots__ = (
        "_call_id",
        "_caller",
        "_decision",
        "_leader",
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
        leader: Leader,
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
        self._leader = leader
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
        leader, outlet, way = self._leader, self._outlet, self._way
        self._way = None
        leader.trail.add_later(self._call_id, self)
        outlet.requests += 1
        leader.sent.add(self._one.offer.gateway)
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
        leader, outlet = self._leader, self._outlet
        leader.counts(call, outlet)
        leader.measuring.note(call, outlet, self._one.offer, self._now)

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
