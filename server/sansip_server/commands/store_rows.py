"""``sansip store list|export|import|migrate``: the rows that modules keep.

Theory of operation: a store describes its tables itself, so these commands can list and copy them without
the modules. Only a module knows what its older rows mean; ``migrate`` asks the installed modules, before
the operator restarts the server. A server has rows in memory, so these commands write nothing into the
store of a running server.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from sansip_server.commands.stored import opened
from sansip_server.faults import OperatorError, os_reason

if TYPE_CHECKING:
    from sansip.rows import Table
    from sansip_server.rows import RowStore

__all__ = ["COMMANDS", "opened_rows"]

ROWS = click.option(
    "--store",
    "path",
    metavar="FILE|URL",
    default="sansip.db",
    show_default=True,
    help="The server's store, or the Redis that the key `rows` names.",
)
PREFIX = click.option(
    "--prefix", default="sansip", show_default=True, help="In Redis: what every key begins with."
)
REDIS = ("redis://", "rediss://", "redis+", "rediss+")


@contextmanager
def opened_rows(path: str, prefix: str, *, made: bool = False, alone: bool = False) -> Iterator[RowStore]:
    """Open the rows in the store at ``path``.

    ``alone``: refuse if a server runs on it, as far as a command can know.
    """
    from sansip_server.rows import open_rows
    from sansip_server.stores.lock import holder
    from sansip_server.targets import is_url

    if path.startswith(REDIS):
        with _redis(path, prefix) as rows:
            yield rows
        return
    if alone and not is_url(path) and (who := holder(Path(path))) is not None:
        raise OperatorError(
            f"store {path} is in use by {who}, whose modules have rows in memory: stop it first"
        )
    with opened(path, made=made) as store:
        yield open_rows(store)


@contextmanager
def _redis(path: str, prefix: str) -> Iterator[RowStore]:
    from sansip_server.config.redis import RedisSettings, parse_redis
    from sansip_server.rows import open_rows

    try:
        rows = open_rows(None, parse_redis(path), RedisSettings(prefix=prefix))
    except ValueError as error:
        raise OperatorError(f"--store: {error}") from None
    try:
        yield rows
    except Exception as error:
        if not type(error).__module__.startswith("redis"):
            raise
        raise OperatorError(
            f"{rows.name}: {str(error).splitlines()[0]}; is Redis up, and may it write?"
        ) from None
    finally:
        rows.close()


def known_tables() -> dict[str, Table[Any]]:
    """Return the tables of the installed modules, by name."""
    from sansip_server.modules import loaded

    return {table.name: table for kind in loaded() for table in kind.tables}


@click.command(name="list")
@ROWS
@PREFIX
@click.option("--json", "as_json", is_flag=True, help="One JSON object a table.")
def list_tables(path: str, prefix: str, as_json: bool) -> None:
    """List the tables of modules: version, rows, columns."""
    with opened_rows(path, prefix) as rows:
        for table in rows.tables():
            columns = [f"{one.name} {one.kind}{'?' if one.optional else ''}" for one in table.columns]
            count = rows.count(table)
            if as_json:
                given = {"table": table.name, "version": table.version, "rows": count, "key": list(table.key)}
                click.echo(json.dumps({**given, "columns": columns}))
            else:
                key = ", ".join(table.key)
                click.echo(
                    f"{table.name}: version {table.version}, {count} rows, by {key}: {', '.join(columns)}"
                )


@click.command()
@click.argument("tables", metavar="[TABLE]...", nargs=-1)
@click.option(
    "--to",
    "file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="A new file.  [default: standard output]",
)
@ROWS
@PREFIX
def export(tables: tuple[str, ...], file: Path | None, path: str, prefix: str) -> None:
    """Write tables of modules as lines of JSON; all of them where none is named.

    The server may run; what it changes meanwhile is there or is not, row by row.
    """
    from sansip_server.rows.exchange import written

    with opened_rows(path, prefix) as rows:
        there = {table.name: table for table in rows.tables()}
        for name in tables:
            if name not in there:
                raise OperatorError(f"{rows.name} has no table {name}; it has {', '.join(there) or 'none'}")
        lines = written(rows, [there[name] for name in tables or there])
        if file is None:
            for line in lines:
                click.echo(line)
            return
        _write(file, lines)


def _write(file: Path, lines: Iterator[str]) -> None:
    """Write ``lines`` to the new ``file``, which gets its name when it is whole."""
    from sansip_server.disk import sync_folder

    if file.exists():
        raise OperatorError(f"{file} exists; name a new file, or remove it")
    partial = file.with_name(f"{file.name}.part")
    try:
        # Rows may hold what people wrote to each other: only the file's owner may read them.
        with open(
            os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8"
        ) as out:
            out.writelines(f"{line}\n" for line in lines)
            out.flush()
            os.fsync(out.fileno())
        partial.rename(file)
        sync_folder(file)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise OperatorError(f"{file}: {os_reason(error)}") from None


@click.command(name="import")
@click.argument("file", type=click.File("r", encoding="utf-8"))
@ROWS
@PREFIX
def import_rows(file: IO[str], path: str, prefix: str) -> None:
    """Put the rows of FILE (- for standard input), as `export` wrote it, into a store.

    Rows of the same key are replaced, others stay. Each table is taken whole or not at all; rows of an
    older version are migrated where their module is installed. Not while a server runs on the store.
    """
    from sansip_server.rows.exchange import put, read_lines

    try:
        given = read_lines(file, file.name)
    except UnicodeDecodeError as error:
        raise OperatorError(f"{file.name}: {error}") from None
    known = known_tables()
    with opened_rows(path, prefix, made=True, alone=True) as rows:
        for one in given:
            click.echo(f"{one.table.name}: {put(rows, one, known)} rows")


@click.command()
@ROWS
@PREFIX
def migrate(path: str, prefix: str) -> None:
    """Bring the tables of modules up to the versions of the modules that are installed.

    A start does the same; here it can be seen to succeed before. A migration that fails changes nothing.
    Exit status 1 where a table is newer than its module: this program would not start on it.
    """
    known, newer = known_tables(), False
    with opened_rows(path, prefix, alone=True) as rows:
        for table in rows.tables():
            module = known.get(table.name)
            if module is None:
                click.echo(f"{table.name}: version {table.version}; no module that is installed has it")
            elif module.version < table.version:
                newer = True
                click.echo(
                    f"{table.name}: version {table.version} is newer than the module's, {module.version}"
                )
            elif module.version == table.version:
                click.echo(f"{table.name}: version {table.version}, as the module has it")
            else:
                rows.prepare([module])
                count = rows.count(module)
                click.echo(f"{table.name}: version {table.version} -> {module.version}, {count} rows")
    raise SystemExit(1 if newer else 0)


COMMANDS = (list_tables, export, import_rows, migrate)
