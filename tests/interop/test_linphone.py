"""linphone 5.1 (Debian's linphone-cli): with a password, refreshed, called and calling, over UDP and TCP."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.interop.conftest import TARGET
from tests.interop.linphone import Linphone
from tests.interop.users import serve_users
from tools.peers import Program, free_port

LOCAL, DOMAIN = "127.0.0.1", "biloxi.test"
USERS = {f"alice@{DOMAIN}": "wonderland", f"bob@{DOMAIN}": "builder"}

pytestmark = [
    pytest.mark.skipif(TARGET != "sansip", reason="the passwords are in sansip's store"),
    pytest.mark.needs("linphonec"),
]


@contextmanager
def serving(directory: Path, config: str = "") -> Iterator[tuple[Program, tuple[str, int]]]:
    port = free_port()
    listeners = [f"{transport}:{LOCAL}:{port}" for transport in ("udp", "tcp")]
    with serve_users(directory, listeners, USERS, config) as program:
        yield program, (LOCAL, port)
        assert "Traceback" not in program.output()


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_two_phones(transport: str, tmp_path: Path) -> None:
    """They call each other; once the callee hangs up, once the caller does."""
    with serving(tmp_path) as (program, server), ExitStack() as stack:
        alice, bob = (
            stack.enter_context(Linphone(tmp_path / user, user, DOMAIN, server, transport, password))
            for user, password in (("alice", "wonderland"), ("bob", "builder"))
        )
        for phone in (alice, bob):
            phone.wait_until_registered()
        for caller, callee, first in ((alice, bob, bob), (bob, alice, bob)):
            caller.tell(f"call {callee.aor}")
            callee.hear(rf"Receiving new incoming call from {caller.aor}")
            caller.hear(r"ringing\.")
            callee.tell("answer")
            for phone in (caller, callee):
                phone.hear(r"connected\.")
            first.tell("terminate")
            for phone in (caller, callee):
                phone.hear(r"ended \(No error\)")
        assert "refused" not in program.output()


def test_it_refreshes(tmp_path: Path) -> None:
    """Its nonce is used again with the next count; and it unregisters when it ends."""
    with serving(tmp_path) as (program, server):
        with Linphone(tmp_path / "a", "alice", DOMAIN, server, "udp", "wonderland", expires=10) as alice:
            alice.wait_until_registered()
            deadline = time.monotonic() + 20
            while program.output().count("registered: 1 binding") < 2:
                assert time.monotonic() < deadline, program.output()
                time.sleep(0.1)
            alice.tell("quit")
            program.wait_for("registered: 0 bindings")
        assert "refused" not in program.output()


@pytest.mark.parametrize("algorithms", ['"SHA-256"', '"MD5", "SHA-256"', '"SHA-256", "MD5"'])
def test_algorithms(algorithms: str, tmp_path: Path) -> None:
    """It knows both (docs/authentication.md)."""
    config = f"[digest]\nalgorithms = [{algorithms}]\n"
    with (
        serving(tmp_path, config) as (_, server),
        Linphone(tmp_path / "a", "alice", DOMAIN, server, "udp", "wonderland") as alice,
    ):
        alice.wait_until_registered()


def test_its_password_is_wrong(tmp_path: Path) -> None:
    with (
        serving(tmp_path) as (program, server),
        Linphone(tmp_path / "a", "alice", DOMAIN, server, "udp", "guess"),
    ):
        program.wait_for(rf"refused 'alice' in realm '{DOMAIN}' from {LOCAL}: wrong password")
        assert "registered" not in program.output().partition("serving")[2]
