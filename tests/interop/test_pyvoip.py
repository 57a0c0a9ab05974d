"""pyVoIP 1.6.8 (PyPI): it answers challenges as RFC 2069 has it, without qop, and hashes the server's name.

It knows no domain but the address of its server, so the server has none configured. Bugs of its own, which
keep it from behind any proxy, and are named where they show:

* its 200 to an INVITE has no Record-Route (RFC 3261 12.1.1), so the caller's ACK and BYE come to it past the
  server, and its own BYE has no Route (12.2.1.1): the server knows no dialog of it, and says 481;
* that BYE repeats the Via lines of the INVITE (8.1.1.7), the server's own on top;
* it answers no 407, and waits for a 401 that a proxy does not send (22.3);
* its ACK for a 2xx goes to the address-of-record, with a To tag made up (13.2.2.4).
"""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.interop.baresip import Baresip
from tests.interop.conftest import TARGET
from tests.interop.softphones import Softphone
from tests.interop.users import add_users
from tests.missing import missing
from tools.peers import Program, free_port, sansip_serve

HOST = "127.0.0.1"
USERS = {f"alice@{HOST}": "wonderland", f"bob@{HOST}": "builder"}
ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(TARGET != "sansip", reason="the passwords are in sansip's store")


@pytest.fixture(autouse=True)
def pyvoip() -> None:
    if sys.version_info >= (3, 13):
        pytest.skip("pyVoIP needs audioop, which Python 3.13 has no longer")
    if importlib.util.find_spec("pyVoIP") is None:
        missing("not installed: pyVoIP")


class Server:
    """A server without a domain, with two users, and a journal of what passes through it."""

    def __init__(self, directory: Path, config: str = "") -> None:
        self.address = (HOST, free_port())
        self._journal = directory / "journal"
        add_users(directory / "sansip.db", USERS)
        (directory / "sansip.toml").write_text(config)
        options = ["--config", "sansip.toml", "--auth", "digest", "--store", "sansip.db"]
        options += ["--journal", str(self._journal)]
        self.program: Program = sansip_serve(directory, [f"udp:{HOST}:{self.address[1]}"], (), options)

    def passed(self, wait: float, *begins: str) -> list[str]:
        """Return the start lines that begin so, of messages in both directions; wait for the first."""
        deadline = time.monotonic() + wait
        while True:
            seen = [line for line in self._lines() if line.startswith(begins)]
            if seen or time.monotonic() > deadline:
                return seen
            time.sleep(0.05)

    def _lines(self) -> Iterator[str]:
        for line in self._journal.read_text("utf-8").splitlines()[1:]:
            try:
                entry: dict[str, Any] = json.loads(line)
            except ValueError:
                # The line that is being written.
                return
            texts = [entry["with"][1]] if entry["in"] == "datagram_received" else []
            texts += [action[2] for action in entry["out"] if action[0] == "SendDatagram"]
            for text in texts:
                head = text.partition("\r\n\r\n")[0]
                start, *_ = head.split("\r\n")
                cseq = next((one[6:] for one in head.split("\r\n") if one.startswith("CSeq: ")), "")
                yield f"{start} | {cseq}"


@contextmanager
def serving(directory: Path, config: str = "") -> Iterator[Server]:
    server = Server(directory, config)
    with server.program:
        yield server
        assert "Traceback" not in server.program.output()


def phone(directory: Path, server: Server, password: str = "wonderland") -> Softphone:
    """alice's phone, registered if the password is right."""
    command = [sys.executable, "-u", "-m", "tests.interop.pyvoip", HOST, str(server.address[1]), "alice"]
    command += [password, str(free_port()), str(20_000 + free_port() % 300 * 40)]
    return Softphone(command, directory / "pyvoip.log", cwd=ROOT)


