"""``sansip ha1``: the form in which a digest user database stores a password.

Theory of operation: HA1 is H(user:realm:password), HA1B is the same with
user@realm for phones that send their whole address as user name. The password comes from a prompt
or from standard input: all users of the machine can read a command line.
"""

from __future__ import annotations

import json
import sys

import click

__all__ = ["PASSWORD", "ha1", "read_password"]

PASSWORD = click.option(
    "--password", metavar="TEXT", help="Shows up in the process list; better the prompt or standard input."
)


def read_password(given: str | None, *, confirm: bool) -> str:
    """Return the password of an option, a prompt, or the first line of standard input."""
    if given is not None:
        return given
    if sys.stdin.isatty():
        password: str = click.prompt("Password", hide_input=True, confirmation_prompt=confirm)
        return password
    return sys.stdin.readline().rstrip("\r\n")


@click.command()
@click.argument("user")
@click.argument("realm")
@click.option("--algorithm", default="MD5", show_default=True, help="MD5, SHA-256 or SHA-512-256.")
@click.option("--with-domain", is_flag=True, help="Print HA1B, too: the key of user@realm as the user name.")
@PASSWORD
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def ha1(
    user: str, realm: str, algorithm: str, with_domain: bool, password: str | None, as_json: bool
) -> None:
    """Print the HA1 of USER in REALM, for the password asked for."""
    from sansip.auth import ha1 as compute
    from sansip_server.faults import OperatorError

    secret = read_password(password, confirm=False)
    try:
        keys = {"HA1": compute(user, realm, secret, algorithm)}
        if with_domain:
            keys["HA1B"] = compute(f"{user}@{realm}", realm, secret, algorithm)
    except ValueError as error:
        raise OperatorError(str(error)) from None
    if as_json:
        click.echo(json.dumps({"algorithm": algorithm.upper(), **keys}))
        return
    for name, key in keys.items():
        click.echo(f"{name}: {key}" if with_domain else key)
