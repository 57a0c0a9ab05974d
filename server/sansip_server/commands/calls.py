"""``sansip ctl calls`` and ``sansip ctl hangup``: the server's own calls, and an end to one."""

from __future__ import annotations

import json
from typing import Any

import click

from sansip_server.commands.asking import Server
from sansip_server.commands.ctl import AS_JSON, ask, plain, table

__all__ = ["calls", "hangup"]


@click.command()
@AS_JSON
@click.pass_obj
def calls(server: Server, as_json: bool) -> None:
    """Which calls does the server relay, answer, make or bridge?

    Those that it relays have no number: `[calls]` has commands on them. With --json one object per line.
    """
    *items, _ = ask(server, command="calls")
    if as_json:
        for one in items:
            click.echo(json.dumps(one))
        return
    rows: list[tuple[str, ...]] = [("NUMBER", "WITH", "STATE", "SECONDS", "SIDE", "PARTY")]
    rows += [_row(one) for one in items]
    table(rows)


@click.command()
@click.argument("number", type=int)
@click.option(
    "--reason", metavar="TEXT", help="What the phones are told, like 'Q.850;cause=16;text=\"bye\"'."
)
@AS_JSON
@click.pass_obj
def hangup(server: Server, number: int, reason: str | None, as_json: bool) -> None:
    """Hang up the call NUMBER (`sansip ctl calls`), and the other side of a bridge."""
    given = {} if reason is None else {"reason": reason}
    *_, result = ask(server, command="hangup", number=number, **given)
    click.echo(json.dumps(result) if as_json else f"hung up {result['number']}")


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    return (
        "" if one["number"] is None else str(one["number"]),
        "" if one["with"] is None else str(one["with"]),
        one["state"],
        "" if one["seconds"] is None else f"{one['seconds']:g}",
        one["side"],
        plain(one["party"]),
    )
