"""The module ``dispatcher``: requests go to one of a group of servers, and to the next where it fails.

Theory of operation: ``send`` orders the members of a group that may get a request (``order``), relays to the
first, and where it fails to the next, in the same transaction: the caller sees one call. The member's
``Health`` gets the result of each attempt, and OPTIONS find out about the others. A request keeps the members
that it began with; the table is replaced whole, and the state of a member lasts over that. The operator's
change of a destination is a row of the store, so neither a reload nor a restart forgets it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from sansip.errors import LocalProtocolError
from sansip.module import CommandError, Module, ModuleFault, Slot, command, function, step
from sansip.modules.calls import Calls
from sansip.modules.dispatcher import order
from sansip.modules.dispatcher.groups import CHANGES, Change, Groups
from sansip.modules.dispatcher.member import Member
from sansip.modules.dispatcher.row import Row, row_of
from sansip.modules.dispatcher.settings import Algorithm, Destination, DispatcherSettings
from sansip.modules.failover.attempt import is_over, judge
from sansip.modules.failover.health import Admin, Thresholds
from sansip.modules.failover.prober import Plan, Prober
from sansip.modules.failover.probing import Probe
from sansip.modules.failover.trail import Decision, Step, Trail
from sansip.proxy import Target
from sansip.wire import SipUri

if TYPE_CHECKING:
    from sansip.module import Core
    from sansip.proxy.branch import Branch
    from sansip.routing import IncomingRequest
    from sansip.wire import Response

__all__ = ["Dispatcher", "MemberChanged"]

# Seconds of Retry-After if no destination can be asked.
_RETRY: Final = 10


@dataclass(slots=True)
class MemberChanged:
    """A destination is up or down, or rests. ``why`` is for people."""

    uri: str
    group: str
    state: str
    why: str

    def __str__(self) -> str:
        because = f": {self.why}" if self.why else ""
        return f"destination {self.uri} of group {self.group} is {self.state}{because}"


class Dispatcher(Module):
    """Balances load over groups of servers, passes over those that fail, and asks which are alive."""

    name = "dispatcher"
    Settings = DispatcherSettings
    tables = (CHANGES,)
    requires = (Calls,)
    settings: DispatcherSettings

    # The keys of the destinations that a request was sent to, over all its groups.
    _asked: Slot[set[str]] = Slot()
    # The one that it waits for: its target, and since when.
    _waits: Slot[tuple[Member, Target, float] | None] = Slot()

    def __init__(self, settings: DispatcherSettings) -> None:
        super().__init__(settings)
        self._groups = Groups()
        self._rounds: dict[str, order.RoundRobin] = {}
        self._trail = Trail()
        self._turn = 0
        # The time of the last answer.
        self._at = 0.0

    # --- its life

    def check(self, settings: DispatcherSettings) -> None:
        """A group must be able to take a request."""
        weights: dict[str, int] = {}
        for one in settings.destinations:
            weights[one.group] = weights.get(one.group, 0) + one.weight
        for group, total in weights.items():
            if not total:
                raise ModuleFault(
                    f"dispatcher.destinations: all weights of group {group} are 0; give one at least 1"
                )
        if settings.takes != "nothing" and settings.group not in weights and settings.destinations:
            raise ModuleFault(
                f"dispatcher.group is {settings.group}, and there are {', '.join(sorted(weights))}; name one"
                ' of them, or set takes = "nothing"'
            )

    def start(self, core: Core, now: float) -> None:
        self._calls = core.module(Calls)
        self._rows = core.rows(CHANGES)
        self._relayed = core.counter("requests", "Requests sent to a destination", ("group", "uri"))
        self._failed = core.counter("failed", "Requests that a destination failed at", ("group", "uri"))
        self._groups.take(self.settings.destinations)
        self._prober = Prober(core, self._groups, self._plan, lambda one: one.destination.probe, self._tell)
        core.run(self._restore(), now)
        self._prober.start(now)

    def configure(self, settings: DispatcherSettings, now: float) -> None:
        """Take another table; the state of destinations in both stays."""
        had = self.settings.probe_interval
        super().configure(settings, now)
        self._groups.take(settings.destinations)
        if had != settings.probe_interval:
            self._prober.replan(now)
        self._prober.resolve(now)

    async def _restore(self) -> None:
        self._groups.restore(await self._rows.all())

    def _plan(self) -> Plan:
        settings = self.settings
        domain = self.core.domains[0] if self.core.domains else "invalid"
        sender = settings.probe_from or f"sip:dispatcher@{domain}"
        how = Probe(sender, settings.probe_timeout, settings.not_alive)
        return Plan(settings.probe_interval, how, self._thresholds)

    @property
    def _thresholds(self) -> Thresholds:
        settings = self.settings
        return Thresholds(
            settings.down_after, settings.up_after, settings.eject_after, settings.rest, settings.longest_rest
        )

    def health(self) -> str:
        """Return which groups have no destination left."""
        now = max(self._at, self._prober.now)
        gone = [
            name for name, members in self._groups.items() if all(one.health.obstacle(now) for one in members)
        ]
        return f"no destination of group {', '.join(gone)} takes requests" if gone else ""

    # --- choosing

    @function
    def members(self, request: IncomingRequest, group: str = "") -> list[str]:
        """Return the URIs of a group that may get ``request`` now, in no order."""
        return [one.destination.uri for one in self._group(group) if not one.health.obstacle(request.now)]

    @function
    def comes_from(self, request: IncomingRequest, group: str = "") -> str:
        """Return the URI of the destination that sent ``request``, by its address; "" for any other sender.

        Over UDP by its port as well: a phone may live on the same machine.
        """
        for one in self._groups.of(group) if group else self._groups:
            if one.sent(request.flow):
                return one.destination.uri
        return ""

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
        members = self._ordered(group, algorithm, by, request.now, decision)
        if algorithm == "parallel":
            return await self._send_to_all(request, members, decision)
        original = request.uri
        # RFC 4320 4.1: no answer to other requests comes early, so silence says nothing of them.
        answer = self.settings.answer if request.method == "INVITE" else None
        for one in members[: self.settings.attempts]:
            if is_over(request):
                return True
            if one.health.obstacle(request.now) or not await self._admit(request, one, decision):
                # Another request found out while this one waited.
                continue
            target = self._target(one, original)
            self._waits.set(request, (one, target, request.now))
            outcome = await request.relay(target, answer=answer)
            if self._judge(request, one, outcome, decision):
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
        self._turn += 1
        one.turn = self._turn
        one.requests += 1
        self._relayed.add(one.destination.group, one.destination.uri)
        return True

    def response_received(self, request: IncomingRequest, branch: Branch, response: Response) -> None:
        """Learn from the first response to an INVITE, 100 as well, how fast a destination answers."""
        waits = self._waits.get(request)
        # Other requests are answered by the phones behind it.
        if waits is not None and request.method == "INVITE" and branch.target is waits[1]:
            self._waits.set(request, None)
            one, _, since = waits
            one.health.answered(max((request.now if branch.heard is None else branch.heard) - since, 0.0))

    def _judge(
        self, request: IncomingRequest, one: Member, outcome: Response | None, decision: Decision
    ) -> bool:
        """Note the result of an attempt; return whether it was the last one."""
        status = 0 if outcome is None else outcome.status
        said = "sent" if outcome is None else f"{status} {outcome.reason}"
        decision.tried.append(Step(one.destination.uri, said))
        if outcome is None or is_over(request):
            return True
        settings = self.settings
        self._at = request.now
        probed = settings.probe_interval > 0 and one.destination.probe
        failed, news = judge(request, outcome, one.health, settings.failover, probed, self._thresholds)
        if news:
            self._tell(one, news, request.now)
        if failed:
            one.failed += 1
            self._failed.add(one.destination.group, one.destination.uri)
            self._calls.release(request, one.key)
        return not failed

    def _tell(self, one: Member, state: str, now: float) -> None:
        self._at = now
        self.core.notify(
            MemberChanged(one.destination.uri, one.destination.group, state, one.health.why), now
        )

    def _ordered(
        self, group: str, algorithm: Algorithm, key: str, now: float, decision: Decision
    ) -> list[Member]:
        """Return the members that may get a request, in the order to be tried."""
        members = []
        for one in self._group(group):
            obstacle = one.health.obstacle(now) or ("" if one.weight else "weight 0")
            if obstacle:
                decision.passed_over.append(Step(one.destination.uri, obstacle))
            else:
                members.append(one)
        number = self.core.entropy.number
        match algorithm:
            case "hash":
                return order.by_hash(members, key)
            case "random":
                return order.drawn(members, number)
            case "priority":
                return order.by_priority(members)
            case "srv":
                return order.by_srv(members, number)
            case "least-calls":
                return order.by_calls(members, lambda one: self._calls.count(one.key))
            case "least-latency":
                return order.by_latency(members)
            case "parallel":
                return members
            case "round-robin":
                return self._rounds.setdefault(group, order.RoundRobin()).order(members)

    def _group(self, name: str) -> tuple[Member, ...]:
        return self._groups.of(name or self.settings.group)

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
            return Target(original, path=(f"<{lr}>",))
        return Target(one.uri.replace(user=original.user))

    # --- the default route

    @step("register")
    async def pass_registrations(self, request: IncomingRequest) -> None:
        """Pass a REGISTER on to a registrar of the group, with our Path (RFC 3327)."""
        if self.settings.takes == "everything":
            request.add_path()
            await self._send_or_refuse(request)

    @step("translate")
    async def pass_requests(self, request: IncomingRequest) -> None:
        """Pass a request on before users are looked up."""
        if self.settings.takes in ("calls", "everything") and not self.comes_from(
            request, self.settings.group
        ):
            request.record_route()
            await self._send_or_refuse(request)

    @step("select")
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

    # --- operators

    @command("dispatcher.list")
    def list_destinations(self, now: float, group: str | None = None) -> list[Row]:
        """Return all destinations, or those of a group, with their state."""
        members = self._groups if group is None else self._asked_group("dispatcher.list", group)
        return [row_of(one, self._calls.count(one.key), now) for one in members]

    @command("dispatcher.explain")
    def explain(self, call_id: str) -> Decision:
        """Return where a request went and why, by its Call-ID: of the last thousand."""
        decision = self._trail.of(call_id)
        if decision is None:
            raise CommandError(
                f"dispatcher.explain: no request with Call-ID {call_id:.80} among the last {len(self._trail)}"
            )
        return decision

    @command("dispatcher.try")
    def try_group(self, now: float, group: str = "", algorithm: str | None = None, key: str = "") -> Decision:
        """Return the order in which destinations would be tried for ``key``; no request is sent."""
        chosen: Any = algorithm or self.settings.algorithm
        name = group or self.settings.group
        self._asked_group("dispatcher.try", name)
        decision = Decision("", "", name, chosen, key)
        if chosen == "round-robin":
            # Whose turn it is stays as it is.
            members = [one for one in self._group(name) if not one.health.obstacle(now)]
        else:
            members = self._ordered(name, chosen, key, now, decision)
        decision.tried = [Step(one.destination.uri, "would be tried") for one in members]
        return decision

    @command("dispatcher.set")
    async def set_state(
        self, group: str, uri: str, now: float, state: Literal["active", "draining", "disabled"] = "active"
    ) -> Row:
        """Have a destination take requests, keep only its calls, or get nothing, not even OPTIONS.

        It lasts over reloads and restarts.
        """
        return await self._change(self._member("dispatcher.set", group, uri), now, state=state)

    @command("dispatcher.weigh")
    async def weigh(
        self, group: str, uri: str, now: float, weight: int | None = None, max_calls: int | None = None
    ) -> Row:
        """Give a destination another weight, or another number of calls."""
        return await self._change(
            self._member("dispatcher.weigh", group, uri), now, weight=weight, max_calls=max_calls
        )

    @command("dispatcher.add")
    async def add(
        self, group: str, uri: str, now: float, weight: int = 1, priority: int = 0, max_calls: int = 0
    ) -> Row:
        """Add a destination to a group, a new one as well."""
        try:
            Destination(uri, group, weight, priority, max_calls)
        except ValueError as error:
            raise CommandError(f"dispatcher.add: {error}") from None
        await self._keep(Change(group, uri, "active", weight, priority, max_calls, True))
        one = self._member("dispatcher.add", group, uri)
        return row_of(one, self._calls.count(one.key), now)

    @command("dispatcher.remove")
    async def remove(self, group: str, uri: str) -> bool:
        """Remove a destination; its calls go on. One of the configuration stays out until it is added."""
        one = self._member("dispatcher.remove", group, uri).destination
        if self._groups.in_file(group, uri):
            await self._keep(Change(group, uri, "removed", one.weight, one.priority, one.max_calls, False))
        else:
            await self._rows.delete((group, uri))
            self._groups.forget(group, uri)
        return True

    async def _change(
        self,
        member: Member,
        now: float,
        *,
        state: Admin | None = None,
        weight: int | None = None,
        max_calls: int | None = None,
    ) -> Row:
        one = member.destination
        before = self._groups.changed(one.group, one.uri)
        change = Change(
            one.group,
            one.uri,
            state or member.health.admin,
            one.weight if weight is None else weight,
            one.priority,
            one.max_calls if max_calls is None else max_calls,
            before is not None and before.added,
        )
        try:
            Destination(change.uri, change.group, change.weight, change.priority, change.max_calls)
        except ValueError as error:
            raise CommandError(f"dispatcher: {error}") from None
        await self._keep(change)
        return row_of(member, self._calls.count(member.key), now)

    async def _keep(self, change: Change) -> None:
        await self._rows.put(change)
        self._groups.change(change)

    def _asked_group(self, command: str, name: str) -> tuple[Member, ...]:
        try:
            return self._groups.of(name)
        except LocalProtocolError as error:
            raise CommandError(f"{command}: {error}") from None

    def _member(self, command: str, group: str, uri: str) -> Member:
        for one in self._asked_group(command, group):
            if one.destination.uri == uri:
                return one
        raise CommandError(
            f"{command}: {uri:.80} is not in group {group}; `sansip ctl dispatcher.list` shows who is"
        )
