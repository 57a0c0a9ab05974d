"""baresip phones publish and watch: what one says of itself, the other shows beside its contact."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.interop.baresip import Baresip
from tests.interop.siege import Siege
from tests.interop.test_module_calls import ctl

DOMAIN = "biloxi.test"
CONFIG = """
control = "ctl.sock"
[documents]
[events]
open = true
[publications]
open = true
[presence]
interval = 0.0
"""
MODULE = "module_app presence.so\n"


@pytest.mark.needs("baresip")
def test_published_and_watched(tmp_path: Path) -> None:
    """RFC 3903, RFC 3856 with a phone that is not ours: open, then closed, and the refresh of both sides."""
    buddy = f'"Bob" <sip:bob@{DOMAIN}>;presence=p2p\n'
    with Siege(tmp_path, domain=DOMAIN, config=CONFIG, transports=("udp",)) as server:
        place = server.address("udp")
        with (
            Baresip(
                tmp_path / "bob", "bob", DOMAIN, place, "udp", account=";pubint=60", modules=MODULE
            ) as bob,
            Baresip(
                tmp_path / "alice", "alice", DOMAIN, place, "udp", modules=MODULE, contacts=buddy
            ) as alice,
        ):
            for phone in (bob, alice):
                phone.wait_until_registered()
            wait_for(alice, "Online")
            bob.command("presence_offline")
            wait_for(alice, "Offline")
            bob.command("presence_online")
            wait_for(alice, "Online")
            (row,) = ctl(tmp_path, "events.list", "event=presence")
            assert (row["watcher"], row["state"]) == (f"sip:alice@{DOMAIN}", "active")


def wait_for(phone: Baresip, word: str) -> None:
    """Wait until the list of contacts shows ``word`` beside the one contact."""
    deadline = time.monotonic() + 20
    while word not in (shown := str(phone.command("contacts")["data"])):
        assert time.monotonic() < deadline, shown
        time.sleep(0.2)
