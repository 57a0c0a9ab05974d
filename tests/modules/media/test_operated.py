"""What operators and the configuration do with relays and calls."""

from __future__ import annotations

from sansip.modules.media import Media
from tests.modules.media.rig import MediaRig, settings, two
from tests.relays import Engine
from tests.rig import BOB, only, reply


def test_commands() -> None:
    """Query, recording and digits reach the call's relay under its name; faults name the cause."""
    rig = MediaRig()
    rig.answered()
    assert rig.command("media.query", id="call0")["totals"]["RTP"]["packets"] == 7
    assert rig.command("media.record", id="call0")["recording"] is True
    assert rig.engine.last("start recording")["call-id"] == rig.engine.last("offer")["call-id"]
    rig.command("media.record", id="call0", on=False)
    rig.engine.last("stop recording")
    rig.command("media.dtmf", id="call0", digit="5")
    assert rig.engine.last("play DTMF")["code"] == b"5"
    rig.command("media.block_dtmf", id="call0")
    rig.engine.last("block DTMF")
    assert "no digit" in str(rig.command("media.dtmf", id="call0", digit="x\n"))
    assert "media.calls" in str(rig.command("media.query", id="nobody"))
    assert "media.list" in str(rig.command("media.set", uri="ng:x", state="active"))
    rig.engine.mood = "error"
    assert "the moon is full" in str(rig.command("media.query", id="call0"))


def test_recorded_by_setting() -> None:
    """`record` has the relay record each call from its first packet."""
    rig = MediaRig(media={"record": True, "strict_source": False})
    rig.answered()
    assert rig.engine.last("offer")["record-call"] == b"on"
    assert "flags" not in rig.engine.last("offer")


def test_reload() -> None:
    """A relay that is gone from the file gets no new call; calls there go on with it."""
    rig = two()
    rig.answered()
    (row,) = rig.command("media.calls")
    own = next(at for at in rig.relays if row["relay"] == f"ng:{at[0]}:{at[1]}")
    other = next(at for at in rig.relays if at != own)
    rig.take(rig.stack.configure_module(Media, settings((other, Engine)), rig.now)) if hasattr(
        rig.stack, "configure_module"
    ) else rig.media.configure(settings((other, Engine)), rig.now)
    assert len(rig.command("media.list")) == 1
    for number in range(1, 8):
        rig.invite(number)
    assert len(rig.relays[own].calls) == 1
    bye = only(rig.within("BYE", cseq=2), "BYE")
    rig.udp(reply(bye, 200), BOB)
    rig.wait(0.1)
    assert rig.relays[own].calls == {}
