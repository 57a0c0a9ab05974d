"""``sansip user``: who may register, in the store that the server reads.

Theory of operation: the commands write the same file as a running server; it
sees the change at the next request. A password is turned into one key for each
algorithm at once (RFC 7616 3.4.2) and then forgotten.
"""

from __future__ import annotations

import csv
import json
import sys
from typing import IO, TYPE_CHECKING

import click

from sansip_server.commands.ha1 import read_password
from sansip_server.commands.stored import STORE, opened
from sansip_server.faults import OperatorError

if TYPE_CHECKING:
    from sansip_server.stores import User

__all__ = ["user"]


def split(address: str) -> tuple[str, str]:
    """Return user name and realm of ``user@domain``."""
    name, at, realm = address.removeprefix("sip:").rpartition("@")
    if not at or not name or not realm:
        raise OperatorError(f"{address!r} is not user@domain")
    return name, realm.lower()


def keys_of(name: str, realm: str, password: str) -> User:
    """Return the user with a key for each algorithm."""
    from sansip.auth import HASHES, ha1
    from sansip_server.stores import User

    if not password:
        raise OperatorError("an empty password would let everybody in; give one")
    return User(name, realm, {algorithm: ha1(name, realm, password, algorithm) for algorithm in HASHES})


@click.group()
def user() -> None:
    """Add, change, remove and list the users of a store."""


@user.command()
@click.argument("address", metavar="USER@DOMAIN")
@STORE
@click.option(
    "--password", metavar="TEXT", help="Shows up in the process list; better the prompt or standard input."
)
def add(address: str, path: str, password: str | None) -> None:
    """Add a user; the password is asked for, or read from standard input."""
    name, realm = split(address)
    with opened(path) as store:
        if any(one.username == name for one in store.users(realm)):
            raise OperatorError(f"{address} exists; `sansip user passwd {address}` changes the password")
        store.put_user(keys_of(name, realm, read_password(password, confirm=True)))
    click.echo(f"added {name}@{realm}")


@user.command()
@click.argument("address", metavar="USER@DOMAIN")
@STORE
@click.option(
    "--password", metavar="TEXT", help="Shows up in the process list; better the prompt or standard input."
)
def passwd(address: str, path: str, password: str | None) -> None:
    """Change a user's password."""
    name, realm = split(address)
    with opened(path) as store:
        if not any(one.username == name for one in store.users(realm)):
            raise OperatorError(f"there is no {address}; `sansip user add {address}` adds one")
        store.put_user(keys_of(name, realm, read_password(password, confirm=True)))
    click.echo(f"changed {name}@{realm}")


@user.command()
@click.argument("address", metavar="USER@DOMAIN")
@STORE
def remove(address: str, path: str) -> None:
    """Remove a user; what is registered stays until it expires."""
    name, realm = split(address)
    with opened(path) as store:
        if not store.remove_user(name, realm):
            raise OperatorError(f"there is no {address}; `sansip user list` shows who there is")
    click.echo(f"removed {name}@{realm}")


@user.command(name="list")
@click.argument("domain", required=False)
@STORE
@click.option("--json", "as_json", is_flag=True, help="A JSON array.")
def list_(domain: str | None, path: str, as_json: bool) -> None:
    """List the users, of one DOMAIN or of all."""
    with opened(path) as store:
        found = list(store.users(domain))
    if as_json:
        click.echo(
            json.dumps([{"user": u.username, "domain": u.realm, "algorithms": list(u.keys)} for u in found])
        )
        return
    for one in found:
        click.echo(f"{one.username}@{one.realm}  {', '.join(one.keys)}")


@user.command(name="import")
@click.argument("file", type=click.File(encoding="utf-8"), default="-")
@STORE
def import_(file: IO[str], path: str) -> None:
    """Add or replace users from CSV lines `user@domain,password`; `-` is standard input."""
    users = []
    for number, row in enumerate(csv.reader(file), 1):
        if not row or row[0].startswith("#"):
            continue
        if len(row) != 2:
            raise OperatorError(
                f"line {number}: expected user@domain,password, got {len(row)} columns; nothing was added"
            )
        name, realm = split(row[0].strip())
        users.append(keys_of(name, realm, row[1]))
    with opened(path) as store:
        progress = click.progressbar(users, label="users", file=sys.stderr)
        with progress as bar:
            new = sum(store.put_user(one) for one in bar)
    click.echo(f"added {new}, replaced {len(users) - new}")
