"""``sansip ctl bans``: the sources that the server ignores, until when, and how to lift a ban."""

from __future__ import annotations

import json

import click

from sansip_server.commands.asking import Server
from sansip_server.commands.ctl import AS_JSON, ask, plain, table
from sansip_server.faults import OperatorError
from sansip_server.moments import moment

__all__ = ["bans"]


@click.command()
@click.argument("address", required=False)
@click.option("--user", metavar="NAME", help="Only bans for this user name.")
@click.option("--lift", is_flag=True, help="Listen to ADDRESS again, and count anew.")
@AS_JSON
@click.pass_obj
def bans(server: Server, address: str | None, user: str | None, lift: bool, as_json: bool) -> None:
    """Who is not listened to: all, or ADDRESS.

    An address is barred after too many wrong passwords: for one user, or for all ("*").
    With --json one object per line. Exit status 1 when ADDRESS has no ban.
    """
    if lift and address is None:
        raise OperatorError("whose ban is to be lifted? sansip ctl bans ADDRESS --lift")
    question = {"command": "lift" if lift else "bans", "source": address, "user": user}
    rows: list[tuple[str, ...]] = [("SOURCE", "USER", "UNTIL", "REASON")]
    count = 0
    for part in ask(server, **question):
        if "source" not in part:
            count = part.get("bans", part.get("lifted", 0))
        elif as_json:
            click.echo(json.dumps(part))
        else:
            who = "*" if part["user"] is None else plain(part["user"])
            rows.append((part["source"], who, moment(part["until"]), part["reason"]))
    if not as_json:
        if lift:
            click.echo(f"lifted {count} of {address}")
        else:
            table(rows)
    raise SystemExit(1 if address is not None and not count else 0)
