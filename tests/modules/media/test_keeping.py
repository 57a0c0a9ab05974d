"""A call of the process before keeps its relay: its next offer and its end go there."""

from __future__ import annotations

from sansip.modules.calls import CallTakenBack
from sansip.modules.media.keeping import restored
from sansip.modules.media.sessions import Sessions
from tests.modules.media.rig import FIRST, SDP, SECOND, MediaRig
from tests.relays import Engine
from tests.rig import BOB, only, reply


def test_what_is_kept() -> None:
    """The relay and the reason are plain values in the call's record, and make the same session again."""
    rig = MediaRig({FIRST: Engine(), SECOND: Engine()})
    rig.answered()
    (session,) = rig.media._sessions
    call = session.call
    assert session.relay is not None
    assert call.variables["media"] == session.relay.uri
    assert all(isinstance(value, str) for value in call.variables.values())
    again = restored(call, rig.media._relays, "default")
    assert again is not None
    assert (again.id, again.relay, again.labels) == (session.id, session.relay, session.labels)
    call.variables["media"] = "ng:198.51.100.9:1"
    assert restored(call, rig.media._relays, "default") is None


def test_taken_back() -> None:
    """Forgotten here, and taken back: a re-INVITE stays at its relay, and a BYE deletes there."""
    rig = MediaRig({FIRST: Engine(), SECOND: Engine()})
    rig.answered()
    (row,) = rig.command("media.calls")
    (session,) = rig.media._sessions
    rig.media._sessions = Sessions()
    rig.media.event_received(CallTakenBack(session.call), rig.now)
    only(rig.within("INVITE", body=SDP, cseq=2), "INVITE")
    assert rig.command("media.calls")[0]["relay"] == row["relay"]
    rig.udp(reply(only(rig.within("BYE", cseq=3), "BYE"), 200), BOB)
    assert not any(engine.calls for engine in rig.relays.values())
