"""What the module ``lcr`` is beside its sending: its life, its rates and gateways, its commands.

Theory of operation: rates come from a file, which the outer half packs in a process of its own, and from
rows. The operator's word on a gateway is a row, too, so neither a reload nor a restart forgets it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from sansip.module import CommandError, Gathered, Module, ModuleFault, command
from sansip.modules.calls import Calls
from sansip.modules.failover.health import Admin
from sansip.modules.failover.prober import Plan, Prober
from sansip.modules.failover.sharing import SharedHealth
from sansip.modules.failover.trail import Decision, Trail
from sansip.modules.lcr.choice import Candidate, choose
from sansip.modules.lcr.events import GatewayChanged
from sansip.modules.lcr.gateways import WORDS, Gateways, Outlet, Word
from sansip.modules.lcr.lead import Leader
from sansip.modules.lcr.loading import Loading
from sansip.modules.lcr.measured import Measured
from sansip.modules.lcr.measuring import Measuring
from sansip.modules.lcr.number import dialled
from sansip.modules.lcr.offer import Offer
from sansip.modules.lcr.rate import RATES, Rate, moment
from sansip.modules.lcr.rates import Rates
from sansip.modules.lcr.settings import LcrSettings
from sansip.modules.lcr.view import Explained, Row, explained, reason, row_of
from sansip.routing.awaitables import sleep

if TYPE_CHECKING:
    from sansip.module import Core

__all__ = ["Operated"]

# Seconds that the command `lcr.reload` waits, and between two looks.
_RELOAD, _LOOK = 8.0, 0.1


class Operated(Module):
    """The module without its sending."""

    name = "lcr"
    # Workers share the gateways' health and quality, the operator's words, and the memory of the file.
    over_workers = True
    Settings = LcrSettings
    tables = (RATES, WORDS)
    requires = (Calls,)
    settings: LcrSettings

    def __init__(self, settings: LcrSettings) -> None:
        super().__init__(settings)
        self._gateways = Gateways()
        self._rates = Rates()
        self._trail = Trail()

    # --- its life

    def check(self, settings: LcrSettings) -> None:
        """Rates need gateways."""
        if settings.file and not settings.gateways:
            raise ModuleFault("lcr.file is set, and there is no gateway; add [[lcr.gateways]]")

    def start(self, core: Core, now: float) -> None:
        self._calls = core.module(Calls)
        self._rows = core.rows(RATES)
        self._loading = Loading(core, self._rows, self._rates)
        self._words = core.rows(WORDS)
        self._sent = core.counter("requests", "Requests sent to a gateway", ("gateway",))
        self._failures = core.counter("failed", "Requests that a gateway failed at", ("gateway",))
        self._unrouted = core.counter("unrouted", "Requests that no gateway took", ("why",))
        self._have(self.settings, now)
        self._shared, self._measured = SharedHealth(core), Measured(core)
        self._measuring = Measuring(self.settings, self._measured)
        module: Any = self
        self._leader = Leader(module, core, self._calls.present())
        self._prober = Prober(
            core, self._gateways, self._plan, lambda one: one.gateway.probe, self._tell, self._share
        )
        core.run(self._restore(), now)
        self._prober.start(now)

    def configure(self, settings: LcrSettings, now: float) -> None:
        """Take other settings; gateways in both keep their state, and the file is looked at anew."""
        had = self.settings.probe_interval
        super().configure(settings, now)
        self._measuring.settings = settings
        self._have(settings, now)
        if had != settings.probe_interval:
            self._prober.replan(now)
        self.core.run(self._restore(), now)
        self._prober.resolve(now)

    def _have(self, settings: LcrSettings, now: float) -> None:
        self._gateways.take(settings.gateways)
        servers = (
            [] if settings.direct else [(one.uri, f"gateway {one.gateway.name}") for one in self._gateways]
        )
        self.core.guard(servers, "lcr.direct", now, refer=settings.refer)

    async def _restore(self) -> None:
        for word in await self._words.all():
            self._gateways.say(word.gateway, _admin(word.state))
        await self._loading.begin(self.settings)

    def announced(self, key: str, word: Any, now: float) -> None:
        """Take what another worker knows of a gateway."""
        name = self._shared.heard(key)
        outlet = None if name is None else self._gateways.get(name)
        if name is not None and outlet is not None:
            self._shared.take(name, outlet.health, word)
        elif name is None:
            self._measured.heard(key, word)

    def rows_changed(self, table: Any, rows: Sequence[Any], deleted: Sequence[Any], now: float) -> None:
        """Take what the operator changed by another worker."""
        if table is WORDS:
            for word in rows:
                self._gateways.say(word.gateway, _admin(word.state))
            for key in deleted:
                self._gateways.say(key[0], "active")
            return
        for key in deleted:
            self._rates.drop(key)
        if rows:
            self.core.run(self._take(rows), now)

    async def _take(self, rates: Sequence[Rate]) -> None:
        for rate in rates:
            self._rates.put(rate, await self._loading.offer(self.settings, rate))

    def _share(self, outlet: Outlet) -> None:
        self._shared.share(outlet.gateway.name, outlet.health)

    def _plan(self) -> Plan:
        return self.settings.plan(self.core, self.name)

    def health(self) -> str:
        """Return what is wrong with the rates, and whether no gateway takes calls."""
        if self._loading.trouble:
            return self._loading.trouble
        if not self._loading.begun:
            return "the rates are being loaded"
        now = self.core.ua.now
        if len(self._gateways) and all(one.health.obstacle(now) for one in self._gateways):
            return "no gateway takes requests"
        return ""

    def figures(self) -> dict[str, Any]:
        """Return how many rates there are."""
        file = self._rates.file
        return {"rates": len(self._rates), "prefixes": 0 if file is None else file.prefixes}

    def _tell(self, outlet: Outlet, state: str, now: float) -> None:
        self.core.notify(GatewayChanged(outlet.gateway.name, state, outlet.health.why), now)

    # --- rates

    def _chosen(
        self, levels: Sequence[Sequence[Offer]], caller: str, unix: float, now: float
    ) -> tuple[list[Candidate], list[Candidate]]:
        settings, outlets = self.settings, self._gateways.outlets
        quality, number = self._qualities(now), self.core.entropy.number
        return choose(levels, settings, outlets, caller, unix, quality, number)

    def _qualities(self, now: float) -> Callable[[str], float] | None:
        """Return what tells the quality of a gateway, where the order is by it."""
        settings, outlets = self.settings, self._gateways.outlets
        if settings.order != "quality":
            return None

        def quality(name: str) -> float:
            outlet = outlets.get(name)
            if outlet is None:
                return 1.0
            measured = self._measured.of(outlet, now, settings.quality_life)
            return measured.figures(name, settings, now).quality

        return quality

    # --- operators

    @command("lcr.explain")
    def explain(self, number: str, now: float, at: str = "", caller: str = "") -> list[Explained]:
        """Return each gateway for `number` in the order of a call now, with its reason; none is called.

        `at`: another moment, like `2027-01-01T09:30+01:00`; `caller`: the URI in From.
        """
        digits = dialled(number)
        if not digits:
            raise CommandError(f"lcr.explain: number is {number!r:.80}; expected digits")
        try:
            unix = moment(at) or self.core.unix(now)
        except ValueError as error:
            raise CommandError(f"lcr.explain: at is {at!r:.40}; expected {error}") from None
        taken, passed = self._chosen(self._rates.levels(digits), caller, unix, now)
        settings, user = self.settings, (number, digits)
        rows: list[Explained] = []
        place = 0
        for one in taken:
            outlet = self._gateways.get(one.offer.gateway)
            why = "gone" if outlet is None else outlet.health.obstacle(now)
            most = 0 if outlet is None else outlet.gateway.max_calls
            if outlet is not None and most and self._calls.count(outlet.key) >= most:
                why = why or f"has {most} calls, its max_calls"
            place += not why
            rows.append(
                explained(0 if why else place, one, outlet, user, settings, why or reason(settings, one))
            )
        for one in passed:
            outlet = self._gateways.get(one.offer.gateway)
            rows.append(explained(0, one, outlet, user, settings, one.why))
        return sorted(rows, key=lambda row: not row.place)

    @command("lcr.show", everywhere=Gathered(any=True))
    def show(self, call_id: str) -> Decision:
        """Return where a request went and why, by its Call-ID: of the last thousand."""
        decision = self._trail.of(call_id)
        if decision is None:
            raise CommandError(
                f"lcr.show: no request with Call-ID {call_id:.80} among the last {len(self._trail)}"
            )
        return decision

    @command("lcr.list", everywhere=Gathered(key=("gateway",), sums=("requests", "failed")))
    def list_gateways(self, now: float) -> list[Row]:
        """Return all gateways with their state and quality."""
        return [row_of(one, self._calls, self.settings, now) for one in self._gateways]

    @command("lcr.set")
    async def set_state(
        self, gateway: str, now: float, state: Literal["active", "draining", "disabled"] = "active"
    ) -> Row:
        """Have a gateway take calls, keep only those it has, or get nothing, not even OPTIONS.

        It lasts over reloads and restarts.
        """
        outlet = self._asked("lcr.set", gateway)
        if state == "active":
            await self._words.delete((gateway,))
        else:
            await self._words.put(Word(gateway, state))
        self._gateways.say(gateway, state)
        return row_of(outlet, self._calls, self.settings, now)

    @command("lcr.rest")
    def rest(self, gateway: str, seconds: float, now: float) -> Row:
        """Have a gateway get no calls for so many seconds; 0: it takes them again."""
        outlet = self._asked("lcr.rest", gateway)
        if not 0 <= seconds <= 1e6:
            raise CommandError(f"lcr.rest: seconds is {seconds:g}; expected 0 to 1,000,000")
        health = outlet.health
        health.rests_until = now + seconds
        health.why = "rested by the operator" if seconds else ""
        if not seconds:
            health.down = False
        self._share(outlet)
        return row_of(outlet, self._calls, self.settings, now)

    @command("lcr.reload", everywhere=Gathered(first=True))
    async def reload(self) -> dict[str, Any]:
        """Read the file of rates again; where it has a fault, the old rates stay, and the error names it.

        If it takes longer than some seconds, `state` is `loading`; the log says what came of it.
        """
        if not self.settings.file:
            raise CommandError("lcr.reload: there is no file; lcr.file names one")
        began = self.core.ua.now
        ended: list[Any] = []
        load = self._loading.load(self.settings, anew=True)
        self.core.run(load, began, lambda result, now: ended.append(result))
        # An operator's program does not wait for ever.
        while not ended and self.core.ua.now - began < _RELOAD:
            await sleep(_LOOK)
        if not ended:
            return {"file": self.settings.file, "state": "loading"}
        (found,) = ended
        if isinstance(found, BaseException):
            raise found
        return {
            "file": found.name,
            "state": "loaded",
            "rates": len(found),
            "prefixes": found.prefixes,
            "seconds": round(self.core.ua.now - began, 3),
        }

    @command("lcr.rates", role="read")
    def list_rates(self, after: str = "", limit: int = 1_000) -> list[Rate]:
        """Return the rates of rows, by prefix; ``after``: the last prefix of the page before."""
        rows = sorted(
            (one for one in self._rates.rows.values() if one.prefix > after), key=lambda one: one.key
        )
        return rows[: max(1, min(limit, 1_000))]

    @command("lcr.add")
    async def add(
        self,
        gateway: str,
        prefix: str = "",
        price: str = "0",
        currency: str = "",
        setup: str = "0",
        minimum: int = 0,
        increment: int = 1,
        valid_from: str = "",
        valid_to: str = "",
        schedule: str = "",
        caller: str = "",
        priority: int = 0,
        weight: int = 1,
        stopper: bool = False,
        enabled: bool = True,
        strip: int = -1,
        add: str = "-",
    ) -> Rate:
        """Add a rate, durably, beside the file; it comes before the file's of that gateway and prefix."""
        rate = Rate(
            gateway,
            prefix.removeprefix("+"),
            price,
            currency,
            setup,
            minimum,
            increment,
            valid_from,
            valid_to,
            schedule,
            caller,
            priority,
            weight,
            stopper,
            enabled,
            strip,
            add,
        )
        self._asked("lcr.add", gateway)
        if rate.key not in self._rates.rows and len(self._rates.rows) >= self.settings.most_rows:
            raise CommandError(
                f"lcr.add: there are {len(self._rates.rows):,} rows (lcr.most_rows); put them in a file"
            )
        try:
            offer = await self._loading.offer(self.settings, rate)
        except ValueError as error:
            raise CommandError(f"lcr.add: {error}") from None
        await self._rows.put(rate)
        self._rates.put(rate, offer)
        return rate

    @command("lcr.remove")
    async def remove(self, gateway: str, prefix: str = "") -> int:
        """Remove the rates of rows of a gateway for a prefix; return how many there were."""
        prefix = prefix.removeprefix("+")
        keys = [key for key in self._rates.rows if key[:2] == (prefix, gateway)]
        await self._rows.delete(*keys)
        for key in keys:
            self._rates.drop(key)
        return len(keys)

    def _asked(self, command: str, name: str) -> Outlet:
        outlet = self._gateways.get(name)
        if outlet is None:
            there = ", ".join(sorted(one.gateway.name for one in self._gateways)) or "none"
            raise CommandError(f"{command}: there is no gateway {name!r:.80}; there are {there:.400}")
        return outlet


def _admin(state: str) -> Admin:
    return "draining" if state == "draining" else "disabled" if state == "disabled" else "active"
