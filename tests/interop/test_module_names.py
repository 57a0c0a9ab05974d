"""The modules ``aliases`` and ``redirect`` in the installed server, with baresip and sipsak."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.interop.baresip import Baresip
from tests.interop.siege import LOCAL, Siege
from tests.interop.test_module_calls import ctl

DOMAIN = "biloxi.test"
CONTROL = 'control = "ctl.sock"\n'


@pytest.mark.needs("baresip")
def test_an_alias_is_dialled(tmp_path: Path) -> None:
    """Added while the server runs; a short number of the caller's own, too."""
    with Siege(tmp_path, domain=DOMAIN, config=f"{CONTROL}[aliases]\n") as server:
        place = server.address("udp")
        with (
            Baresip(tmp_path / "alice", "alice", DOMAIN, place, "udp") as alice,
            Baresip(tmp_path / "bob", "bob", DOMAIN, place, "udp") as bob,
        ):
            for phone in (alice, bob):
                phone.wait_until_registered()
            ctl(tmp_path, "aliases.add", f"alias=sip:4930123@{DOMAIN}", f"target={bob.aor}")
            ctl(tmp_path, "aliases.short", f"user={alice.aor}", "digits=12", f"target=sip:4930123@{DOMAIN}")
            for dialled in ("4930123", "12"):
                alice.command("dial", f"sip:{dialled}@{DOMAIN}")
                bob.wait_for("CALL_INCOMING")
                bob.command("accept")
                alice.wait_for("CALL_ESTABLISHED")
                alice.command("hangup")
                bob.wait_for("CALL_CLOSED")


@pytest.mark.needs("sipsak")
def test_sipsak_follows(tmp_path: Path) -> None:
    """It asks the other server, which answers."""
    home = tmp_path / "home"
    home.mkdir()
    with Siege(home, domain="elsewhere.test") as other:
        there = f"{LOCAL}:{other.address('udp')[1]}"
        config = f'[redirect]\n[[redirect.users]]\nuser = "sip:bob@{DOMAIN}"\ncontact = "sip:{there}"\n'
        with Siege(tmp_path, domain=DOMAIN, config=config) as server:
            place = f"{LOCAL}:{server.address('udp')[1]}"
            command = ["sipsak", "-vv", "-s", f"sip:bob@{place}"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=30)
            assert "received redirect" in done.stdout
            assert done.returncode == 0, done.stdout + done.stderr
