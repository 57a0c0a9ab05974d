"""The module ``calls`` in the installed server, with SIPp and baresip, by its own commands and log."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.interop.baresip import Baresip
from tests.interop.siege import Siege
from tests.interop.test_sipp import play_pair

CONFIG = 'control = "ctl.sock"\n[calls]\n'
DOMAIN = "biloxi.test"
LIMITED = """
from sansip.modules.calls import Calls
from sansip.routing.default import route as default_route


async def route(request, calls: Calls):
    if request.method == "INVITE" and not request.in_dialog and not await calls.limit(request, "all", 1):
        request.reply(486, "One Call At Most")
    else:
        await default_route(request)
"""


@dataclass
class Place:
    v4: tuple[str, int]
    v6: tuple[str, int]


def ctl(folder: Path, *words: str) -> Any:
    """Give a command to the server; return the JSON that it prints."""
    command = [sys.executable, "-m", "sansip_server", "ctl", "--control", str(folder / "ctl.sock"), *words]
    done = subprocess.run([*command, "--json"], cwd=folder, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def phones(tmp_path: Path, server: Siege) -> tuple[Baresip, Baresip]:
    place = server.address("udp")
    return (
        Baresip(tmp_path / "alice", "alice", DOMAIN, place, "udp"),
        Baresip(tmp_path / "bob", "bob", DOMAIN, place, "udp"),
    )


@pytest.mark.needs("sipp")
def test_a_hundred_calls(tmp_path: Path) -> None:
    """Each is counted when it is answered and when it ends; the log names them; nothing is left."""
    with Siege(tmp_path, domain=DOMAIN, config=CONFIG) as server:
        place = Place(server.address("udp"), server.address("udp"))
        play_pair("s03_call", "u1", "u1", place, tmp_path, calls=100, options=["-r", "50"])
        assert ctl(tmp_path, "stats")["modules"] == {
            "calls.now_calling": 0,
            "calls.now_ringing": 0,
            "calls.now_answered": 0,
            "calls.tried": 100,
            "calls.answered": 100,
            "calls.ended{caller}": 100,
        }
        assert ctl(tmp_path, "calls.list") == []
        assert "hung up by the caller" in server.log


@pytest.mark.needs("baresip")
def test_an_operator_hangs_up(tmp_path: Path) -> None:
    """Two phones talk, `calls.list` shows them, and `calls.hangup` ends the call for both."""
    with Siege(tmp_path, domain=DOMAIN, config=CONFIG) as server:
        first, second = phones(tmp_path, server)
        with first as alice, second as bob:
            for phone in (alice, bob):
                phone.wait_until_registered()
            alice.command("dial", bob.aor)
            bob.wait_for("CALL_INCOMING")
            bob.command("accept")
            for phone in (alice, bob):
                phone.wait_for("CALL_ESTABLISHED")
            (row,) = ctl(tmp_path, "calls.list")
            assert (row["state"], row["caller"]) == ("answered", alice.aor)
            assert row["callee"].startswith(bob.aor)
            ctl(tmp_path, "calls.hangup", f"id={row['id']}")
            for phone in (alice, bob):
                phone.wait_for("CALL_CLOSED")
            assert ctl(tmp_path, "calls.list") == []


@pytest.mark.needs("baresip")
def test_a_limit(tmp_path: Path) -> None:
    """One call at most: the second gets 486 while the first lasts, and passes after its end."""
    route = tmp_path / "route.py"
    route.write_text(LIMITED)
    with Siege(tmp_path, domain=DOMAIN, config=CONFIG, options=("--route", str(route))) as server:
        first, second = phones(tmp_path, server)
        with first as alice, second as bob:
            for phone in (alice, bob):
                phone.wait_until_registered()
            for _ in range(2):
                alice.command("dial", bob.aor)
                bob.wait_for("CALL_INCOMING")
                bob.command("accept")
                for phone in (alice, bob):
                    phone.wait_for("CALL_ESTABLISHED")
                bob.command("dial", alice.aor)
                closed = bob.wait_for("CALL_CLOSED")
                assert "486" in str(closed), closed
                assert ctl(tmp_path, "calls.count") == {"all": 1}
                alice.command("hangup")
                bob.wait_for("CALL_CLOSED")
                alice.wait_for("CALL_CLOSED")
                deadline = time.monotonic() + 5
                while ctl(tmp_path, "calls.count") and time.monotonic() < deadline:
                    time.sleep(0.1)


def test_no_calls(tmp_path: Path) -> None:
    """A list of nothing: `[]` for programs, and the headings for people."""
    with Siege(tmp_path, domain=DOMAIN, config=CONFIG):
        assert ctl(tmp_path, "calls.list") == []
        command = [sys.executable, "-m", "sansip_server", "ctl", "--control", "ctl.sock", "calls.list"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=True)
        (heading,) = done.stdout.splitlines()
        assert heading.split()[:3] == ["NUMBER", "ID", "STATE"]
