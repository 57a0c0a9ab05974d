"""The module ``quotas`` in the installed server: a stolen password costs three seconds of a call, live."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.baresip import Baresip
from tests.interop.siege import Siege
from tests.interop.test_module_calls import ctl

DOMAIN = "biloxi.test"
CONFIG = 'control = "ctl.sock"\n[calls]\nkeep = true\n[quotas]\nminutes = 0.05\n'


@pytest.mark.needs("baresip")
def test_a_stolen_password(tmp_path: Path) -> None:
    """The call is hung up for both sides when its caller's minutes are over; the next one gets 403.

    An operator gives the user a new start.
    """
    users = {f"{user}@{DOMAIN}": "secret" for user in ("alice", "bob")}
    with Siege(tmp_path, domain=DOMAIN, config=CONFIG, users=users) as server:
        place = server.address("udp")
        with (
            Baresip(tmp_path / "alice", "alice", DOMAIN, place, "udp", "secret") as alice,
            Baresip(tmp_path / "bob", "bob", DOMAIN, place, "udp", "secret") as bob,
        ):
            for phone in (alice, bob):
                phone.wait_until_registered()
            alice.call(bob)
            for phone in (alice, bob):
                phone.wait_for("CALL_CLOSED")
            assert "has used up 0.05 minutes; 1 calls were hung up" in server.log
            alice.command("dial", bob.aor)
            assert "403" in str(alice.wait_for("CALL_CLOSED"))
            used = ctl(tmp_path, "quotas.show", f"user={alice.aor}")
            assert 0.05 <= used["minutes"] < 0.1
            ctl(tmp_path, "quotas.reset", f"user={alice.aor}")
            alice.command("dial", bob.aor)
            bob.wait_for("CALL_INCOMING")
            alice.command("hangup")
