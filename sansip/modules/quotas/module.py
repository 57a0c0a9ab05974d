"""The module ``quotas``: a user whose phone or password was stolen costs a bounded sum.

Theory of operation: a call is admitted while its user has fewer calls than the limit, and has not used up
the minutes or the spend of the period. Answered calls use both up as they go on; at the moment at which the
sum of all calls of a user reaches a limit they are hung up. What ended calls used is a row for each user,
period and node, so a restart forgets nothing, and nodes with the same rows count what ended on the others.
Workers of one server know at any time what a user uses at all of them (``others``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sansip.module import Again, CommandError, Gathered, Module, command, function, step
from sansip.modules.calls import CallAnswered, CallFinished, Calls, CallTakenBack
from sansip.modules.calls.tariff import UNIT
from sansip.modules.quotas.others import Others
from sansip.modules.quotas.settings import QuotasSettings
from sansip.modules.quotas.use import Limits, Use, period_of
from sansip.rows import Table

if TYPE_CHECKING:
    from sansip.module import Core
    from sansip.modules.calls import Call
    from sansip.routing import IncomingRequest

__all__ = ["QuotaReached", "Quotas"]

# Where a call keeps its user: text, so a row of the call has it.
_USER: Final = "quotas user"
_AGAIN: Final = 1.0
_BATCH: Final = 500


@dataclass(slots=True)
class Quota:
    """A row: the limits of one user in place of those of the settings; -1: as the settings say."""

    user: str
    calls: int
    minutes: float
    spend: float


@dataclass(slots=True)
class Used:
    """A row: what ended calls of a user used in a period, on one node."""

    user: str
    period: int
    node: str
    seconds: float
    spent: int


QUOTAS = Table("quotas_users", Quota, key=("user",))
USED = Table("quotas_used", Used, key=("user", "period", "node"))


@dataclass(slots=True)
class QuotaReached:
    """A user has used up a limit; ``ended``: how many calls were hung up for that."""

    user: str
    limit: str
    ended: int

    def __str__(self) -> str:
        return f"user {self.user} has used up {self.limit}; {self.ended} calls were hung up"


@dataclass(slots=True)
class Row:
    """A user's use and limits, as `quotas.show` tells them."""

    user: str
    calls: int
    minutes: float
    spent: float
    most_calls: int
    most_minutes: float
    most_spend: float


