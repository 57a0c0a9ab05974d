"""``sansip token``: a token for the HTTP interface, and the key that proves it.

Theory of operation: the key is an Ed25519 pair in a JWK set file. The command makes the file if it is
missing; only its owner may read it. The key signs each token. A token names its holder, his role and its end,
and the server keeps no copy: an operator who takes the key out of the file ends all tokens that it signed.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import click

from sansip_server.faults import OperatorError, os_reason

__all__ = ["token"]

_DAY = 86_400


@click.command()
@click.argument("name")
@click.option("--keys", metavar="FILE", required=True, help="The file that http.keys names.")
@click.option("--role", type=click.Choice(["read", "operate"]), default="read", show_default=True)
@click.option("--scope", default="", help="What a phone's token is good for, as bearer.scope says.")
@click.option("--days", type=click.FloatRange(0.01, 3_650), default=30.0, show_default=True)
@click.option("--audience", default="sansip", show_default=True, help="As http.audience says.")
@click.option("--issuer", default="", help="As http.issuer says.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def token(
    name: str, keys: str, role: str, scope: str, days: float, audience: str, issuer: str, as_json: bool
) -> None:
    """Print a token for NAME, to be sent as `Authorization: Bearer TOKEN`."""
    try:
        import jwt
    except ModuleNotFoundError:
        raise OperatorError("tokens need PyJWT; pip install 'sansip[http]'") from None
    entry = _signing_key(Path(keys))
    expires = int(time.time() + days * _DAY)
    claims: dict[str, Any] = {"sub": name, "aud": audience, "role": role, "exp": expires}
    if scope:
        claims["scope"] = scope
    if issuer:
        claims["iss"] = issuer
    text = jwt.encode(claims, jwt.PyJWK(entry, "EdDSA"), algorithm="EdDSA", headers={"kid": entry["kid"]})
    click.echo(json.dumps({"token": text, "role": role, "expires": expires}) if as_json else text)


def _signing_key(path: Path) -> dict[str, Any]:
    """Return the first private key of ``path``; make the file if there is none."""
    try:
        entries = json.loads(path.read_bytes())["keys"]
    except FileNotFoundError:
        entries = [_new_key()]
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise OperatorError(f"{path}: {os_reason(error)}") from None
        with os.fdopen(descriptor, "w") as file:
            json.dump({"keys": entries}, file)
    except OSError as error:
        raise OperatorError(f"{path}: {os_reason(error)}") from None
    except (ValueError, KeyError, TypeError):
        raise OperatorError(f"{path}: expected a JWK set (RFC 7517 5)") from None
    for entry in entries:
        if entry.get("alg") == "EdDSA" and "d" in entry and "kid" in entry:
            found: dict[str, Any] = entry
            return found
    raise OperatorError(f"{path}: there is no EdDSA key with its private part; name another file")


def _new_key() -> dict[str, Any]:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from jwt.algorithms import OKPAlgorithm

    made: dict[str, Any] = OKPAlgorithm.to_jwk(Ed25519PrivateKey.generate(), as_dict=True)
    return {**made, "alg": "EdDSA", "use": "sig", "kid": os.urandom(8).hex()}