def test_it_registers_and_refreshes(tmp_path: Path) -> None:
    """RFC 3261 22.4: an answer without qop, each time with a new nonce; and it is taken back at the end."""
    with serving(tmp_path) as server, phone(tmp_path, server) as alice:
        alice.hear("^status REGISTERED")
        # The refresh comes five seconds before the end of its ten.
        deadline = time.monotonic() + 15
        while server.program.output().count("registered: 1 binding") < 2:
            assert time.monotonic() < deadline, server.program.output()
            time.sleep(0.1)
        assert "refused" not in server.program.output()
        alice.tell("stop")
        alice.hear("^stopped")
        server.program.wait_for("registered: 0 bindings")


@pytest.mark.parametrize("algorithms", ['"MD5", "SHA-256"', '"SHA-256", "MD5"'])
def test_algorithms(algorithms: str, tmp_path: Path) -> None:
    """It answers any challenge with MD5: right where that was offered, too (docs/authentication.md)."""
    config = f"[digest]\nalgorithms = [{algorithms}]\n"
    with serving(tmp_path, config) as server, phone(tmp_path, server) as alice:
        alice.hear("^status REGISTERED")


def test_its_password_is_wrong(tmp_path: Path) -> None:
    """The log says so; before, it got 401 for ever without a word."""
    with serving(tmp_path) as server, phone(tmp_path, server, "guess"):
        server.program.wait_for(rf"refused 'alice' in realm '{HOST}' from {HOST}: wrong password")


@pytest.mark.needs("baresip")
def test_it_is_called(tmp_path: Path) -> None:
    """The caller hangs up."""
    with serving(tmp_path) as server, phone(tmp_path, server) as alice:
        alice.hear("^status REGISTERED")
        with Baresip(tmp_path / "bob", "bob", HOST, server.address, "udp", "builder") as bob:
            bob.wait_until_registered()
            bob.command("dial", f"sip:alice@{HOST}")
            alice.hear("^incoming")
            alice.hear("^call ANSWERED")
            bob.wait_for("CALL_ESTABLISHED")
            bob.command("hangup")
            alice.hear("^call ENDED")


@pytest.mark.needs("baresip")
def test_it_hangs_up(tmp_path: Path) -> None:
    """Its BYE has no Route: 481 (RFC 3261 12.2.2). For pyVoIP the call is over; the caller hears nothing."""
    with serving(tmp_path) as server, phone(tmp_path, server) as alice:
        alice.hear("^status REGISTERED")
        with Baresip(tmp_path / "bob", "bob", HOST, server.address, "udp", "builder") as bob:
            bob.wait_until_registered()
            bob.command("dial", f"sip:alice@{HOST}")
            alice.hear("^call ANSWERED")
            bob.wait_for("CALL_ESTABLISHED")
            alice.tell("hangup")
            alice.hear("^call ENDED")
            assert server.passed(5.0, "BYE ")
            assert any(line.endswith("BYE") for line in server.passed(5.0, "SIP/2.0 481 "))


@pytest.mark.needs("baresip")
def test_it_cannot_answer_a_proxy(tmp_path: Path) -> None:
    """407 is what a proxy sends (RFC 3261 22.3); it waits for a 401, and its INVITE never has credentials."""
    with serving(tmp_path) as server, phone(tmp_path, server) as alice:
        alice.hear("^status REGISTERED")
        alice.tell("call bob")
        assert server.passed(10.0, "SIP/2.0 407 ")
        assert len(server.passed(0.0, "INVITE ")) == 1


@pytest.mark.needs("baresip")
def test_it_calls_where_it_is_trusted(tmp_path: Path) -> None:
    """By its address it needs no password to call. Bob rings and answers; its ACK leads nowhere."""
    with serving(tmp_path, f'[[trusted]]\naddress = "{HOST}"\n') as server, phone(tmp_path, server) as alice:
        alice.hear("^status REGISTERED")
        with Baresip(tmp_path / "bob", "bob", HOST, server.address, "udp", "builder") as bob:
            bob.wait_until_registered()
            alice.tell("call bob")
            bob.wait_for("CALL_INCOMING")
            bob.command("accept")
            alice.hear("^call ANSWERED")
            # 13.2.2.4: to the address-of-record, without a Route.
            assert server.passed(5.0, f"ACK sip:bob@{HOST}")