class Quotas(Module):
    """Limits each user's calls at once, minutes and spend, and hangs up what goes beyond."""

    name = "quotas"
    over_workers = True
    Settings = QuotasSettings
    tables = (QUOTAS, USED)
    requires = (Calls,)
    events = (CallAnswered, CallTakenBack, CallFinished)
    settings: QuotasSettings

    def __init__(self, settings: QuotasSettings) -> None:
        super().__init__(settings)
        self._own: dict[str, Quota] = {}
        self._uses: dict[str, Use] = {}
        # User -> when the running calls are looked at.
        self._due: dict[str, float] = {}
        self._changed: set[str] = set()
        self._writing = False
        self._trouble = "the rows are not read yet"

    # --- its life

    def start(self, core: Core, now: float) -> None:
        self._calls = core.module(Calls)
        self._quotas, self._used = core.rows(QUOTAS), core.rows(USED)
        self._others = Others(core)
        self._refused = core.counter("refused", "Calls that were refused", ("limit",))
        self._ended = core.counter("ended", "Calls that were hung up")
        Again(core, self._restore, _AGAIN, "", failed=self._unread).begin(now)

    async def _restore(self) -> None:
        core = self.core
        used = await self._used.all()
        own = await self._quotas.all()
        self._own = {one.user: one for one in own}
        period = self._period(core.ua.now)
        for one in used:
            if core.inherits(one.node) and one.period == period:
                use = self._use(one.user, core.ua.now)
                use.seconds += one.seconds
                use.spent += one.spent
        for user, use in self._uses.items():
            # The calls that go on were taken back meanwhile.
            self._plan(user, core.ua.now)
            self._others.share(user, use)
        self._trouble = ""
        # A worker that is no more has no row: its use is in that of its heir.
        left = [one for one in used if one.node != core.place and core.inherits(one.node)]
        if mine := {one.user for one in left if one.period == period}:
            await self._used.put(*self._rows_of(mine))
        if old := [one for one in used if one.period < period or one in left]:
            await self._used.delete(*((one.user, one.period, one.node) for one in old))

    def announced(self, key: str, word: Any, now: float) -> None:
        """Take what another worker says of a user's use."""
        self._plan(self._others.heard(key, word), now)

    def rows_changed(self, table: Any, rows: Sequence[Any], deleted: Sequence[Any], now: float) -> None:
        """Take the limits of users that the operator changed by another worker."""
        if table is QUOTAS:
            self._own |= {one.user: one for one in rows}
            for (user,) in deleted:
                self._own.pop(user, None)
            for user in {*(one.user for one in rows), *(user for (user,) in deleted)}:
                self._plan(user, now)

    def _unread(self, error: BaseException, now: float) -> None:
        self._trouble = f"the rows cannot be read: {error}"

    def timer_fired(self, name: object, now: float) -> None:
        self.core.run(self._write(), now)

    def health(self) -> str:
        """Return why limits may not hold."""
        return self._trouble

    def _period(self, now: float) -> int:
        return period_of(self.core.unix(now), self.settings.period)

    def _use(self, user: str, now: float) -> Use:
        use = self._uses.get(user)
        if use is None:
            use = self._uses[user] = Use(self._period(now))
        use.move_to(self._period(now))
        return use

    def _limits(self, user: str) -> Limits:
        settings, own = self.settings, self._own.get(user)
        if own is None:
            return Limits(settings.calls, settings.minutes, settings.spend)
        return Limits(
            settings.calls if own.calls < 0 else own.calls,
            settings.minutes if own.minutes < 0 else own.minutes,
            settings.spend if own.spend < 0 else own.spend,
        )

    # --- admission

    @function
    async def admit(self, request: IncomingRequest) -> bool:
        """Whether the caller may make this call; else it was answered with 403. For an INVITE.

        The call counts for its caller from now on. Only a caller who proved who it is has a quota; where the
        server asks for no passwords, the one that From names.
        """
        if request.method != "INVITE" or request.in_dialog:
            return True
        if request.authenticates and not request.proven:
            return True
        user = self.core.address_of(request.message.from_.uri)
        limits = self._limits(user)
        if limits.calls and not await self._calls.limit(request, f"quota {user}", limits.calls):
            return self._refuse(request, "calls", f"{limits.calls} Calls At Most")
        if not (limits.minutes or limits.spend):
            return True
        seconds, spent = await self._elsewhere(user, request.now)
        use = self._uses.get(user)
        if use is None and len(self._uses) >= self.settings.most_users:
            self._forget(request.now)
            if len(self._uses) >= self.settings.most_users:
                return self._refuse(request, "users", "Too Many Users")
        use = self._use(user, request.now)
        if reached := use.reached(limits, request.now, seconds, spent):
            self._calls.release(request, f"quota {user}")
            return self._refuse(request, "minutes" if "minutes" in reached else "spend", "Quota Used Up")
        self._calls.hold(request, f"quota {user}")
        call = self._calls.of(request)
        if call is None:
            # Without a record (``calls.most``) nobody would see what it uses up.
            return self._refuse(request, "calls", "Too Many Calls")
        call.variables[_USER] = user
        return True

    def _refuse(self, request: IncomingRequest, limit: str, reason: str) -> bool:
        self._refused.add(limit)
        request.reply(403, reason)
        return False

    async def _elsewhere(self, user: str, now: float) -> tuple[float, int]:
        """Return what calls of other nodes used that have ended, or all calls at other workers."""
        if not self.core.shares_rows:
            return self._others.at(user, self._period(now), now)
        try:
            rows = await self._used.page(user, self._period(now), limit=1_000)
        except Exception as error:
            self._trouble = f"the use on other nodes is not known: {error}"
            return 0.0, 0
        self._trouble = ""
        others = [one for one in rows if one.node != self.core.place]
        return sum(one.seconds for one in others), sum(one.spent for one in others)

    def _forget(self, now: float) -> None:
        """Forget users whose use was of another period."""
        period = self._period(now)
        for user in [name for name, use in self._uses.items() if use.period != period and not use.running]:
            del self._uses[user]
            # The other workers forget them as well.
            self._others.share(user, Use(period))

    @step("translate", rank=80)
    async def limit_calls(self, request: IncomingRequest) -> None:
        """Refuse a call beyond its caller's limits."""
        if self.settings.takes == "calls":
            await self.admit(request)

    # --- calls that go on

    def event_received(self, event: Any, now: float) -> None:
        """Count the calls of users."""
        call: Call = event.call
        user = call.variables.get(_USER)
        if not isinstance(user, str):
            return
        if isinstance(event, CallFinished):
            use = self._use(user, now)
            if use.running.pop(call.id, None) is not None:
                use.add(call)
                self._changed.add(user)
                self._save(now)
                self._others.share(user, use)
        elif not call.over:
            use = self._use(user, now)
            use.running[call.id] = call
            self._others.share(user, use)
        self._plan(user, now)

    def _plan(self, user: str, now: float) -> None:
        use, due = self._uses.get(user), None
        if use is not None and use.running:
            others = self._others.at(user, use.period, now)
            due = use.due(self._limits(user), now, *others, self._others.running(user))
        if due is None:
            self._due.pop(user, None)
        else:
            self._due[user] = due

    def next_due(self) -> float | None:
        """Return when the next user's calls are looked at."""
        return min(self._due.values(), default=None)

    def time_passed(self, now: float) -> None:
        """Hang up the calls of users who have used up a limit."""
        for user in [name for name, due in self._due.items() if due <= now]:
            use = self._use(user, now)
            reached = use.reached(self._limits(user), now, *self._others.at(user, use.period, now))
            if reached:
                running = list(use.running.values())
                self.core.notify(QuotaReached(user, reached, len(running)), now)
                for call in running:
                    self._ended.add()
                    self._calls.hang_up(call, f"{reached} used up", now)
            self._plan(user, now)

    # --- rows

    def _save(self, now: float) -> None:
        if not self._writing:
            self._writing = True
            self.core.run(self._write(), now)

    async def _write(self) -> None:
        core = self.core
        try:
            while self._changed:
                users = list(self._changed)[:_BATCH]
                self._changed.difference_update(users)
                try:
                    await self._used.put(*self._rows_of(users))
                except Exception:
                    self._changed.update(users)
                    raise
            self._writing = False
            self._trouble = ""
        except Exception as error:
            self._trouble = f"the use cannot be written: {error}"
            core.timers.start(core.ua.now, _AGAIN, self, "again")

    def _rows_of(self, users: Iterable[str]) -> list[Used]:
        place = self.core.place
        uses = [(user, self._uses[user]) for user in users if user in self._uses]
        return [Used(user, use.period, place, use.seconds, use.spent) for user, use in uses]

    # --- operators

    @command("quotas.show")
    def show(self, user: str, now: float) -> Row:
        """Return what a user (``sip:alice@example.com``) has used in this period here, and may use."""
        return self._row(user, now)

    def _row(self, user: str, now: float) -> Row:
        limits, use = self._limits(user), self._uses.get(user)
        seconds, spent = (0.0, 0) if use is None or use.period != self._period(now) else use.at(now)
        used, cost = self._others.at(user, self._period(now), now)
        seconds, spent = seconds + used, spent + cost
        calls = self._calls.count(f"quota {user}")
        return Row(
            user,
            calls,
            round(seconds / 60, 3),
            spent / UNIT,
            limits.calls,
            limits.minutes,
            limits.spend,
        )

    @command("quotas.list")
    def list_users(self, now: float, after: str = "", limit: int = 1_000) -> list[Row]:
        """Return the users with use in this period or limits of their own; ``after``: the last one before."""
        known = {*self._uses, *self._own, *self._others.users()}
        names = sorted(name for name in known if name > after)
        return [self._row(name, now) for name in names[: max(1, min(limit, 1_000))]]

    @command("quotas.set")
    async def set_limits(
        self, user: str, now: float, calls: int = -1, minutes: float = -1.0, spend: float = -1.0
    ) -> Row:
        """Give a user limits of its own, durably; 0: none, -1: as the settings say. They hold at once."""
        if not user.startswith(("sip:", "sips:")):
            raise CommandError(f"quotas.set: user is {user!r:.80}; expected like sip:alice@example.com")
        try:
            QuotasSettings(max(calls, 0), max(minutes, 0.0), max(spend, 0.0))
        except ValueError as error:
            raise CommandError(f"quotas.set: {error}") from None
        row = Quota(user, calls, minutes, spend)
        if calls == minutes == spend == -1:
            await self._quotas.delete((user,))
            self._own.pop(user, None)
        else:
            await self._quotas.put(row)
            self._own[user] = row
        self._plan(user, now)
        return self._row(user, now)

    @command("quotas.reset", everywhere=Gathered(first=True))
    async def reset(self, user: str, now: float) -> Row:
        """Have the use of a user begin anew: its calls that have ended count no more."""
        use = self._uses.get(user)
        if use is not None:
            use.seconds, use.spent = 0.0, 0
            self._changed.add(user)
            self._save(now)
            self._plan(user, now)
            self._others.share(user, use)
        return self._row(user, now)
