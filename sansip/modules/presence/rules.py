"""Presence authorization rules (RFC 4745, RFC 5025): who may see what.

Theory of operation: a document is read once into plain values, and each watcher is judged once (``Ruleset``).
A rule applies if all its conditions hold; an unknown condition never holds (RFC 4745 7). Of the rules that
apply, the highest ``sub-handling`` wins, and what they show is added up (RFC 4745 10.2). Without a rule that
applies nothing is allowed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import inf
from typing import Final

from sansip.errors import RemoteProtocolError
from sansip.location.aor import address_of_record
from sansip.module.xml import Element, local_name, namespace, read_xml
from sansip.modules.events import Verdict
from sansip.wire import parse_uri

__all__ = ["ALL", "EVERYTHING", "NOTHING", "Rule", "Ruleset", "Shows", "judge", "parse_rules"]

POLICY: Final = "urn:ietf:params:xml:ns:common-policy"
RULES: Final = "urn:ietf:params:xml:ns:pres-rules"
ALL: Final = "*"
_MOST_RULES: Final = 500
# Watchers whose verdict by one user's rules is kept.
_MOST_JUDGED: Final = 1_000
# Characters of watcher and sphere; who has longer ones is judged each time.
_LONGEST_JUDGED: Final = 256
# RFC 5025 3.2.1: in rising order.
_ORDER: Final = (Verdict.BLOCK, Verdict.CONFIRM, Verdict.POLITE, Verdict.ALLOW)
_INPUT: Final = {"false": 0, "bare": 10, "thresholds": 20, "full": 30}


@dataclass(frozen=True, slots=True)
class Shows:
    """What a watcher sees of a document (RFC 5025 3.3), as sets that add up.

    Attributes:
        services, persons, devices: pairs of what identifies them and its value; ``ALL`` for all.
        attributes: names of elements (``activities``), or ``ALL``.
        unknown: namespace and name of elements of extensions.
        user_input: 0, 10 (bare), 20 (thresholds) or 30 (full).
    """

    services: frozenset[tuple[str, str]] = frozenset()
    persons: frozenset[tuple[str, str]] = frozenset()
    devices: frozenset[tuple[str, str]] = frozenset()
    attributes: frozenset[str] = frozenset()
    unknown: frozenset[tuple[str, str]] = frozenset()
    user_input: int = 0

    def __or__(self, other: Shows) -> Shows:
        return Shows(
            self.services | other.services,
            self.persons | other.persons,
            self.devices | other.devices,
            self.attributes | other.attributes,
            self.unknown | other.unknown,
            max(self.user_input, other.user_input),
        )


_MEMBERS: Final[dict[str, Callable[[frozenset[tuple[str, str]]], Shows]]] = {
    "services": lambda members: Shows(services=members),
    "persons": lambda members: Shows(persons=members),
    "devices": lambda members: Shows(devices=members),
}
_EVERY: Final = frozenset({(ALL, "")})
NOTHING: Final = Shows()
EVERYTHING: Final = Shows(_EVERY, _EVERY, _EVERY, frozenset({ALL}), frozenset(), 30)

# Whether a condition holds for (watcher or "" where it proved nothing, sphere, Unix time).
Condition = Callable[[str, str, float], bool]


@dataclass(slots=True)
class Rule:
    """One rule. ``edges``: the Unix times at which it begins or ends to apply."""

    conditions: list[Condition] = field(default_factory=list)
    verdict: Verdict = Verdict.BLOCK
    shows: Shows = NOTHING
    edges: list[float] = field(default_factory=list)


def judge(rules: list[Rule], watcher: str, sphere: str, unix: float) -> tuple[Verdict, Shows]:
    """Return what ``watcher`` ("" for one that has proved nothing) may do, and what it sees."""
    verdict, shows = Verdict.BLOCK, NOTHING
    for rule in rules:
        if all(condition(watcher, sphere, unix) for condition in rule.conditions):
            # RFC 4745 10.2: the highest value, and the union of sets.
            if _ORDER.index(rule.verdict) > _ORDER.index(verdict):
                verdict = rule.verdict
            shows |= rule.shows
    return verdict, shows


class Ruleset:
    """The rules of one user. A watcher with a thousand subscriptions is judged once, until a rule changes."""

    __slots__ = ("_edges", "_judged", "_rules")

    def __init__(self, rules: list[Rule]) -> None:
        self._rules = rules
        self._edges = sorted({edge for rule in rules for edge in rule.edges})
        # (watcher, sphere) -> verdict, what it sees, and the times from and until which that holds.
        self._judged: dict[tuple[str, str], tuple[tuple[Verdict, Shows], float, float]] = {}

    def next_change(self, unix: float) -> float | None:
        """Return the Unix time at which a rule begins or ends to apply next."""
        place = bisect_right(self._edges, unix)
        return self._edges[place] if place < len(self._edges) else None

    def judge(self, watcher: str, sphere: str, unix: float) -> tuple[Verdict, Shows]:
        """Return what ``judge`` does."""
        if len(watcher) + len(sphere) > _LONGEST_JUDGED:
            # Users publish their spheres: what they write is not kept a thousand times.
            return judge(self._rules, watcher, sphere, unix)
        key = watcher, sphere
        found = self._judged.get(key)
        if found is None or not found[1] <= unix < found[2]:
            edge = self.next_change(unix)
            if len(self._judged) >= _MOST_JUDGED:
                self._judged.clear()
            until = inf if edge is None else edge
            found = self._judged[key] = judge(self._rules, watcher, sphere, unix), unix, until
        return found[0]


def parse_rules(body: bytes) -> list[Rule]:
    """Return the rules of a document. Raises ``ValueError`` for one that is none."""
    root = read_xml(body)
    if root.tag != f"{{{POLICY}}}ruleset":
        raise ValueError("not a ruleset")
    rules = [_rule(element) for element in root if element.tag == f"{{{POLICY}}}rule"]
    if len(rules) > _MOST_RULES:
        raise ValueError("too many rules")
    return rules


def _rule(element: Element) -> Rule:
    if not element.get("id"):
        raise ValueError("rule without id")
    rule = Rule()
    for part in element:
        if namespace(part) != POLICY:
            continue
        name = local_name(part)
        if name == "conditions":
            rule.conditions += [_condition(one, rule) for one in part]
        elif name == "actions":
            for action in part:
                if action.tag == f"{{{RULES}}}sub-handling":
                    rule.verdict = _handling(action.text)
        elif name == "transformations":
            rule.shows = _shows(part)
    return rule


def _handling(value: str | None) -> Verdict:
    try:
        return Verdict((value or "").strip())
    except ValueError:
        raise ValueError("sub-handling is unknown") from None


def _condition(element: Element, rule: Rule) -> Condition:
    name = local_name(element) if namespace(element) == POLICY else ""
    if name == "identity":
        return _any_of([_identity(one) for one in element])
    if name == "sphere":
        wanted = element.get("value") or ""
        # RFC 4745 7.2: an unknown sphere is no sphere.
        return lambda watcher, sphere, unix: bool(sphere) and sphere == wanted
    if name == "validity":
        return _validity(element, rule)
    # RFC 4745 7: what is not understood does not hold.
    return lambda watcher, sphere, unix: False


def _any_of(conditions: list[Condition]) -> Condition:
    return lambda watcher, sphere, unix: any(one(watcher, sphere, unix) for one in conditions)


def _user(text: str | None) -> str:
    try:
        return address_of_record(parse_uri((text or "").strip()))
    except RemoteProtocolError:
        raise ValueError("an identity is no URI") from None


def _domain_of(user: str) -> str:
    return user.rpartition("@")[2].lower() if "@" in user else ""


def _identity(element: Element) -> Condition:
    """RFC 4745 7.1: nobody is meant who has proved nothing."""
    if element.tag == f"{{{POLICY}}}one":
        user = _user(element.get("id"))
        return lambda watcher, sphere, unix: watcher == user
    if element.tag != f"{{{POLICY}}}many":
        return lambda watcher, sphere, unix: False
    domain = (element.get("domain") or "").lower()
    users: set[str] = set()
    domains: set[str] = set()
    for one in element:
        if one.tag == f"{{{POLICY}}}except":
            if one.get("id"):
                users.add(_user(one.get("id")))
            if one.get("domain"):
                domains.add(one.get("domain").lower())

    def holds(watcher: str, sphere: str, unix: float) -> bool:
        if not watcher or watcher in users:
            return False
        theirs = _domain_of(watcher)
        return theirs not in domains and (not domain or theirs == domain)

    return holds


def _validity(element: Element, rule: Rule) -> Condition:
    times: list[tuple[str, float]] = []
    for one in element:
        try:
            at = datetime.fromisoformat((one.text or "").strip())
        except ValueError:
            raise ValueError("validity is no date") from None
        if at.tzinfo is None:
            at = at.replace(tzinfo=UTC)
        times.append((local_name(one), at.timestamp()))
    names = [name for name, _ in times]
    if not times or names != ["from", "until"] * (len(times) // 2):
        raise ValueError("validity needs from and until")
    edges = [at for _, at in times]
    rule.edges += edges
    spans = list(zip(edges[::2], edges[1::2], strict=True))
    return lambda watcher, sphere, unix: any(begin <= unix < end for begin, end in spans)


def _shows(element: Element) -> Shows:
    shows = NOTHING
    for one in element:
        if namespace(one) != RULES:
            continue
        name, value = local_name(one), (one.text or "").strip()
        if name in ("provide-services", "provide-persons", "provide-devices"):
            kind = name.removeprefix("provide-")
            members = {(local_name(member), (member.text or "").strip()) for member in one}
            if (f"all-{kind}", "") in members:
                members = {(ALL, "")}
            shows |= _MEMBERS[kind](frozenset(members))
        elif name == "provide-all-attributes":
            shows |= Shows(attributes=frozenset({ALL}), user_input=30)
        elif name == "provide-user-input":
            if value not in _INPUT:
                raise ValueError("provide-user-input is unknown")
            shows |= Shows(user_input=_INPUT[value])
        elif name == "provide-unknown-attribute":
            if value in ("true", "1"):
                shows |= Shows(unknown=frozenset({(one.get("ns") or "", one.get("name") or "")}))
        elif name.startswith("provide-") and value in ("true", "1"):
            shows |= Shows(attributes=frozenset({name.removeprefix("provide-")}))
    return shows
