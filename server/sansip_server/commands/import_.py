"""``sansip import``: takes users and registrations of another server over into the store.

Theory of operation: the import is planned as a whole, then reported, then (without ``--dry-run``)
written. A second run of the same import finds everything there and writes nothing.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sansip_server.commands.stored import STORE, opened
from sansip_server.faults import OperatorError

if TYPE_CHECKING:
    from sansip_server.migration.plan import Plan

__all__ = ["import_"]

# The default is here, not in ``plan``, so that `--help` imports nothing.
_TABLES = ("subscriber", "location", "domain", "dbaliases", "address", "uacreg")


@click.group(name="import")
def import_() -> None:
    """Take over what another server keeps."""


@import_.command()
@click.option("--db", "url", metavar="URL", required=True, help="Kamailio's DBURL, or an SQLite file.")
@STORE
@click.option("--dry-run", is_flag=True, help="Report, and write nothing.")
@click.option(
    "--only",
    type=click.Choice(_TABLES),
    multiple=True,
    help="Only this table; may be repeated.  [default: all]",
)
@click.option("--domain", metavar="NAME", help="The domain of rows without one (use_domain = 0).")
@click.option("--json", "as_json", is_flag=True, help="The report as one JSON object.")
def kamailio(
    url: str, path: str, dry_run: bool, only: tuple[str, ...], domain: str | None, as_json: bool
) -> None:
    """Take users and registrations from a Kamailio database.

    Tables subscriber and location go into the store; domain, address and uacreg become lines
    for the configuration, which are printed. Registrations go into a store that no server
    uses, for that one would write its own over them; users go in beside a running one.
    """
    from sansip_server.migration.plan import carry_out, make_plan
    from sansip_server.migration.source import Source

    source = Source(url)
    try:
        with opened(path, made=True) as store:
            plan = make_plan(source, store, time.time(), tables=only or _TABLES, domain=domain)
            if not dry_run:
                if plan.updates:
                    _refuse_in_use(path)
                total = len(plan.users) + len(plan.updates)
                with click.progressbar(length=total, label="writing", file=sys.stderr) as bar:
                    carry_out(plan, store, bar.update)
            name = store.name
    finally:
        source.close()
    if as_json:
        click.echo(json.dumps(_report(plan, name, dry_run=dry_run)))
    else:
        _show(plan, name, dry_run=dry_run)


def _refuse_in_use(path: str) -> None:
    """Raise OperatorError if a server holds in memory the rows that this would write."""
    from sansip_server.stores import holder
    from sansip_server.targets import is_url

    who = None if is_url(path) else holder(Path(path))
    if who is not None:
        raise OperatorError(
            f"store {path} is in use by {who}, which would write its own registrations over these;"
            " stop it first, or take the users alone: --only subscriber"
        )


def _report(plan: Plan, store: str, *, dry_run: bool) -> dict[str, Any]:
    return {
        "store": store,
        "written": not dry_run,
        "tables": [
            {
                "table": one.table,
                "present": one.present,
                "rows": one.rows,
                "taken": one.taken,
                "same": one.same,
                "goes_to": one.goes_to,
                "left": [
                    {"reason": reason, "rows": count, "examples": names}
                    for reason, (count, names) in one.left.items()
                ],
            }
            for one in plan.tables
        ],
        "config": plan.config,
    }


def _show(plan: Plan, store: str, *, dry_run: bool) -> None:
    click.echo(f"{'TABLE':<12}{'ROWS':>8}{'TAKEN':>8}{'SAME':>8}{'LEFT':>8}  INTO")
    for one in plan.tables:
        if not one.present:
            click.echo(f"{one.table:<12}{'-':>8}{'-':>8}{'-':>8}{'-':>8}  there is no such table")
            continue
        left = sum(count for count, _ in one.left.values())
        goes_to = store if one.goes_to == "the store" else one.goes_to
        click.echo(f"{one.table:<12}{one.rows:>8}{one.taken:>8}{one.same:>8}{left:>8}  {goes_to}")
    for one in plan.tables:
        for reason, (count, names) in one.left.items():
            more = ", …" if count > len(names) else ""
            click.echo(f"left {count} of {one.table}: {reason} ({', '.join(map(_plain, names))}{more})")
    if plan.config:
        click.echo(f"\nfor the configuration:\n\n{plan.config}")
    if dry_run:
        click.echo("\nnothing was written (--dry-run)")


def _plain(text: str) -> str:
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
