"""Real phones with passwords: they register with what the server offers, and are refused with a wrong one."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.interop.baresip import Baresip
from tests.interop.conftest import TARGET
from tests.interop.phone import Phone
from tests.interop.users import ask, serve_users
from tests.missing import needs_pjsua2
from tools.peers import Program, Sipp, free_port

LOCAL = "127.0.0.1"
USERS = {"alice@biloxi.test": "wonderland", "bob@biloxi.test": "builder"}
SCENARIOS = Path(__file__).parent / "scenarios"

pytestmark = pytest.mark.skipif(TARGET != "sansip", reason="the passwords are in sansip's store")

Serve = Callable[[str], tuple[Program, tuple[str, int]]]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts a server with a configuration; returns it and where it listens, UDP and TCP."""
    with ExitStack() as stack:

        def start(config: str) -> tuple[Program, tuple[str, int]]:
            port = free_port()
            listeners = [f"{transport}:{LOCAL}:{port}" for transport in ("udp", "tcp")]
            program = stack.enter_context(serve_users(tmp_path, listeners, USERS, config))
            return program, (LOCAL, port)

        yield start


def sipp(
    server: tuple[str, int],
    directory: Path,
    transport: str = "u1",
    user: str = "alice",
    scenario: str = "register_password.xml",
) -> Sipp:
    options = ["-au", user, "-ap", "wonderland"]
    return Sipp(
        SCENARIOS / scenario,
        server,
        directory,
        local=(LOCAL, free_port()),
        transport=transport,
        service=user,
        options=options,
    )


@pytest.mark.needs("sipp")
@pytest.mark.parametrize(
    "policy", ["", 'qop = ["auth", "auth-int"]', "authentication_info = true", 'realms = ["biloxi.test x y"]']
)
@pytest.mark.parametrize("transport", ["u1", "t1"])
def test_sipp(policy: str, transport: str, serve: Serve, tmp_path: Path) -> None:
    """SIPp 3.6 with whatever a policy adds to the challenge."""
    _, server = serve(f"[digest]\n{policy}\n")
    with sipp(server, tmp_path, transport) as phone:
        if "realms" in policy:
            # Its key was made for the realm biloxi.test: refused, and said so.
            assert phone.wait(30.0) != 0
        else:
            phone.succeed()


@pytest.mark.needs("sipp")
@pytest.mark.parametrize("transport", ["u1", "t1"])
def test_sipp_calls(transport: str, serve: Serve, tmp_path: Path) -> None:
    """It hashes the address of the server, whatever it calls (RFC 8760 2.6 item 6); bob is not there."""
    program, server = serve("")
    with sipp(server, tmp_path, transport, scenario="invite_password.xml") as phone:
        phone.succeed()
    assert "refused" not in program.output()


@pytest.mark.needs("sipp")
def test_sipp_with_a_wrong_password(serve: Serve, tmp_path: Path) -> None:
    """Bob's is another one."""
    program, server = serve("")
    with sipp(server, tmp_path, user="bob") as phone:
        assert phone.wait(30.0) != 0
    assert "registered" not in program.output()


@pytest.mark.needs("baresip")
@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_baresip_phones_call_each_other(transport: str, serve: Serve, tmp_path: Path) -> None:
    """Challenged for REGISTER and for INVITE; the callee sees nothing of the caller's credentials."""
    program, server = serve("")
    with (
        Baresip(tmp_path / "a", "alice", "biloxi.test", server, transport, "wonderland") as alice,
        Baresip(tmp_path / "b", "bob", "biloxi.test", server, transport, "builder") as bob,
    ):
        for phone in (alice, bob):
            phone.wait_until_registered()
        alice.call(bob)
        alice.command("hangup")
        bob.wait_for("CALL_CLOSED")
    assert "Traceback" not in program.output()


@pytest.mark.parametrize(
    ("algorithms", "qop"),
    [
        ('"MD5"', '"auth"'),
        ('"SHA-256"', '"auth"'),
        ('"SHA-256", "MD5"', '"auth", "auth-int"'),
        ('"MD5", "SHA-256"', '"auth"'),
    ],
)
def test_pjsip(algorithms: str, qop: str, serve: Serve) -> None:
    """The stack of many phones: it knows SHA-256, and takes lists as RFC 8760 means them."""
    needs_pjsua2()
    program, server = serve(f"[digest]\nalgorithms = [{algorithms}]\nqop = [{qop}]\n")
    command = [sys.executable, "-m", "tests.interop.pjsip", server[0], str(server[1]), "biloxi.test", "alice"]
    done = subprocess.run(
        [*command, "wonderland", "bob"], capture_output=True, text=True, timeout=60, check=False
    )
    said = [line for line in done.stdout.splitlines() if line.startswith(("registration ", "call "))]
    # Bob is not there: the INVITE was challenged, answered and looked up.
    assert said == ["registration 200", "call 404"], done.stdout[-2000:] + done.stderr[-2000:]
    assert "refused" not in program.output()


@pytest.mark.needs("sipsak")
@pytest.mark.parametrize(("password", "status"), [("wonderland", 0), ("guess", 2)])
def test_sipsak(password: str, status: int, serve: Serve) -> None:
    """sipsak registers, as monitoring does."""
    _, server = serve("")
    command = ["sipsak", "-U", "-C", "sip:alice@127.0.0.1:9", "-x", "60", "-H", LOCAL, "-v"]
    command += ["-u", "alice", "-a", password, "-s", f"sip:alice@{LOCAL}:{server[1]}"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=30, check=False, stdin=subprocess.DEVNULL
    )
    assert done.returncode == status, done.stdout + done.stderr


def test_a_trusted_peer(serve: Serve, tmp_path: Path) -> None:
    """Trusted, it needs no password but to register; until SIGHUP reads that it is not."""
    trusted = '[[trusted]]\naddress = "127.0.0.0/8"\nname = "office"\n'
    program, server = serve(trusted)
    with (
        Phone("alice", "biloxi.test", "udp", server) as alice,
        Phone("bob", "biloxi.test", "udp", server) as bob,
    ):
        register = [f"Contact: {bob.contact}", "Expires: 600"]
        assert ask(bob, "REGISTER", "sip:biloxi.test", "builder", register).what == "200"
        assert ask(alice, "REGISTER", "sip:biloxi.test", "guess").what == "401"
        alice.invite(bob.aor)
        bob.answer(bob.expect("INVITE"), "486 Busy Here")
        alice.expect("486")
        (tmp_path / "sansip.toml").write_text(trusted.replace("127.0.0.0/8", "10.0.0.0/8"))
        program.process.send_signal(signal.SIGHUP)
        program.wait_for("read again: trusted peers")
    with Phone("alice", "biloxi.test", "udp", server) as alice:
        alice.invite("sip:bob@biloxi.test")
        alice.expect("407")
