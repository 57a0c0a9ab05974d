"""``sansip store``: shows and checks a store, and copies it while the server runs; rows: ``store_rows``."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import click

from sansip_server.commands.store_rows import COMMANDS
from sansip_server.commands.stored import STORE, opened
from sansip_server.disk import sync_folder
from sansip_server.faults import OperatorError

__all__ = ["store"]


@click.group()
def store() -> None:
    """Check a store, copy it while the server runs, and the rows of modules in it."""


for command in COMMANDS:
    store.add_command(command)


@store.command()
@STORE
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def check(path: str, as_json: bool) -> None:
    """Read everything in a store and say what is in it.

    An older store is brought up to this version. Exit status 1 where a file is damaged.
    """
    from sansip_server.rows import open_rows
    from sansip_server.rows.exchange import pages
    from sansip_server.stores import VERSION, SqliteStore
    from sansip_server.stores.clocks import boot_id

    damage: list[str] = []
    with opened(path) as opened_store:
        users = sum(1 for _ in opened_store.users())
        now = time.time()
        live = sum(1 for _ in opened_store.bindings(now, now - time.monotonic(), boot_id()))
        every = opened_store.count()
        rows = open_rows(opened_store)
        tables = {}
        for table in rows.tables():
            try:
                tables[table.name] = sum(1 for _ in pages(rows, table))
            except (ValueError, TypeError, KeyError) as error:
                damage.append(f"table {table.name}: a row cannot be read ({error})")
        if isinstance(opened_store, SqliteStore):
            damage += opened_store.damage()
        name = opened_store.name
    if as_json:
        click.echo(
            json.dumps(
                {
                    "name": name,
                    "version": VERSION,
                    "users": users,
                    "bindings": live,
                    "expired": every - live,
                    "tables": tables,
                    "damage": damage,
                }
            )
        )
    else:
        click.echo(f"{name}: version {VERSION}, {users} users, {live} registrations, {every - live} expired")
        for table_name, count in tables.items():
            click.echo(f"table {table_name}: {count} rows")
        for line in damage:
            click.echo(f"damaged: {line}", err=True)
    raise SystemExit(1 if damage else 0)


@store.command()
@click.argument("file", type=click.Path(path_type=Path))
@STORE
def backup(file: Path, path: str) -> None:
    """Copy an SQLite store to FILE, as one consistent state, while the server runs."""
    from sansip_server.targets import is_url

    if is_url(path):
        raise OperatorError(f"a database server has its own: pg_dump --format=custom --file={file} …")
    if not Path(path).is_file():
        raise OperatorError(f"there is no store {path}; --store names it")
    if file.exists():
        raise OperatorError(f"{file} exists; name a new file, or remove it")
    # Under another name until it is whole: a file with the final name is always a whole backup.
    partial = file.with_name(f"{file.name}.part")
    try:
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(partial)) as target:
            source.backup(target)
            # One file, without a log beside it.
            target.execute("PRAGMA journal_mode = DELETE")
        partial.chmod(0o600)
        partial.rename(file)
        sync_folder(file)
    except (sqlite3.Error, OSError) as error:
        partial.unlink(missing_ok=True)
        raise OperatorError(f"backup of {path} to {file}: {error}") from None
    click.echo(f"{file}: {file.stat().st_size:,} octets")
