"""A plain INVITE on its way to a destination, which nobody has read.

Theory of operation: it is what ``Dispatcher.send`` does with its first destination, for a call that passes as
octets (``sansip.routing.leading``). If that one fails, ``send`` goes on with the next ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from sansip.modules.failover.attempt import caller_of
from sansip.modules.failover.trail import Decision, Step
from sansip.proxy import Target
from sansip.routing.leading import Lead
from sansip.wire import SipUri

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sansip.module import Slot
    from sansip.modules.calls import Call, Calls
    from sansip.modules.dispatcher.member import Member
    from sansip.modules.dispatcher.settings import Algorithm, DispatcherSettings
    from sansip.modules.failover.trail import Trail
    from sansip.routing import IncomingRequest
    from sansip.routing.leading import PlainCall
    from sansip.routing.relaying import Relay
    from sansip.wire import Response

__all__ = ["DispatcherLead", "led_to"]


class Dispatcher(Protocol):
    """The module, which imports this file, as far as a lead needs it."""

    settings: DispatcherSettings
    _calls: Calls
    _trail: Trail
    _at: float
    _asked: Slot[set[str]]
    _waits: Slot[tuple[Member, Target, float] | None]

    def _group(self, name: str) -> Sequence[Member]: ...

    def _ordered(
        self, group: str, algorithm: Algorithm, key: str, caller: str, now: float, decision: Decision
    ) -> list[Member]: ...

    def _takes_turn(self, one: Member) -> None: ...

    def _share(self, one: Member) -> None: ...

    def _judge(
        self,
        request: IncomingRequest,
        one: Member,
        outcome: Response | None,
        sent: tuple[str, float],
        decision: Decision,
    ) -> bool: ...

    async def _try(
        self,
        request: IncomingRequest,
        rest: Iterator[Member],
        caller: str,
        original: Any,
        decision: Decision,
    ) -> bool: ...


def led_to(module: Dispatcher, call: PlainCall, calls: Calls) -> DispatcherLead | None:
    """Return the lead of ``call``; None where it has to be read, or none has room."""
    caller = caller_of(call)
    longest, room = 0, False
    for one in module._group(""):
        if not one.destination.weight or one.health.obstacle(call.now, caller):
            continue
        if one.plain is None:
            return None
        most = one.destination.max_calls
        if most:
            if not calls.counts_alone():
                return None
            if calls.count(one.key) >= most:
                continue
            if not calls.has_room(call.flow, call.authenticated):
                return None
        room = True
        longest = max(longest, len(one.plain[1]))
    if not room:
        return None
    return DispatcherLead(module, call, caller, len(call.user) + longest + 4)


class DispatcherLead(Lead):
    """One INVITE, and the destination that it went to."""

    __slots__ = ("_call", "_caller", "_decision", "_module", "_one", "_rest", "_target", "answer", "longest")

    def __init__(self, module: Dispatcher, call: PlainCall, caller: str, longest: int) -> None:
        self._module = module
        self._call = call
        self._caller = caller
        self._target: Target | None = None
        self.longest = longest
        self.answer = module.settings.answer

    def picks(self) -> tuple[str, tuple[str, int], Callable[[], Target]] | None:
        """Take the first destination that has room."""
        module, call = self._module, self._call
        settings, calls = module.settings, module._calls
        group, algorithm = settings.group, settings.algorithm
        match settings.key:
            case "call-id":
                key = call.opening.call_id
            case "from":
                key = str(call.from_uri)
            case "to":
                key = str(call.to_uri)
            case "user":
                key = call.user
        decision = self._decision = Decision(call.opening.call_id, "INVITE", group, algorithm, key)
        module._trail.add(decision)
        members = module._ordered(group, algorithm, key, self._caller, call.now, decision)
        rest = self._rest = iter(members[: settings.attempts])
        for one in rest:
            most = one.destination.max_calls
            if most and calls.count(one.key) >= most:
                decision.passed_over.append(Step(one.destination.uri, f"has {most} calls, its max_calls"))
                continue
            assert one.plain is not None
            module._takes_turn(one)
            self._one: Member = one
            head, tail, place = one.plain
            uri = f"{head}{call.user}{tail}"
            return uri, place, self._goal
        return None

    def _goal(self) -> Target:
        """Return the target, which nobody needs while all goes well."""
        target = self._target
        if target is None:
            target = self._target = Target(self._one.uri.replace(user=self._call.user), chosen=True)
        return target

    def begins(self, call: Call) -> None:
        """Count the call for its destination."""
        self._module._calls.count_for(call, self._one.key)

    def heard(self, at: float) -> None:
        """Learn how fast the destination answers."""
        health = self._one.health
        health.heard = at
        health.answered(max(at - self._call.now, 0.0))

    def succeeded(self, status: int, reason: str, now: float) -> None:
        """As ``Dispatcher._judge`` for a 2xx."""
        module, one = self._module, self._one
        self._decision.tried.append(Step(one.destination.uri, f"{status} {reason}"))
        module._at = now
        one.health.request_answered(status, self._caller, module.settings.thresholds, now)
        module._share(one)

    def appears(self, request: IncomingRequest, heard: bool) -> None:
        """Note which destination was asked, and whether its latency is known."""
        module, one = self._module, self._one
        module._asked.set(request, {one.destination.uri})
        module._waits.set(request, None if heard else (one, self._goal(), self._call.now))

    async def goes_on(self, request: IncomingRequest, relay: Relay) -> None:
        """Judge the destination; try the others where it failed."""
        module, decision, caller = self._module, self._decision, self._caller
        original: Any = request.uri
        outcome = await relay
        if not module._judge(request, self._one, outcome, (caller, self._call.now), decision):
            assert isinstance(original, SipUri)
            await module._try(request, self._rest, caller, original, decision)
