"""What the module ``dispatcher`` is beside its sending: its life, its groups, its commands.

Theory of operation: the table of destinations is replaced whole, and the state of a member lasts over that.
The operator's change of a destination is a row of the store, so neither a reload nor a restart forgets it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from sansip.errors import LocalProtocolError
from sansip.module import CommandError, Gathered, Module, ModuleFault, command, function
from sansip.modules.calls import Calls
from sansip.modules.dispatcher.events import MemberChanged
from sansip.modules.dispatcher.groups import CHANGES, Change, Groups
from sansip.modules.dispatcher.lead import Leader
from sansip.modules.dispatcher.member import Member
from sansip.modules.dispatcher.order import Orders, Turns
from sansip.modules.dispatcher.row import Row, row_of
from sansip.modules.dispatcher.settings import Algorithm, Destination, DispatcherSettings
from sansip.modules.failover.attempt import sender_among
from sansip.modules.failover.health import Admin
from sansip.modules.failover.prober import Plan, Prober
from sansip.modules.failover.sharing import SharedHealth
from sansip.modules.failover.trail import Decision, Step, Trail

if TYPE_CHECKING:
    from sansip.module import Core
    from sansip.routing import IncomingRequest
    from sansip.transport import Flow

__all__ = ["Operated"]


class Operated(Module):
    """The module without its sending."""

    name = "dispatcher"
    # Workers share its members' health, and the operator's changes; each takes turns for itself.
    over_workers = True
    Settings = DispatcherSettings
    tables = (CHANGES,)
    requires = (Calls,)
    settings: DispatcherSettings

    def __init__(self, settings: DispatcherSettings) -> None:
        super().__init__(settings)
        self._groups = Groups()
        self._trail = Trail()
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
        self._orders = Orders(core.entropy.number, self._calls.count)
        self._turns = Turns(self._relayed)
        self._groups.take(self.settings.destinations)
        self._guard(now)
        self._shared = SharedHealth(core)
        self._prober = Prober(
            core, self._groups, self._plan, lambda one: one.destination.probe, self._tell, self._share
        )
        module: Any = self
        self._leader = Leader(module, self._calls.present())
        core.run(self._restore(), now)
        self._prober.start(now)

    def configure(self, settings: DispatcherSettings, now: float) -> None:
        """Take another table; the state of destinations in both stays."""
        had = self.settings.probe_interval
        super().configure(settings, now)
        self._groups.take(settings.destinations)
        self._guard(now)
        if had != settings.probe_interval:
            self._prober.replan(now)
        self._prober.resolve(now)

    async def _restore(self) -> None:
        self._groups.restore(await self._rows.all())
        self._guard(self.core.ua.now)

    def _guard(self, now: float) -> None:
        servers = [(one.uri, f"destination {one.destination.uri}") for one in self._groups]
        settings = self.settings
        self.core.guard([] if settings.direct else servers, "dispatcher.direct", now, refer=settings.refer)

    def announced(self, key: str, word: Any, now: float) -> None:
        """Take what another worker knows of a destination."""
        name = self._shared.heard(key)
        for one in self._groups:
            if one.key == name:
                self._at = now
                self._shared.take(one.key, one.health, word)

    def rows_changed(self, table: Any, rows: Sequence[Change], deleted: Sequence[Any], now: float) -> None:
        """Take what the operator changed by another worker."""
        for change in rows:
            self._groups.change(change)
        for key in deleted:
            self._groups.forget(*key)
        self._guard(now)

    def _share(self, one: Member) -> None:
        self._shared.share(one.key, one.health)

    def _plan(self) -> Plan:
        return self.settings.plan(self.core, self.name)

    def health(self) -> str:
        """Return which groups have no destination left."""
        now = max(self._at, self._prober.now)
        gone = [
            name for name, members in self._groups.items() if all(one.health.obstacle(now) for one in members)
        ]
        return f"no destination of group {', '.join(gone)} takes requests" if gone else ""

    def _tell(self, one: Member, state: str, now: float) -> None:
        self._at = now
        self.core.notify(
            MemberChanged(one.destination.uri, one.destination.group, state, one.health.why), now
        )

    # --- groups

    @function
    def members(self, request: IncomingRequest, group: str = "") -> list[str]:
        """Return the URIs of a group that may get ``request`` now, in no order."""
        return [one.destination.uri for one in self._group(group) if not one.health.obstacle(request.now)]

    @function
    def comes_from(self, request: IncomingRequest, group: str = "") -> str:
        """Return the URI of the destination that sent ``request``, by its address; "" for any other sender.

        Over UDP by its port as well: a phone may live on the same machine.
        """
        return self._sender_at(request.flow, group)

    def _sender_at(self, flow: Flow, group: str) -> str:
        found = sender_among(self._groups.of(group) if group else self._groups, flow)
        return "" if found is None else found.destination.uri

    def _ordered(
        self, group: str, algorithm: Algorithm, key: str, caller: str, now: float, decision: Decision
    ) -> list[Member]:
        """Return the members that may get a request of ``caller``, in the order to be tried."""
        members, suspected = [], []
        for one in self._group(group):
            obstacle = one.health.obstacle(now, caller) or ("" if one.destination.weight else "weight 0")
            if obstacle:
                decision.passed_over.append(Step(one.destination.uri, obstacle))
            elif one.health.suspected:
                suspected.append(one)
            else:
                members.append(one)
        return self._orders.of(group, algorithm, key, members) + suspected

    def _group(self, name: str) -> tuple[Member, ...]:
        return self._groups.of(name or self.settings.group)

    # --- operators

    @command("dispatcher.list", everywhere=Gathered(key=("group", "uri"), sums=("requests", "failed")))
    def list_destinations(self, now: float, group: str | None = None) -> list[Row]:
        """Return all destinations, or those of a group, with their state."""
        members = self._groups if group is None else self._asked_group("dispatcher.list", group)
        return [row_of(one, self._calls.count(one.key), now) for one in members]

    @command("dispatcher.explain", everywhere=Gathered(any=True))
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
            members = self._ordered(name, chosen, key, "", now, decision)
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
            self._guard(self.core.ua.now)
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
        self._guard(self.core.ua.now)

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
