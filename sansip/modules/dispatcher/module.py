"""The module ``dispatcher``: requests go to one of a group of servers, and to the next where it fails.

Theory of operation: ``send`` orders the members of a group that may get a request (``order``), relays to the
first, and where it fails to the next, in the same transaction: the caller sees one call. The member's
``Health`` gets the result of each attempt, and OPTIONS find out about the others. A request keeps the members
that it began with.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from sansip.module import PASS, Slot, function, step
from sansip.modules.dispatcher.member import Member
from sansip.modules.dispatcher.operated import Operated
from sansip.modules.dispatcher.settings import Algorithm
from sansip.modules.failover.attempt import caller_of, is_over, judge, sender_among
from sansip.modules.failover.trail import Decision, Step
from sansip.proxy import Target
from sansip.wire import SipUri

if TYPE_CHECKING:
    from sansip.module.base import Outcome, Stage
    from sansip.proxy.branch import Branch
    from sansip.routing import IncomingRequest
    from sansip.routing.lead import Lead
    from sansip.routing.leading import PlainCall
    from sansip.routing.relaying import Relay
    from sansip.wire import Response

__all__ = ["Dispatcher"]

# Seconds of Retry-After if no destination can be asked.
_RETRY: Final = 10
# What its steps in the stages of the default route take, by the setting ``takes``.
_TAKERS: Final = {"translate": ("calls", "everything"), "select": ("unregistered",)}


class Dispatcher(Operated):
    """Balances load over groups of servers, passes over those that fail, and asks which are alive."""

    name = "dispatcher"

    # The keys of the destinations that a request was sent to, over all its groups.
    _asked: Slot[set[str]] = Slot()
    # The one that it waits for: its target, and since when.
    _waits: Slot[tuple[Member, Target, float] | None] = Slot()

    # --- choosing

    @function
    async def send(
        self,
        request: IncomingRequest,
        group: str = "",
        algorithm: Algorithm | None = None,
        key: str | None = None,
    ) -> bool:
        """Send ``request`` to one of ``group``, to the next if that fails; return whether one took it.

        False: no destination could be asked, and the request is undecided; or all failed, and the best
        failure goes back unless the route decides otherwise. ``key``: for hash, any text.
        """
        group = group or self.settings.group
        algorithm = algorithm or self.settings.algorithm
        by = self._key(request) if key is None else key
        decision = Decision(request.message.call_id, request.method, group, algorithm, by)
        self._trail.add(decision)
        caller = caller_of(request)
        members = self._ordered(group, algorithm, by, caller, request.now, decision)
        if algorithm == "parallel":
            return await self._send_to_all(request, members, decision)
        original = request.uri
        rest = iter(members[: self.settings.attempts])
        return await self._try(request, rest, caller, original, decision)

    async def _try(
        self,
        request: IncomingRequest,
        rest: Iterator[Member],
        caller: str,
        original: Any,
        decision: Decision,
    ) -> bool:
        # RFC 4320 4.1: no answer to other requests comes early, so silence says nothing of them.
        answer = self.settings.answer if request.method == "INVITE" else None
        for one in rest:
            if is_over(request):
                return True
            if one.health.obstacle(request.now, caller) or not await self._admit(request, one, decision):
                # Another request found out while this one waited.
                continue
            target = self._target(one, original)
            since = request.now
            self._waits.set(request, (one, target, since))
            outcome = await request.relay(target, answer=answer)
            if self._judge(request, one, outcome, (caller, since), decision):
                return True
        return False

    async def _send_to_all(
        self, request: IncomingRequest, members: Sequence[Member], decision: Decision
    ) -> bool:
        if is_over(request):
            return True
        asked = [
            one for one in members[: self.settings.attempts] if await self._admit(request, one, decision)
        ]
        if not asked:
            return False
        original = request.uri
        targets = [self._target(one, original) for one in asked]
        outcome = await request.relay(targets)
        status = 0 if outcome is None else outcome.status
        call = self._calls.of(request)
        for one, target in zip(asked, targets, strict=True):
            won = call is not None and call.won is target
            decision.tried.append(Step(one.destination.uri, f"{status}" if won or not status else "asked"))
            if not won:
                self._calls.release(request, one.key)
        return status < 300

    async def _admit(self, request: IncomingRequest, one: Member, decision: Decision) -> bool:
        """Count the request for ``one``; False where that was asked before, or has all its calls."""
        asked = self._asked.get(request)
        if asked is None:
            self._asked.set(request, asked := set())
        if one.destination.uri in asked:
            # A route may try a second group with the same server in it.
            decision.passed_over.append(Step(one.destination.uri, "was asked before"))
            return False
        most = one.destination.max_calls
        if request.method != "INVITE":
            full = False
        elif most:
            full = not await self._calls.limit(request, one.key, most)
        else:
            full = False
            self._calls.hold(request, one.key)
        if full:
            decision.passed_over.append(Step(one.destination.uri, f"has {most} calls, its max_calls"))
            return False
        asked.add(one.destination.uri)
        self._turns.take(one)
        return True

    def response_received(self, request: IncomingRequest, branch: Branch, response: Response) -> None:
        """Learn from the first response to an INVITE, 100 as well, how fast a destination answers."""
        waits = self._waits.get(request)
        # Other requests are answered by the phones behind it.
        if waits is not None and request.method == "INVITE" and branch.target is waits[1]:
            self._waits.set(request, None)
            one, _, since = waits
            one.health.heard = heard = request.now if branch.heard is None else branch.heard
            one.health.answered(max(heard - since, 0.0))

    def _judge(
        self,
        request: IncomingRequest,
        one: Member,
        outcome: Response | None,
        sent: tuple[str, float],
        decision: Decision,
    ) -> bool:
        """Note the result of an attempt; return whether it was the last one."""
        status = 0 if outcome is None else outcome.status
        said = "sent" if outcome is None else f"{status} {outcome.reason}"
        decision.tried.append(Step(one.destination.uri, said))
        if outcome is None:
            return True
        self._at = request.now
        probed = one.destination.probe
        failed, news = judge(
            request, outcome, one.health, self.settings.failover, sent, probed, self.settings.thresholds
        )
        if news == "suspected":
            self._prober.ask(one, request.now)
        elif news:
            self._tell(one, news, request.now)
        self._share(one)
        if failed:
            one.failed += 1
            self._failed.add(one.destination.group, one.destination.uri)
            self._calls.release(request, one.key)
        return not failed

    def _key(self, request: IncomingRequest) -> str:
        message = request.message
        match self.settings.key:
            case "call-id":
                return message.call_id
            case "from":
                return str(message.from_.uri)
            case "to":
                return str(message.to.uri)
            case "user":
                return request.user or ""

    def _target(self, one: Member, original: Any) -> Target:
        if self.settings.keep_uri or not isinstance(original, SipUri):
            # RFC 3261 16.6 step 6: it is led there by a Route.
            lr = (
                one.uri if one.uri.is_loose_router else one.uri.replace(params={**one.uri.params, "lr": None})
            )
            return Target(original, path=(f"<{lr}>",), chosen=True)
        return Target(one.uri.replace(user=original.user), chosen=True)

    # --- calls that nobody reads

    def rides(self) -> bool:
        """Whether calls pass as octets: to its destinations they do so by ``leads``."""
        return True

    def leads(self, stage: Stage, call: PlainCall) -> Lead | Outcome | None:
        """Send a plain INVITE on as the step of ``stage`` would, where that can be done at once."""
        settings = self.settings
        group = settings.group
        if settings.takes not in _TAKERS[stage]:
            return PASS
        if stage == "select" and group not in self._groups:
            return PASS
        members = self._groups.of(group)
        if sender_among(members, call.flow) is not None:
            return PASS
        if stage == "select" and call.authenticates and not call.proven and not settings.strangers:
            return PASS
        if settings.keep_uri or settings.algorithm == "parallel":
            return None
        return self._leader.lead(call, members)

    async def _follow(
        self,
        request: IncomingRequest,
        relay: Relay,
        one: Member,
        rest: Iterator[Member],
        sent: tuple[str, float],
        decision: Decision,
    ) -> None:
        """Judge ``one``, which a lead has asked; try ``rest`` where it failed."""
        original: Any = request.uri
        outcome = await relay
        if not self._judge(request, one, outcome, sent, decision):
            assert isinstance(original, SipUri)
            await self._try(request, rest, sent[0], original, decision)

    # --- the default route

    @step("register")
    async def pass_registrations(self, request: IncomingRequest) -> None:
        """Pass a REGISTER on to a registrar of the group, with our Path (RFC 3327)."""
        if self.settings.takes == "everything":
            request.add_path()
            await self._send_or_refuse(request)

    @step("translate", rank=90)
    async def pass_requests(self, request: IncomingRequest) -> None:
        """Pass a request on before users are looked up."""
        if self.settings.takes in ("calls", "everything") and not self.comes_from(
            request, self.settings.group
        ):
            request.record_route()
            await self._send_or_refuse(request)

    # Numbers with a rate are for ``lcr``, and those in DNS for ``enum``; this takes whatever is left.
    @step("select", rank=60)
    async def pass_unregistered(self, request: IncomingRequest) -> None:
        """Pass a request on for a user who is not registered here."""
        if self.settings.takes == "unregistered" and self.settings.group in self._groups:
            if self.comes_from(request, self.settings.group):
                # It asked us for that user: sending it back would go round.
                return
            if request.authenticates and not request.proven and not self.settings.strangers:
                # Who has proved nothing calls phones here, and no gateway that somebody pays for.
                return
            request.record_route()
            await self._send_or_refuse(request)

    async def _send_or_refuse(self, request: IncomingRequest) -> None:
        if not await self.send(request) and not request.decided:
            # RFC 3261 21.5.4
            request.reply(503, None, [("Retry-After", str(_RETRY))])
