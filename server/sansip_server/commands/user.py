"""``sansip user``: the users that may register, in the store that the server reads.

Theory of operation: the commands write the same store as a running server; it
sees the change within a second. A command turns a password into one key for each algorithm at
once (RFC 7616 3.4.2) and then forgets it.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from sansip_server.commands.ha1 import PASSWORD, read_password
from sansip_server.commands.stored import STORE, opened
from sansip_server.faults import OperatorError

if TYPE_CHECKING:
    from sansip_server.stores import Store, User

__all__ = ["user"]

ADDRESS = click.argument("address", metavar="USER@DOMAIN")
REALM = click.option(
    "--realm", metavar="TEXT", help="Where the realm is not called like the domain (digest.realms)."
)
GENERATE = click.option("--generate", is_flag=True, help="Make up a password and print it.")
WITH_DOMAIN = click.option(
    "--with-domain", is_flag=True, help="Also for phones that give user@domain as their user name (HA1B)."
)


def _find(store: Store, name: str, realm: str) -> User | None:
    return next((one for one in store.users(realm) if one.username == name), None)


def _rows(store: Store, address: str, realm: str | None) -> list[User]:
    """Return the user's one or two rows; raise OperatorError if there is none."""
    from sansip_server.users import split

    name, where = split(address, realm)
    # HA1B holds the domain as the address writes it.
    wanted = (name, f"{name}@{split(address)[1]}")
    rows = [one for one in store.users(where) if one.username in wanted]
    if not rows:
        raise OperatorError(f"there is no {address}; `sansip user list` shows who there is")
    return rows


def _password(given: str | None, generate: bool) -> str:
    from sansip_server.users import generate_password

    if not generate:
        return read_password(given, confirm=True)
    if given is not None:
        raise OperatorError("--generate and --password contradict each other; give one")
    return generate_password()


@click.group()
def user() -> None:
    """Add, change, remove and list the users of a store."""


@user.command()
@ADDRESS
@STORE
@PASSWORD
@GENERATE
@WITH_DOMAIN
@REALM
def add(
    address: str, path: str, password: str | None, generate: bool, with_domain: bool, realm: str | None
) -> None:
    """Add a user; the password is asked for, or read from standard input."""
    from sansip_server.users import keys_of, split

    name, where = split(address, realm)
    with opened(path, made=True) as store:
        if _find(store, name, where) is not None:
            raise OperatorError(f"{address} exists; `sansip user passwd {address}` changes the password")
        secret = _password(password, generate)
        store.put_user(keys_of(name, where, secret))
        if with_domain:
            store.put_user(keys_of(f"{name}@{split(address)[1]}", where, secret))
    click.echo(f"added {name}@{split(address)[1]}", err=generate)
    if generate:
        click.echo(secret)


@user.command()
@ADDRESS
@STORE
@PASSWORD
@GENERATE
@REALM
def passwd(address: str, path: str, password: str | None, generate: bool, realm: str | None) -> None:
    """Change a user's password; who is disabled stays so."""
    from sansip_server.users import is_disabled, keys_of, with_state

    with opened(path) as store:
        rows = _rows(store, address, realm)
        secret = _password(password, generate)
        for row in rows:
            store.put_user(with_state(keys_of(row.username, row.realm, secret), is_disabled(row)))
    click.echo(f"changed {address}", err=generate)
    if generate:
        click.echo(secret)


@user.command()
@ADDRESS
@STORE
@REALM
def remove(address: str, path: str, realm: str | None) -> None:
    """Remove a user; what is registered stays until it expires."""
    with opened(path) as store:
        for row in _rows(store, address, realm):
            store.remove_user(row.username, row.realm)
    click.echo(f"removed {address}")


@user.command()
@ADDRESS
@STORE
@REALM
def disable(address: str, path: str, realm: str | None) -> None:
    """Refuse a user's password until `enable`; what is registered stays until it expires."""
    _switch(address, path, realm, True)


@user.command()
@ADDRESS
@STORE
@REALM
def enable(address: str, path: str, realm: str | None) -> None:
    """Take a user's password again."""
    _switch(address, path, realm, False)


