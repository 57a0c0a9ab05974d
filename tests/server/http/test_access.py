"""Tokens: nothing of one is used before its signature, algorithm, audience and expiry are checked."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sansip_server.cli import sansip
from sansip_server.config.http import HttpSettings
from sansip_server.faults import OperatorError
from sansip_server.http.access import Access, Keys, demand
from sansip_sockets.http import HttpFault, HttpRequest


def made(path: Path, *options: str) -> str:
    """Return a token of ``sansip token``."""
    result = CliRunner().invoke(sansip, ["token", "ops", "--keys", str(path), *options])
    assert result.exit_code == 0, result.output
    return result.output.strip()


def access(path: Path | None, **settings: Any) -> Access:
    return Access(HttpSettings(**settings), ["biloxi.test"], None if path is None else Keys(path))


def asking(token: str | None = None, **headers: str) -> HttpRequest:
    fields = {"host": "biloxi.test", **headers}
    if token is not None:
        fields["authorization"] = f"Bearer {token}"
    return HttpRequest("POST", "/rpc", list(fields.items()))


@pytest.mark.parametrize("role", ["read", "operate"])
def test_a_token_has_its_role(tmp_path: Path, role: str) -> None:
    """Made by ``sansip token``, with a key file that its owner alone reads."""
    keys = tmp_path / "keys.json"
    token = made(keys, "--role", role)
    assert keys.stat().st_mode & 0o777 == 0o600
    assert access(keys).role(asking(token)) == role
    # A second token is of the same key.
    assert access(keys).role(asking(made(keys))) == "read"


def forged(keys: Path) -> dict[str, str]:
    """Return tokens that prove nothing, by their fault."""
    (entry,) = json.loads(keys.read_text())["keys"]
    own = jwt.PyJWK(entry, "EdDSA")
    claims: dict[str, Any] = {"aud": "sansip", "role": "operate", "exp": int(time.time()) + 60}
    head = {"kid": entry["kid"]}

    def signed(claims: dict[str, Any], head: dict[str, Any] = head, key: Any = own) -> str:
        return jwt.encode(claims, key, algorithm="EdDSA", headers=head)

    def octets(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    # RFC 8725 2.1: the public key as the secret of a keyed hash.
    text = f"{octets({'alg': 'HS256', 'kid': entry['kid']})}.{octets(claims)}"
    secret = base64.urlsafe_b64decode(entry["x"] + "==")
    digest = hmac.digest(secret, text.encode(), hashlib.sha256)
    mac = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    good = signed(claims)
    return {
        "unsigned": f"{octets({'alg': 'none', 'kid': entry['kid']})}.{octets(claims)}.",
        "public key as secret": f"{text}.{mac}",
        "another key": signed(claims, key=Ed25519PrivateKey.generate()),
        "unknown kid": signed(claims, {"kid": "other"}),
        "no kid": signed(claims, {}),
        "kid of another type": f"{octets({'alg': 'EdDSA', 'kid': [1]})}.{good.partition('.')[2]}",
        "expired": signed({**claims, "exp": int(time.time()) - 60}),
        "no expiry": signed({"aud": "sansip", "role": "operate"}),
        "another audience": signed({**claims, "aud": "elsewhere"}),
        "no audience": signed({"role": "operate", "exp": claims["exp"]}),
        "not yet": signed({**claims, "nbf": int(time.time()) + 600}),
        "changed": good[:-4] + ("AAAA" if good[-4:] != "AAAA" else "BBBB"),
        "nested": f"{octets({'alg': 'EdDSA', 'kid': entry['kid']})}.{'[' * 2_000}.x",
        "too long": "a" * 5_000,
        "empty": "",
    }


@pytest.mark.parametrize(
    "fault",
    ["unsigned", "public key as secret", "another key", "unknown kid", "no kid", "kid of another type",
     "expired", "no expiry", "another audience", "no audience", "not yet", "changed", "nested", "too long",
     "empty"],
)  # fmt: skip
def test_forged(tmp_path: Path, fault: str) -> None:
    """401, and WWW-Authenticate says invalid_token (RFC 6750 3.1)."""
    keys = tmp_path / "keys.json"
    made(keys)
    with pytest.raises(HttpFault) as caught:
        access(keys).role(asking(forged(keys)[fault]))
    assert caught.value.status == 401
    assert 'error="invalid_token"' in caught.value.headers[0][1]


def test_an_issuer_that_is_asked_for(tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    asked = access(keys_made(keys), issuer="https://id.test")
    assert asked.role(asking(made(keys, "--issuer", "https://id.test"))) == "read"
    with pytest.raises(HttpFault):
        asked.role(asking(made(keys)))


def keys_made(path: Path) -> Path:
    made(path)
    return path


def test_a_key_taken_out_ends_its_tokens(tmp_path: Path) -> None:
    """The server reads a changed file again; a broken file changes nothing."""
    keys = tmp_path / "keys.json"
    token = made(keys)
    judge = access(keys)
    assert judge.role(asking(token)) == "read"
    keys.write_text("nonsense")
    assert judge.role(asking(token)) == "read"
    keys.unlink()
    assert judge.role(asking(token)) == "read"
    other = made(keys)
    assert judge.role(asking(other)) == "read"
    with pytest.raises(HttpFault):
        judge.role(asking(token))


def test_an_unknown_role_is_none(tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    made(keys)
    (entry,) = json.loads(keys.read_text())["keys"]
    claims = {"aud": "sansip", "role": ["operate"], "exp": int(time.time()) + 60}
    token = jwt.encode(claims, jwt.PyJWK(entry, "EdDSA"), algorithm="EdDSA", headers={"kid": entry["kid"]})
    assert access(keys).role(asking(token)) == ""


def test_roles() -> None:
    """RFC 6750 3: without a token there is no error code; 403 where a role is not enough."""
    demand("operate", "operate")
    demand("read", "read")
    for role, wanted, status in (("", "read", 401), ("read", "operate", 403)):
        with pytest.raises(HttpFault) as caught:
            demand(role, wanted)
        assert caught.value.status == status


def test_without_keys_this_machine_may_read() -> None:
    assert access(None).role(asking()) == "read"


@pytest.mark.parametrize(
    "host", ["biloxi.test", "BILOXI.test:8080", "localhost:80", "127.0.0.1", "[::1]:8080"]
)
def test_hosts_of_ours(host: str) -> None:
    access(None).admit(asking(host=host))


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        # DNS rebinding: a name of somebody else's that leads here.
        ({"host": "evil.test"}, 421),
        ({"host": "biloxi.test.evil.test"}, 421),
        ({"origin": "https://evil.test"}, 403),
        ({"origin": "null"}, 403),
    ],
)
def test_pages_of_others(headers: dict[str, str], status: int) -> None:
    with pytest.raises(HttpFault) as caught:
        access(None, origins=["https://admin.test"]).admit(asking(**headers))
    assert caught.value.status == status


@pytest.mark.parametrize("origin", ["https://admin.test", "http://biloxi.test"])
def test_pages_of_ours(origin: str) -> None:
    access(None, origins=["https://admin.test"]).admit(asking(origin=origin))


@pytest.mark.parametrize(
    "content",
    ["", "[]", '{"keys": [{"kty": "OKP"}]}', '{"keys": [{"kid": "a", "alg": "none", "kty": "oct", "k": ""}]}',
     '{"keys": [{"kid": "a", "alg": "HS256", "kty": "oct", "k": "c2hvcnQ"}]}'],
)  # fmt: skip
def test_keys_that_cannot_be_used(tmp_path: Path, content: str) -> None:
    """The server does not start, and says what a file must hold."""
    path = tmp_path / "keys.json"
    path.write_text(content)
    with pytest.raises(OperatorError, match="expected a JWK set"):
        Keys(path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="`sansip token NAME --keys"):
        Keys(tmp_path / "none.json")
