"""Two baresip phones register and talk through the server, as two people would."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.baresip import Baresip
from tests.interop.conftest import Server

pytestmark = pytest.mark.needs("baresip")


@pytest.mark.parametrize(("caller", "callee"), [("udp", "udp"), ("tcp", "tcp"), ("udp", "tcp")])
def test_call(caller: str, callee: str, biloxi: Server, tmp_path: Path) -> None:
    """REGISTER, INVITE, ringing, answer, BYE from the callee: each side sees each step."""
    with (
        Baresip(tmp_path / "alice", f"alice-{caller}-{callee}", "biloxi.test", biloxi.v4, caller) as alice,
        Baresip(tmp_path / "bob", f"bob-{caller}-{callee}", "biloxi.test", biloxi.v4, callee) as bob,
    ):
        for phone in (alice, bob):
            phone.wait_until_registered()
        alice.command("dial", bob.aor)
        incoming = bob.wait_for("CALL_INCOMING")
        assert incoming["peeruri"] == alice.aor
        alice.wait_for("CALL_RINGING")
        bob.command("accept")
        for phone in (alice, bob):
            phone.wait_for("CALL_ESTABLISHED")
        # Media goes from phone to phone: each hears the other.
        for phone in (alice, bob):
            phone.wait_for("CALL_RTPESTAB")
        bob.command("hangup")
        for phone in (alice, bob):
            phone.wait_for("CALL_CLOSED")


def test_caller_gives_up(biloxi: Server, tmp_path: Path) -> None:
    """CANCEL: the callee stops ringing at once."""
    with (
        Baresip(tmp_path / "carol", "carol", "biloxi.test", biloxi.v4, "udp") as carol,
        Baresip(tmp_path / "dave", "dave", "biloxi.test", biloxi.v4, "tcp") as dave,
    ):
        for phone in (carol, dave):
            phone.wait_until_registered()
        carol.command("dial", dave.aor)
        dave.wait_for("CALL_INCOMING")
        carol.wait_for("CALL_RINGING")
        carol.command("hangup")
        dave.wait_for("CALL_CLOSED")


def test_callee_declines(biloxi: Server, tmp_path: Path) -> None:
    """The callee's refusal reaches the caller as the callee sent it."""
    with (
        Baresip(tmp_path / "erin", "erin", "biloxi.test", biloxi.v4, "tcp") as erin,
        Baresip(tmp_path / "frank", "frank", "biloxi.test", biloxi.v4, "udp") as frank,
    ):
        for phone in (erin, frank):
            phone.wait_until_registered()
        erin.command("dial", frank.aor)
        frank.wait_for("CALL_INCOMING")
        frank.command("hangup")
        closed = erin.wait_for("CALL_CLOSED")
        assert "486" in closed["param"]