def _switch(address: str, path: str, realm: str | None, disabled: bool) -> None:
    from sansip_server.users import with_state

    with opened(path) as store:
        for row in _rows(store, address, realm):
            store.put_user(with_state(row, disabled))
    click.echo(f"{'disabled' if disabled else 'enabled'} {address}")


@user.command(name="list")
@click.argument("domain", required=False)
@STORE
@click.option("--json", "as_json", is_flag=True, help="A JSON array.")
def list_(domain: str | None, path: str, as_json: bool) -> None:
    """List the users, of one DOMAIN (or realm) or of all."""
    from sansip_server.users import is_disabled, named

    with opened(path) as store:
        found = list(store.users(domain))
    names = {(one.realm, one.username) for one in found}
    # A second row (HA1B) is not a user of its own.
    second = [(one, named(one, one.realm)) for one in found]
    doubled = {
        (first.realm, first.username)
        for _, first in second
        if first is not None and (first.realm, first.username) in names
    }
    rows = [
        {
            "user": one.username,
            "domain": one.realm,
            "algorithms": list(one.keys),
            "with_domain": (one.realm, one.username) in doubled,
            "disabled": is_disabled(one),
        }
        for one, first in second
        if first is None or (first.realm, first.username) not in names
    ]
    if as_json:
        click.echo(json.dumps(rows))
        return
    if not rows:
        click.echo("no users; `sansip user add USER@DOMAIN` adds one", err=True)
        return
    width = max(len(f"{row['user']}@{row['domain']}") for row in rows)
    for row in rows:
        notes = [word for word in ("disabled", "with_domain") if row[word]]
        algorithms = ", ".join(row["algorithms"])  # type: ignore[arg-type]  # its kind is known here
        address = f"{row['user']}@{row['domain']}"
        line = f"{address:{width}}  {algorithms}"
        click.echo("  ".join([line, *(note.replace("_", " ") for note in notes)]))


@user.command(name="import")
@click.argument("file", type=click.File(encoding="utf-8"), default="-")
@STORE
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "json", "htdigest"]),
    help="What FILE is; told by its beginning otherwise.",
)
def import_(file: IO[str], path: str, form: str | None) -> None:
    """Add or replace users from FILE; `-` is standard input.

    \b
    csv       user@domain,password
    json      [{"user": "alice", "domain": "example.org", "password": "…"}], or "ha1": {"MD5": "…"}
    htdigest  user:realm:HA1
    """
    from sansip_server.users import read_users

    users = read_users(file, form)
    with opened(path, made=True) as store:
        progress = click.progressbar(users, label="users", file=sys.stderr)
        with progress as bar:
            new = sum(store.put_user(one) for one in bar)
    click.echo(f"added {new}, replaced {len(users) - new}")


@user.command()
@click.argument("name", metavar="USER")
@click.option(
    "--secret-file",
    "secrets",
    type=click.Path(path_type=Path),
    required=True,
    help="The server's ephemeral_file; its first secret is used.",
)
@click.option(
    "--ttl", type=click.IntRange(1), default=3600, show_default=True, help="Seconds it is good for."
)
@click.option(
    "--algorithm",
    type=click.Choice(["SHA-1", "SHA-256"]),
    default="SHA-1",
    show_default=True,
    help="Of the HMAC.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object, as TURN's REST API has it.")
def ephemeral(name: str, secrets: Path, ttl: int, algorithm: str, as_json: bool) -> None:
    """Print a user name and password for USER that are good for a while, for a web application."""
    from sansip.auth import Ephemeral
    from sansip_server.config.peers import read_keys

    if not name or "@" in name:
        raise OperatorError(f"{name!r}: the user part of the address alone, without @ and domain")
    expiry = int(time.time()) + ttl
    username, password = Ephemeral(read_keys(secrets, "--secret-file")).make(name, expiry, algorithm)
    if as_json:
        click.echo(json.dumps({"username": username, "password": password, "ttl": ttl}))
    else:
        click.echo(f"{username}\n{password}")
