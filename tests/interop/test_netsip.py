"""Net::SIP 0.835 (Debian's libnet-sip-perl): field names in a case of their own, addresses without brackets.

It refreshes nothing by itself and remembers no nonce, so each of its registrations is challenged anew.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.interop.conftest import TARGET
from tests.interop.softphones import Softphone
from tests.interop.users import serve_users
from tests.missing import missing
from tools.peers import Program, free_port

LOCAL, DOMAIN = "127.0.0.1", "biloxi.test"
USERS = {f"alice@{DOMAIN}": "wonderland", f"bob@{DOMAIN}": "builder"}
SCRIPT = Path(__file__).with_name("netsip.pl")

pytestmark = [
    pytest.mark.skipif(TARGET != "sansip", reason="the passwords are in sansip's store"),
    pytest.mark.needs("perl"),
]


@pytest.fixture(scope="module", autouse=True)
def netsip() -> None:
    if subprocess.run(["perl", "-MNet::SIP", "-e1"], capture_output=True, check=False).returncode:
        missing("not installed: Net::SIP (see .ci/run for the Debian packages)")


@contextmanager
def serving(directory: Path, config: str = "") -> Iterator[tuple[Program, int]]:
    port = free_port()
    with serve_users(directory, [f"udp:{LOCAL}:{port}"], USERS, config) as program:
        yield program, port
        assert "Traceback" not in program.output()


def phone(directory: Path, port: int, user: str, password: str) -> Softphone:
    command = ["perl", str(SCRIPT), LOCAL, str(port), str(free_port()), DOMAIN, user, password]
    one = Softphone(command, directory / f"{user}.log", cwd=directory)
    one.hear("^ready")
    return one


def test_two_phones(tmp_path: Path) -> None:
    """They register, register again, and call each other; once the caller hangs up, once the callee does."""
    with serving(tmp_path) as (program, port), ExitStack() as stack:
        alice, bob = (
            stack.enter_context(phone(tmp_path, port, user, password))
            for user, password in (("alice", "wonderland"), ("bob", "builder"))
        )
        for one in (alice, bob, alice, bob):
            one.tell("register 60")
            one.hear("^registration OK")
        for caller, name, callee, first in ((alice, "bob", bob, alice), (bob, "alice", alice, alice)):
            caller.tell(f"call {name}")
            callee.hear("^incoming")
            caller.hear("^call OK")
            callee.hear("^established")
            first.tell("bye")
            first.hear("^bye OK")
            (bob if first is alice else alice).hear("^ended by them")
        for one in (alice, bob):
            one.tell("register 0")
            one.hear("^registration OK")
        program.wait_for("registered: 0 bindings")
        assert "refused" not in program.output()


@pytest.mark.parametrize("algorithms", ['"MD5", "SHA-256"', '"SHA-256", "MD5"'])
def test_algorithms(algorithms: str, tmp_path: Path) -> None:
    """It knows MD5, and finds it (docs/authentication.md)."""
    config = f"[digest]\nalgorithms = [{algorithms}]\n"
    with serving(tmp_path, config) as (_, port), phone(tmp_path, port, "alice", "wonderland") as alice:
        alice.tell("register 60")
        alice.hear("^registration OK")


def test_its_password_is_wrong(tmp_path: Path) -> None:
    with serving(tmp_path) as (program, port), phone(tmp_path, port, "alice", "guess") as alice:
        alice.tell("register 60")
        alice.hear("^registration FAIL")
        program.wait_for(rf"refused 'alice' in realm '{DOMAIN}' from {LOCAL}: wrong password")
