"""The module ``dialplan``: before a user is looked up, what was dialled becomes the number that is meant.

Theory of operation: the rules of the configuration and those of rows make plans (``plan``). A plan has the
name of a domain, or is the one for all others. Tests stand in the rules themselves, and rules that fail them
never come into use: not at the start, not by a reload, not by a command.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sansip.module import CommandError, Module, Slot, command, function, step
from sansip.modules.dialplan.plan import Meant, Plan, plans_of, tested
from sansip.modules.dialplan.rule import RULES, Rule
from sansip.modules.dialplan.settings import MOST, DialplanSettings
from sansip.wire import SipUri
from sansip.wire.uri import escape_user

if TYPE_CHECKING:
    from sansip.module import Core
    from sansip.routing import IncomingRequest

__all__ = ["Dialplan"]

_MARKS: Final = "+0123456789*#"
_SEPARATORS: Final = {ord(one): None for one in "-.()"}


@dataclass(slots=True)
class Tried:
    """A number in `dialplan.try`; ``rule`` is "" where none is for it."""

    number: str
    plan: str
    becomes: str
    refuse: int
    rule: str
    attributes: str


class Dialplan(Module):
    """Turns what people dial into the numbers that are meant, or refuses it."""

    name = "dialplan"
    over_workers = True
    Settings = DialplanSettings
    tables = (RULES,)
    settings: DialplanSettings
    meant: Slot[Meant] = Slot()

    def __init__(self, settings: DialplanSettings) -> None:
        super().__init__(settings)
        self._rows: dict[Any, Rule] = {}
        self._plans: dict[str, Plan] = plans_of(settings.rules)
        self._trouble = ""

    def start(self, core: Core, now: float) -> None:
        self._stored = core.rows(RULES)
        self._translated = core.counter("translated", "Numbers that a rule was for", ("plan",))
        self._refused = core.counter("refused", "Requests that a rule refused", ("plan",))
        core.run(self._restore(), now)

    def configure(self, settings: DialplanSettings, now: float) -> None:
        """Take other rules; those of rows stay."""
        plans = self._judged([*settings.rules, *self._rows.values()])
        super().configure(settings, now)
        self._plans = plans

    async def _restore(self) -> None:
        rows = await self._stored.all()
        try:
            self._plans = self._judged([*self.settings.rules, *rows])
            self._rows = {_key(one): one for one in rows}
            self._trouble = ""
        except ValueError as error:
            # The configuration has changed meanwhile; it holds, and the operator learns of the rows.
            self._trouble = f"rules of rows are not used: {error}"

    def rows_changed(self, table: Any, rows: Sequence[Rule], deleted: Sequence[Any], now: float) -> None:
        """Take what the operator changed by another worker, which has judged it."""
        self._rows |= {_key(one): one for one in rows}
        for key in deleted:
            self._rows.pop(tuple(key), None)
        self._plans = plans_of([*self.settings.rules, *self._rows.values()])

    def health(self) -> str:
        """Return why rules of rows are not used."""
        return self._trouble

    def figures(self) -> dict[str, Any]:
        """Return how many rules there are."""
        return {"rules": sum(len(plan.rules) for plan in self._plans.values())}

    @staticmethod
    def _judged(rules: list[Rule]) -> dict[str, Plan]:
        if len(rules) > MOST:
            raise ValueError(f"there are {len(rules):,} rules; expected at most {MOST:,}")
        plans = plans_of(rules)
        if faults := tested(plans):
            raise ValueError("; ".join(faults[:5]))
        return plans

    # --- in routes

    @function
    def translate(self, number: str, plan: str = "") -> Meant | None:
        """Return what ``number`` means by ``plan``; None where no rule is for it."""
        chosen = self._plans.get(plan or self.settings.plan)
        try:
            return None if chosen is None else chosen.translate(number)
        except ValueError:
            # A number so long that what it becomes is too long: it means nothing.
            return None

    @function
    def attributes(self, request: IncomingRequest) -> str:
        """Return the attributes of the rule that was for the number of ``request``, "" without one."""
        meant = self.meant.get(request)
        return "" if meant is None else meant.attributes

    @step("translate")
    async def apply(self, request: IncomingRequest) -> None:
        """Give the request the number that is meant, or refuse it."""
        uri = request.uri
        if not isinstance(uri, SipUri) or uri.user is None:
            return
        plan = uri.host if uri.host in self._plans else self.settings.plan
        meant = self.translate(_plain(request.user or ""), plan)
        if meant is None:
            return
        self.meant.set(request, meant)
        if meant.refuse:
            self._refused.add(plan)
            request.reply(meant.refuse)
            return
        self._translated.add(plan)
        if meant.number and meant.number != request.user:
            request.message.set_uri(uri.replace(user=escape_user(meant.number)))

    # --- operators

    @command("dialplan.try")
    def try_number(self, number: str, plan: str = "") -> Tried:
        """Return what a number becomes, and by which rule."""
        name = plan or self.settings.plan
        chosen = self._plans.get(name)
        if chosen is None:
            there = ", ".join(sorted(self._plans)) or "none"
            raise CommandError(f"dialplan.try: there is no plan {name!r:.80}; there are {there:.400}")
        try:
            meant = chosen.translate(_plain(number))
        except ValueError as error:
            raise CommandError(f"dialplan.try: {error}") from None
        if meant is None:
            return Tried(number, name, number, 0, "", "")
        return Tried(number, name, meant.number, meant.refuse, meant.rule.words, meant.attributes)

    @command("dialplan.list")
    def list_rules(self, plan: str = "", after: int = -1, limit: int = 1_000) -> list[Rule]:
        """Return the rules of a plan in their order; `after`: how many the pages before had, less one."""
        chosen = self._plans.get(plan or self.settings.plan)
        rules = [] if chosen is None else chosen.rules
        return rules[after + 1 : after + 1 + max(1, min(limit, 1_000))]

    @command("dialplan.add")
    async def add(
        self,
        plan: str = "default",
        place: int = 0,
        equal: str = "",
        prefix: str = "",
        pattern: str = "",
        length: int = 0,
        replace: str = "",
        refuse: int = 0,
        attributes: str = "",
        example: str = "",
        gives: str = "",
    ) -> Rule:
        """Add a rule, durably; one that fails its own test, or another's, is refused."""
        try:
            rule = Rule(
                plan, place, equal, prefix, pattern, length, replace, refuse, attributes, example, gives
            )
            rows = {**self._rows, _key(rule): rule}
            self._judged([*self.settings.rules, *rows.values()])
        except ValueError as error:
            raise CommandError(f"dialplan.add: {error}") from None
        await self._stored.put(rule)
        self._rows[_key(rule)] = rule
        self._plans = plans_of([*self.settings.rules, *self._rows.values()])
        return rule

    @command("dialplan.remove")
    async def remove(
        self, plan: str = "default", place: int = 0, equal: str = "", prefix: str = "", pattern: str = ""
    ) -> bool:
        """Remove a rule that was added; return whether there was one."""
        key = (plan, place, equal, prefix, pattern)
        rows = {name: one for name, one in self._rows.items() if name != key}
        try:
            self._judged([*self.settings.rules, *rows.values()])
        except ValueError as error:
            raise CommandError(f"dialplan.remove: without it {error}") from None
        await self._stored.delete(key)
        there = self._rows.pop(key, None) is not None
        self._plans = plans_of([*self.settings.rules, *self._rows.values()])
        return there


def _plain(user: str) -> str:
    """Return the number that ``user`` is, without what means nothing in it; any other user as it is.

    RFC 3966 5.1.1, RFC 3261 19.1.6: 0-900-1;x=y calls 0900 as well, so it is refused where 0900 is.
    """
    number = user.partition(";")[0].translate(_SEPARATORS)
    return number if number and not number.strip(_MARKS) else user


def _key(rule: Rule) -> tuple[str, int, str, str, str]:
    return rule.plan, rule.place, rule.equal, rule.prefix, rule.pattern
