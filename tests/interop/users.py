"""Servers that ask for passwords, and their users, as an operator sets them up."""

from __future__ import annotations

import hashlib
import itertools
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.interop.conftest import OPTIONS
from tests.interop.phone import Message, Phone
from tools.peers import Program, sansip_serve

__all__ = ["add_users", "ask", "credentials", "serve_users"]

_numbers = itertools.count(1)


def add_users(store: Path, users: Mapping[str, str]) -> None:
    """Add ``{user@domain: password}`` to ``store`` with the installed command."""
    text = "".join(f"{address},{password}\n" for address, password in users.items())
    command = [sys.executable, "-m", "sansip_server", "user", "import", "--store", str(store)]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def serve_users(
    directory: Path,
    listeners: Sequence[str],
    users: Mapping[str, str],
    config: str = "",
    domain: str = "biloxi.test",
    options: Sequence[str] = (),
) -> Program:
    """Start ``sansip serve`` for ``domain`` with digest authentication and ``users``."""
    add_users(directory / "sansip.db", users)
    (directory / "sansip.toml").write_text(config)
    given = ["--config", str(directory / "sansip.toml"), "--auth", "digest", "--store", "sansip.db"]
    return sansip_serve(directory, listeners, [domain], [*OPTIONS, *given, *options])


def ask(phone: Phone, method: str, uri: str, password: str, lines: Sequence[str] = ()) -> Message:
    """Send a request, answer one challenge to it, and return the last answer; 100 is skipped."""
    user = phone.aor.removeprefix("sip:").partition("@")[0]
    answer, given = _asked(phone, method, uri, list(lines)), ""
    for status, challenge, field in (
        ("401", "www-authenticate", "Authorization"),
        ("407", "proxy-authenticate", "Proxy-Authorization"),
    ):
        if answer.what == status:
            given = f"{field}: {credentials(answer.get(challenge), method, uri, user, password)}"
    return _asked(phone, method, uri, [*lines, given]) if given else answer


def _asked(phone: Phone, method: str, uri: str, lines: list[str]) -> Message:
    number = next(_numbers)
    to = phone.aor if method == "REGISTER" else uri
    who = [f"From: <{phone.aor}>;tag=a", f"To: <{to}>", f"Call-ID: ask-{phone.aor}"]
    phone._request(method, uri, [*who, *lines], number)
    while (answer := phone.receive()).what == "100":
        pass
    return answer


def credentials(challenge: str, method: str, uri: str, user: str, password: str, count: int = 1) -> str:
    """Return what answers ``challenge``, the ``count``th time.

    RFC 2617 3.2.2, in the hash that the challenge names: nothing of ours in it.
    """
    params = dict(re.findall(r'(\w+)="?([^",]*)"?', challenge))
    name = {"MD5": "md5", "SHA-256": "sha256"}[params.get("algorithm", "MD5")]

    def digest(text: str) -> str:
        return hashlib.new(name, text.encode()).hexdigest()

    secret = digest(f"{user}:{params['realm']}:{password}")
    nc = f"{count:08x}"
    proof = digest(f"{secret}:{params['nonce']}:{nc}:c:auth:{digest(f'{method}:{uri}')}")
    return (
        f'Digest username="{user}", realm="{params["realm"]}", nonce="{params["nonce"]}", uri="{uri}",'
        f' response="{proof}", algorithm={params.get("algorithm", "MD5")}, qop=auth, nc={nc}, cnonce="c"'
    )
