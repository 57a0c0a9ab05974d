"""Plans: rules in order, found quickly, with their tests.

Theory of operation: of all rules of a plan that are for a number the first one holds. Numbers and prefixes
are looked up in tables, and say how far the expressions have to be tried; so thousands of rules cost a call a
few microseconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sansip.modules.dialplan.rule import Rule
from sansip.patterns import LONGEST, LONGEST_RESULT, Pattern, Template

__all__ = ["Meant", "Plan", "plans_of", "tested"]

# Steps that all expressions of a plan may take for one number. → the rules are refused
STEPS: Final = 3_000_000


@dataclass(slots=True)
class Meant:
    """What a plan makes of a number. ``refuse``: the status, 0 where ``number`` is called."""

    number: str
    rule: Rule
    refuse: int
    attributes: str

    @property
    def text(self) -> str:
        return str(self.refuse) if self.refuse else self.number


class Plan:
    """One plan. Raises ``ValueError`` where its expressions together may take too long."""

    __slots__ = ("_equal", "_lengths", "_patterns", "_prefixes", "rules")

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules = sorted(rules, key=lambda one: one.place)
        # Number or prefix -> turns of its rules; expressions in their turns.
        self._equal: dict[str, list[int]] = {}
        self._prefixes: dict[str, list[int]] = {}
        self._patterns: list[tuple[int, Pattern, Template]] = []
        steps = 0
        for turn, rule in enumerate(self.rules):
            if rule.equal:
                self._equal.setdefault(rule.equal, []).append(turn)
            elif rule.prefix:
                self._prefixes.setdefault(rule.prefix, []).append(turn)
            else:
                pattern = Pattern(rule.pattern)
                steps += pattern.steps
                self._patterns.append((turn, pattern, Template(rule.replace, pattern.groups)))
        if steps > STEPS:
            raise ValueError(
                "pattern: the expressions of the plan together may take too long; begin them with ^, or use"
                " equal and prefix where they will do"
            )
        self._lengths = sorted({len(prefix) for prefix in self._prefixes})

    def translate(self, number: str) -> Meant | None:
        """Return what ``number`` means, None without a rule. Raises ``ValueError``: it grows too long."""
        length = len(number)
        if length > LONGEST:
            return None
        rules = self.rules
        best = len(rules)
        for turn in self._equal.get(number, ()):
            if rules[turn].length in (0, length):
                best = turn
                break
        for size in self._lengths:
            if size > length:
                break
            for turn in self._prefixes.get(number[:size], ()):
                if turn >= best:
                    break
                if rules[turn].length in (0, length):
                    best = turn
        for turn, pattern, template in self._patterns:
            if turn >= best:
                break
            if rules[turn].length in (0, length) and (match := pattern.search(number)) is not None:
                rule = rules[turn]
                return Meant(template.expand(match) or "", rule, rule.refuse, rule.attributes)
        if best == len(rules):
            return None
        rule = rules[best]
        meant = rule.replace if rule.equal else rule.replace + number[len(rule.prefix) :]
        if len(meant) > LONGEST_RESULT:
            raise ValueError(f"{rule.words} makes more than {LONGEST_RESULT} characters")
        return Meant(meant, rule, rule.refuse, rule.attributes)


def plans_of(rules: Iterable[Rule]) -> dict[str, Plan]:
    """Return the plans of ``rules``, by name. Raises ``ValueError``."""
    found: dict[str, list[Rule]] = {}
    for rule in rules:
        found.setdefault(rule.plan, []).append(rule)
    return {name: Plan(some) for name, some in found.items()}


def tested(plans: dict[str, Plan]) -> list[str]:
    """Do the tests that stand in the rules; return what is not as it should be."""
    faults = []
    for name, plan in plans.items():
        for rule in plan.rules:
            if not rule.example:
                continue
            try:
                meant = plan.translate(rule.example)
            except ValueError as error:
                faults.append(f"plan {name}, {rule.words}: {error}")
                continue
            text = rule.example if meant is None else meant.text
            if text != rule.gives:
                by = "no rule is for it" if meant is None else f"by {meant.rule.words}"
                faults.append(
                    f"plan {name}, {rule.words}: {rule.example} gives {text}, expected {rule.gives} ({by})"
                )
    return faults
