"""Calls that ride have the settings that the module has now."""

from __future__ import annotations

from tests.modules.media.rig import FIRST, MediaRig, settings
from tests.relays import Engine
from tests.rig import what


def test_reload() -> None:
    """What the relay is to do, and how many calls may have one, is that of the file as it is now."""
    rig = MediaRig()
    rig.answered()
    assert rig.engine.last("offer")["flags"] == [b"strict-source"]
    rig.media.configure(settings((FIRST, Engine), strict_source=False, most=2), rig.now)
    rig.invite(1)
    assert "flags" not in rig.engine.last("offer")
    assert "503" in what(rig.invite(2))
