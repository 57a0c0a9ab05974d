"""Calls that ride have the settings that the module has now."""

from __future__ import annotations

from sansip.config import Reconfiguration
from sansip.limits import Limits
from tests.modules.media.rig import FIRST, SDP, MediaRig, settings
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


def test_limits_that_are_lowered() -> None:
    """A reload that changes the limits of the stack, and nothing of the module, holds for the next call."""
    two_media = SDP + b"m=video 4002 RTP/AVP 96\r\n"
    lowered = {"sdp_media": 1}
    rig, other = MediaRig(), MediaRig(limits=lowered)
    assert "INVITE" in what(rig.invite(1, two_media))
    rig.take(rig.stack.configure(Reconfiguration(limits=Limits(**lowered)), rig.now))
    # As a server that was started with them.
    assert "488" in what(other.invite(2, two_media))
    assert "488" in what(rig.invite(2, two_media))
