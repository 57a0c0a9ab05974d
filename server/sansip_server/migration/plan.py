"""The plan of an import, made before it does anything.

Theory of operation: a plan is made from the source and the content of the store, so a second run
of the same import plans nothing. Every row is counted: taken, already there, or left out with a
reason. Each reason names the first rows to which it applies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sansip.location import Binding, LocationUpdate
from sansip_server.migration.kamailio import (
    Left,
    Row,
    binding_of,
    domain_of,
    trusted_of,
    upstream_of,
    users_of,
)
from sansip_server.migration.source import Source
from sansip_server.stores import Store, User

__all__ = ["TABLES", "Plan", "TableReport", "carry_out", "make_plan"]

TABLES = ("subscriber", "location", "domain", "dbaliases", "address", "uacreg")
# Rows shown for each reason.
_EXAMPLES = 5
# Addresses-of-record written in one transaction.
_CHUNK = 1_000

_Item = TypeVar("_Item")


@dataclass(slots=True)
class TableReport:
    """The outcome of one table's rows."""

    table: str
    present: bool = True
    rows: int = 0
    taken: int = 0
    same: int = 0
    # Reason -> how many rows, and the first of them.
    left: dict[str, tuple[int, list[str]]] = field(default_factory=dict)
    # The destination of the rows that are taken.
    goes_to: str = "the store"

    def leave(self, reason: str, name: str) -> None:
        count, names = self.left.get(reason, (0, []))
        self.left[reason] = (count + 1, names if len(names) >= _EXAMPLES else [*names, name])


@dataclass(slots=True)
class Plan:
    """Users and bindings to write, lines of configuration to copy, and the report."""

    users: list[User] = field(default_factory=list)
    updates: list[LocationUpdate] = field(default_factory=list)
    config: str = ""
    tables: list[TableReport] = field(default_factory=list)


def make_plan(
    source: Source, store: Store, now: float, *, tables: Iterable[str] = TABLES, domain: str | None = None
) -> Plan:
    """Plan the import of ``tables``; ``domain`` stands where Kamailio stored none."""
    plan = Plan()
    wanted = set(tables)
    snippets: list[str] = []
    for table in TABLES:
        if table not in wanted:
            continue
        report = TableReport(table, table in source.tables)
        plan.tables.append(report)
        rows = source.rows(table)
        if table == "subscriber":
            known = {(user.username, user.realm): dict(user.keys) for user in store.users()}
            for users in _converted(report, rows, lambda row: users_of(row, domain), "username"):
                new = [user for user in users if known.get((user.username, user.realm)) != dict(user.keys)]
                plan.users += new
                _count(report, bool(new))
        elif table == "location":
            _plan_bindings(plan, report, rows, store, now, domain)
        elif table == "dbaliases":
            for row in rows:
                report.rows += 1
                name = f"{row.get('alias_username')}@{row.get('alias_domain')} -> {row.get('username')}"
                report.leave("write them into [[aliases.names]] of the configuration", name)
        else:
            report.goes_to = "the configuration"
            snippets += _snippets(report, rows, table)
    plan.config = "\n\n".join(snippets)
    return plan


def _snippets(report: TableReport, rows: Iterator[Row], table: str) -> list[str]:
    convert = {"domain": domain_of, "address": trusted_of, "uacreg": upstream_of}[table]
    name = {"domain": "domain", "address": "ip_addr", "uacreg": "l_uuid"}[table]
    found = list(dict.fromkeys(_converted(report, rows, convert, name)))
    report.taken = len(found)
    report.same = report.rows - report.taken - sum(count for count, _ in report.left.values())
    if table == "domain" and found:
        return [f"domains = [{', '.join(f'{chr(34)}{one}{chr(34)}' for one in found)}]"]
    return found


def _plan_bindings(
    plan: Plan, report: TableReport, rows: Iterator[Row], store: Store, now: float, domain: str | None
) -> None:
    standing: dict[str, dict[object, Binding]] = {}
    for binding in store.bindings(now, 0.0):
        standing.setdefault(binding.aor, {})[_identity(binding)] = binding
    changed: dict[str, None] = {}
    for binding in _converted(report, rows, lambda row: binding_of(row, domain, now), "contact"):
        held = standing.setdefault(binding.aor, {})
        before = held.get(_identity(binding))
        # A phone that has registered here since then has a newer binding than the source.
        news = before is None or before.refreshed_at < binding.refreshed_at - 0.001
        if news:
            held[_identity(binding)] = binding
            changed[binding.aor] = None
        _count(report, news)
    for aor in changed:
        after = tuple(sorted(standing[aor].values(), key=lambda binding: binding.rank))
        plan.updates.append(LocationUpdate(aor, (), after))


def _identity(binding: Binding) -> object:
    # RFC 5626 4.2: two flows of one phone may have the same contact.
    return binding.contact, binding.instance, binding.reg_id


def _count(report: TableReport, news: bool) -> None:
    if news:
        report.taken += 1
    else:
        report.same += 1


def _converted(
    report: TableReport, rows: Iterator[Row], convert: Callable[[Row], _Item], name: str
) -> Iterator[_Item]:
    for row in rows:
        report.rows += 1
        try:
            yield convert(row)
        except Left as left:
            report.leave(str(left), str(row.get(name)))
        except (ValueError, TypeError) as error:
            report.leave(f"cannot be read: {error}", str(row.get(name)))


def carry_out(plan: Plan, store: Store, progress: Callable[[int], Any]) -> None:
    """Write what is planned; ``progress`` gets the size of each part after it is written."""
    for user in plan.users:
        store.put_user(user)
        progress(1)
    for begin in range(0, len(plan.updates), _CHUNK):
        chunk = plan.updates[begin : begin + _CHUNK]
        store.save(chunk, 0.0)
        progress(len(chunk))
