"""A plain INVITE on its way to a destination, which nobody has read.

Theory of operation: it is what ``Dispatcher.send`` does with its first destination, for a call that passes as
octets (``sansip.routing.leading``). If that one fails, ``send`` goes on with the next ones. What
`dispatcher.explain` shows of it is put together when an operator asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from sansip.modules.failover.attempt import caller_of
from sansip.modules.failover.trail import Decision, Step
from sansip.proxy.target import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Sequence

    from sansip.module import Slot
    from sansip.modules.calls import Call, Calls
    from sansip.modules.calls.counts import Counts
    from sansip.modules.dispatcher.member import Member
    from sansip.modules.dispatcher.order import Orders, Turns
    from sansip.modules.dispatcher.settings import DispatcherSettings
    from sansip.modules.failover.sharing import SharedHealth
    from sansip.modules.failover.trail import Trail
    from sansip.routing import IncomingRequest
    from sansip.routing.leading import PlainCall
    from sansip.routing.relaying import Relay

__all__ = ["DispatcherLead", "Leader"]


class Dispatcher(Protocol):
    """The module, which imports this file, as far as a lead needs it."""

    settings: DispatcherSettings
    _calls: Calls
    _trail: Trail
    _orders: Orders
    _turns: Turns
    _at: float
    _shared: SharedHealth
    _asked: Slot[set[str]]
    _waits: Slot[tuple[Member, Target, float] | None]

    def _share(self, one: Member) -> None: ...

    async def _follow(
        self,
        request: IncomingRequest,
        relay: Relay,
        one: Member,
        rest: Iterator[Member],
        sent: tuple[str, float],
        decision: Decision,
    ) -> None: ...


class Leader:
    """Leads plain INVITEs for ``module``, with the parts of it that last as long as it."""

    __slots__ = ("_module", "counts", "orders", "trail", "turns")

    def __init__(self, module: Dispatcher, counts: Counts) -> None:
        self._module = module
        self.counts = counts
        self.orders = module._orders
        self.turns = module._turns
        self.trail = module._trail

    def lead(self, call: PlainCall, members: Sequence[Member]) -> DispatcherLead | None:
        """Return the lead to one of ``members``; None where it has to be read, or none has room."""
        module = self._module
        now, caller = call.now, caller_of(call)
        longest, has_room = 0, False
        able: list[Member] = []
        suspected: list[Member] = []
        passed: list[tuple[Member, str]] = []
        for one in members:
            destination, health = one.destination, one.health
            why = health.obstacle(now, caller)
            if why or not destination.weight:
                passed.append((one, why or "weight 0"))
                continue
            if health.suspected:
                suspected.append(one)
            else:
                able.append(one)
            plain, most = one.plain, destination.max_calls
            if plain is None:
                return None
            if most:
                calls = module._calls
                if not calls.counts_alone():
                    return None
                if self.counts.of(one.key) >= most:
                    continue
                if not calls.has_room(call.flow, call.authenticated):
                    return None
            has_room = True
            length = len(plain[1])
            if length > longest:
                longest = length
        if not has_room:
            return None
        return DispatcherLead(
            module, self, call, caller, len(call.user) + longest + 4, able, suspected, passed
        )


class DispatcherLead:
    """One INVITE, and the destination that it went to. It is a ``sansip.routing.lead.Lead``."""

    __slots__ = (
        "_able",
        "_algorithm",
        "_call",
        "_call_id",
        "_caller",
        "_decision",
        "_group",
        "_key",
        "_leader",
        "_module",
        "_now",
        "_one",
        "_passed",
        "_rest",
        "_said",
        "_suspected",
        "_target",
        "_user",
        "answer",
        "longest",
    )

    def __init__(
        self,
        module: Dispatcher,
        leader: Leader,
        call: PlainCall,
        caller: str,
        longest: int,
        able: list[Member],
        suspected: list[Member],
        passed: list[tuple[Member, str]],
    ) -> None:
        settings = module.settings
        self._module = module
        self._leader = leader
        # Until it is sent.
        self._call: PlainCall | None = call
        self._call_id: str = call.opening.call_id
        self._user = call.user
        self._now = call.now
        self._caller = caller
        self._group: str = settings.group
        self._algorithm: Any = settings.algorithm
        self._key = ""
        # Those that may get it, those that are tried last, and those passed over, with the reason.
        self._able = able
        self._suspected = suspected
        self._passed = passed
        self._rest: Any = None
        self._one: Any = None
        self._target: Target | None = None
        # What its destination said, where it took the call.
        self._said = ""
        self._decision: Decision | None = None
        self.longest = longest
        self.answer: float = settings.answer

    def picks(self) -> tuple[str, tuple[str, int], Callable[[], Target]] | None:
        """Take the first destination that has room."""
        leader, call = self._leader, self._call
        assert call is not None
        self._call = None
        settings = self._module.settings
        by: str = settings.key
        if by == "call-id":
            self._key = self._call_id
        elif by == "from":
            self._key = str(call.from_uri)
        elif by == "to":
            self._key = str(call.to_uri)
        else:
            self._key = self._user
        leader.trail.add_later(self._call_id, self)
        members = leader.orders.of(self._group, self._algorithm, self._key, self._able) + self._suspected
        rest = self._rest = iter(members[: settings.attempts])
        for one in rest:
            most = one.destination.max_calls
            if most and leader.counts.of(one.key) >= most:
                self._passed.append((one, f"has {most} calls, its max_calls"))
                continue
            plain = one.plain
            assert plain is not None
            leader.turns.take(one)
            self._one = one
            return f"{plain[0]}{self._user}{plain[1]}", plain[2], self._goal
        return None

    def _goal(self) -> Target:
        """Return the target, which nobody needs while all goes well."""
        target = self._target
        if target is None:
            target = self._target = Target(self._one.uri.replace(user=self._user), chosen=True)
        return target

    def decision(self) -> Decision:
        """Return what `dispatcher.explain` shows."""
        found = self._decision
        if found is None:
            found = Decision(self._call_id, "INVITE", self._group, self._algorithm, self._key)
            found.passed_over += [Step(one.destination.uri, why) for one, why in self._passed]
            if self._said:
                found.tried.append(Step(self._one.destination.uri, self._said))
            self._decision = found
        return found

    def begins(self, call: Call) -> None:
        """Count the call for its destination."""
        if not call.over:
            self._leader.counts.add(call, self._one.key)

    def heard(self, at: float) -> None:
        """Learn how fast the destination answers."""
        health = self._one.health
        health.heard = at
        health.answered(max(at - self._now, 0.0))

    def succeeded(self, status: int, reason: str, now: float) -> None:
        """As ``Dispatcher._judge`` for a 2xx."""
        module, one = self._module, self._one
        self._said = f"{status} {reason}"
        # Nothing else is tried: the trail keeps it a while.
        self._rest = None
        module._at = now
        one.health.took(now)
        if module._shared.tells:
            module._share(one)

    def appears(self, request: IncomingRequest, heard: bool) -> None:
        """Note which destination was asked, and whether its latency is known."""
        module, one = self._module, self._one
        module._asked.set(request, {one.destination.uri})
        module._waits.set(request, None if heard else (one, self._goal(), self._now))

    def goes_on(self, request: IncomingRequest, relay: Relay) -> Coroutine[Any, Any, Any]:
        """Judge the destination; try the others where it failed."""
        sent = self._caller, self._now
        return self._module._follow(request, relay, self._one, self._rest, sent, self.decision())
