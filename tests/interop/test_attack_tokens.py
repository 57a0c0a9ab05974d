"""Tokens of phones (RFC 8898), live: the genuine token registers and calls, forged tokens prove nothing.

Theory of operation: the installed server with a key file of ``sansip token``; requests go as octets. Each
forgery is one that some library once took (RFC 8725 2).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.interop.conftest import TARGET
from tests.interop.line import Line, Silence
from tests.interop.siege import Siege, request

pytestmark = pytest.mark.skipif(TARGET != "sansip", reason="the keys are sansip's")

DOMAIN = "siege.test"
AUTHORITY = "https://as.siege.test/"
CONFIG = f"""
[bearer]
authz_server = "{AUTHORITY}"
scope = "calls"
keys = "phones.json"
"""
FIELD = f'WWW-Authenticate: Bearer realm="{DOMAIN}", authz_server="{AUTHORITY}", scope="calls"\r\n'
USERS = {f"{name}@{DOMAIN}": "wonderland" for name in ("alice", "bob")}


def made(directory: Path, name: str = f"alice@{DOMAIN}", *options: str) -> str:
    command = [sys.executable, "-m", "sansip_server", "token", name, "--keys", str(directory / "phones.json")]
    command += ["--audience", "sip", "--scope", "calls", *options]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def siege(tmp_path: Path) -> Iterator[Siege]:
    made(tmp_path)
    with Siege(tmp_path, config=CONFIG, users=USERS) as siege:
        yield siege


def ask(
    line: Line, token: str, method: str = "REGISTER", *, user: str = "alice", field: str = "Authorization"
) -> str:
    """Send one request of ``user`` with ``token``; return its final answer."""
    who = f"<sip:{user}@{DOMAIN}>"
    lines = [f"Contact: <sip:{user}@{line.sent_by}>", *([f"{field}: Bearer {token}"] if token else [])]
    uri, to = (f"sip:{DOMAIN}", who) if method == "REGISTER" else (f"sip:bob@{DOMAIN}", None)
    line.send(request(method, uri, line, from_=f"{who};tag=a", to=to, lines=lines))
    while (answer := line.receive().decode()).startswith("SIP/2.0 1"):
        pass
    return answer


def forged(directory: Path) -> dict[str, str]:
    """Return tokens that prove nothing, by their fault."""
    (entry,) = json.loads((directory / "phones.json").read_text())["keys"]
    own = jwt.PyJWK(entry, "EdDSA")
    claims: dict[str, Any] = {
        "sub": f"alice@{DOMAIN}",
        "aud": "sip",
        "scope": "calls",
        "exp": int(time.time()) + 60,
    }
    head = {"kid": entry["kid"]}

    def signed(claims: dict[str, Any], head: dict[str, Any] = head, key: Any = own) -> str:
        return jwt.encode(claims, key, algorithm="EdDSA", headers=head)

    def octets(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    # RFC 8725 2.1: the public key as the secret of a keyed hash.
    text = f"{octets({'alg': 'HS256', 'kid': entry['kid']})}.{octets(claims)}"
    mac = hmac.digest(base64.urlsafe_b64decode(entry["x"] + "=="), text.encode(), hashlib.sha256)
    good = signed(claims)
    return {
        "unsigned": f"{octets({'alg': 'none', 'kid': entry['kid']})}.{octets(claims)}.",
        "public key as secret": f"{text}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}",
        "another key": signed(claims, key=Ed25519PrivateKey.generate()),
        "unknown kid": signed(claims, {"kid": "other"}),
        "kid is a path": signed(claims, {"kid": "../../etc/passwd"}),
        "expired": signed({**claims, "exp": int(time.time()) - 60}),
        "no expiry": signed({key: value for key, value in claims.items() if key != "exp"}),
        "of http": signed({**claims, "aud": "sansip", "role": "operate"}),
        "changed": good[:-6] + ("AAAAAA" if good[-6:] != "AAAAAA" else "BBBBBB"),
        "no address": signed({**claims, "sub": "alice"}),
        "injected": signed({**claims, "sub": f"alice@{DOMAIN}>;x=<sip:bob@{DOMAIN}"}),
        "list": signed({**claims, "sub": f"alice@{DOMAIN}", "aud": ["elsewhere"]}),
        "nested": f"{octets({'alg': 'EdDSA', 'kid': entry['kid']})}.{'A' * 3_000}.x",
    }


def test_a_genuine_one(siege: Siege, tmp_path: Path) -> None:
    """It registers and calls; no server behind this one sees it; the challenge says where to get one."""
    token = made(tmp_path)
    with siege.line("tcp") as phone, siege.line("udp") as callee:
        answer = ask(phone, "")
        assert answer.startswith("SIP/2.0 401 ")
        # RFC 8898 2.1.1, 4: beside the password, with the https URI and the scope.
        assert re.search(r"(?m)^WWW-Authenticate: Digest ", answer)
        assert (
            f'WWW-Authenticate: Bearer realm="{DOMAIN}", authz_server="{AUTHORITY}", scope="calls"\r\n'
            in answer
        )
        assert ask(phone, token).startswith("SIP/2.0 200 ")
        assert ask(callee, made(tmp_path, f"bob@{DOMAIN}"), user="bob").startswith("SIP/2.0 200 ")
        for field in ("Authorization", "Proxy-Authorization"):
            who = f"<sip:alice@{DOMAIN}>;tag=a"
            lines = [f"Contact: <sip:alice@{phone.sent_by}>", f"{field}: Bearer {token}"]
            phone.send(request("MESSAGE", f"sip:bob@{DOMAIN}", phone, from_=who, lines=lines, body="hi"))
            arrived = callee.receive().decode()
            assert arrived.startswith("MESSAGE sip:bob@")
            assert "Bearer" not in arrived
            assert token not in arrived
        assert token not in siege.log


def test_forged_ones(siege: Siege, tmp_path: Path) -> None:
    """401 and invalid_token for each (RFC 8898 2.2), 407 for a call; calls go on meanwhile."""
    with siege.watched() as watch, siege.line("tcp") as stranger:
        for name, token in forged(tmp_path).items():
            answer = ask(stranger, token)
            assert answer.startswith("SIP/2.0 401 "), name
            assert 'error="invalid_token"' in answer, name
            answer = ask(stranger, token, "INVITE", field="Proxy-Authorization")
            assert answer.startswith("SIP/2.0 407 "), name
        narrow = made(tmp_path, f"alice@{DOMAIN}", "--scope", "other")
        assert 'error="invalid_scope"' in ask(stranger, narrow)
        # Genuine, and somebody else's.
        bobs = made(tmp_path, f"bob@{DOMAIN}")
        assert ask(stranger, bobs).startswith("SIP/2.0 403 ")
        elsewhere = made(tmp_path, "alice@elsewhere.test")
        assert ask(stranger, elsewhere).startswith("SIP/2.0 403 ")
        # A parser must not be lured: two tokens, one of them genuine.
        two = f"{made(tmp_path)}\r\nAuthorization: Bearer {bobs}"
        assert ask(stranger, two).startswith("SIP/2.0 401 ")
    assert watch.lost == 0


def test_a_flood_of_forgeries(siege: Siege, tmp_path: Path) -> None:
    """Threads check signatures: 500 forged ones delay no other request; without its key a token ends."""
    token = forged(tmp_path)["changed"]
    with siege.watched() as watch, siege.line("tcp") as stranger:
        for _ in range(500):
            who = f"<sip:alice@{DOMAIN}>"
            lines = [f"Authorization: Bearer {token}"]
            stranger.send(
                request("REGISTER", f"sip:{DOMAIN}", stranger, from_=f"{who};tag=a", to=who, lines=lines)
            )
        answered = 0
        try:
            while answered < 500:
                answered += stranger.receive().startswith(b"SIP/2.0 401 ")
        except Silence:
            pass
        assert answered == 500
    assert watch.lost == 0
    good = made(tmp_path)
    with siege.line("tcp") as phone:
        assert ask(phone, good).startswith("SIP/2.0 200 ")
        (tmp_path / "phones.json").unlink()
        made(tmp_path)
        assert ask(phone, good).startswith("SIP/2.0 401 ")
