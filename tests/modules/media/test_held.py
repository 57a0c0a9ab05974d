"""A response that waits for the relay, and what comes meanwhile: a 2xx that came is never lost."""

from __future__ import annotations

import pytest

from tests.modules.media.relayed_calls import Slow, crossed
from tests.modules.media.rig import TYPE, answer_sdp
from tests.rig import ALICE, BOB, only, reply

pytestmark = pytest.mark.usefixtures("both")


@pytest.mark.parametrize("before", ["nothing", "early media"])
def test_the_port_is_closed_meanwhile(before: str) -> None:
    """RFC 3261 17.1.1.2: the 2xx has ended the client transaction, so no error of a send counts any more."""
    rig = Slow()
    invite = only(rig.invite(), "INVITE")
    rig.late = True
    if before == "early media":
        rig.udp(reply(invite, 183, headers=TYPE, body=answer_sdp()), BOB)
    rig.udp(reply(invite, 200, headers=TYPE, body=answer_sdp()), BOB)
    mark = len(rig.log)
    rig.failed(invite)
    rig.release()
    rig.wait(40.0)
    back = [one.what for one in rig.log[mark:] if one.to == ALICE]
    assert "200" in back
    assert not {"408", "500", "503"} & set(back)


def test_cancelled_and_closed_meanwhile() -> None:
    """RFC 3261 9.1: the CANCEL crosses the 2xx, and cannot be sent: the caller has the 2xx, and ends it."""
    rig, invite = crossed()
    mark = len(rig.log)
    rig.failed(invite)
    rig.release()
    rig.wait(40.0)
    back = [one.what for one in rig.log[mark:] if one.to == ALICE]
    assert "200" in back
    assert not {"408", "487", "500", "503"} & set(back)


def test_an_invite_again_while_the_relay_is_asked() -> None:
    """RFC 3261 17.2.1: Timer A of the caller has it sent again: it gets the 100, and the phone one INVITE."""
    rig = Slow()
    rig.late = True
    rig.invite()
    for _ in range(3):
        assert [one.what for one in rig.invite()] == ["100"]
    rig.release()
    assert [one.what for one in rig.log if one.to == BOB].count("INVITE") == 1


def test_nobody_listens() -> None:
    """RFC 3261 8.1.3.1: an error of the transport counts as a 503; 16.7 step 6: which goes back as a 500."""
    rig = Slow()
    invite = only(rig.invite(), "INVITE")
    mark = len(rig.log)
    rig.failed(invite)
    assert [one.what for one in rig.log[mark:] if one.to == ALICE] == ["500"]
    rig.wait(1.0)
    # The relay has no ports for it any more.
    assert not any(rig.engine.calls.values())


@pytest.mark.parametrize("status", [183, 200])
def test_a_relay_that_takes_too_long(status: int) -> None:
    """``limits.hook_time``: the response goes back as it came, once, also if the relay answers later."""
    rig = Slow(media={"deadline": 500.0})
    invite = only(rig.invite(), "INVITE")
    rig.late = True
    rig.udp(reply(invite, status, headers=TYPE, body=answer_sdp()), BOB)
    mark = len(rig.log)
    rig.wait(rig.stack.limits.hook_time + 1.0)
    rig.release()
    back = [one for one in rig.log[mark:] if one.to == ALICE]
    assert [one.what for one in back] == [str(status)]
    assert back[0].message.body == answer_sdp()
