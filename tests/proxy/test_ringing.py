"""How long an INVITE may ring, and how many dialogs it may begin, whatever the called side sends."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.events import LimitReached
from sansip.proxy import Target
from sansip.wire import parse_uri
from tests.proxy.test_context import Fork
from tests.rig import (
    ALICE,
    BOB,
    BOB_URI,
    CAROL,
    CAROL_URI,
    DAVE_URI,
    Rig,
    only,
    relay_to,
    reply,
    request,
    sent,
    what,
)


def fork(*uris: Any, rig: Rig | None = None, **limits: Any) -> Fork:
    return Fork(*uris, rig=rig or Rig(relay_to(*uris), limits=limits))


def limits_reached(rig: Rig) -> list[str]:
    return [event.name for event in rig.events if isinstance(event, LimitReached)]


# --- ring_time


@pytest.mark.parametrize("pause", [0.7, 60.0, 175.3])
def test_ring_time(pause: float) -> None:
    """RFC 3261 16.7 step 2: each provisional response resets Timer C, so a call rang for a day."""
    call = fork(BOB_URI, ring_time=600.0)
    rig = call.rig
    while rig.now - rig.start < 2_000 and not any(out.what == "408" for out in rig.log):
        call.answer("bob", 180)
        rig.wait(pause)
    ended, *_ = [out for out in rig.log if out.what == "408"]
    assert ended.to == ALICE
    assert 599.0 <= ended.time - rig.start <= 600.0
    assert not [out for out in rig.log if out.what == "180" and out.time > ended.time]
    # RFC 3261 16.8, 9.1: what rings is cancelled.
    assert {out.to for out in rig.log if out.what == "CANCEL"} == {BOB}
    assert limits_reached(rig) == ["ring_time"]
    rig.run_out()
    assert rig.empty


def test_a_phone_that_rings_on() -> None:
    """RFC 3261 9.1: a CANCEL that changes nothing ends the wait after 64*T1; nothing is relayed any more."""
    call = fork(BOB_URI, ring_time=100.0)
    rig = call.rig
    call.answer("bob", 180)
    rig.wait(100.0)
    assert rig.log[-1].what == "CANCEL"
    seen = []
    for _ in range(400):
        seen += call.answer("bob", 180)
        seen += sent(rig.wait(0.5))
    assert not [one for one in seen if one[0] == "180"]
    assert rig.stack.snapshot()["client_transactions"] == 0
    rig.run_out()
    assert rig.empty


def test_shorter_than_timer_c() -> None:
    """An operator's limit may be below the three minutes of RFC 3261 16.6 step 11."""
    call = fork(BOB_URI, ring_time=30.0)
    call.answer("bob", 180)
    assert sent(call.rig.wait(29.9)) == []
    assert sent(call.rig.wait(0.1)) == [("408", ALICE), ("CANCEL", BOB)]


def test_all_branches_share_it() -> None:
    """One phone after the other: it is the INVITE that lives so long, not each of its branches."""
    targets = [Target(parse_uri(uri), q) for uri, q in ((BOB_URI, 900), (CAROL_URI, 800), (DAVE_URI, 700))]
    call = fork(*targets, ring_time=400.0)
    call.answer("bob", 180)
    call.rig.wait(170.0)
    call.answer("bob", 480)
    call.answer("carol", 180)
    call.rig.wait(170.0)
    call.answer("carol", 180)
    assert ("408", ALICE) not in sent(call.rig.wait(58.5))
    assert sent(call.rig.wait(1.5))[:2] == [("408", ALICE), ("CANCEL", CAROL)]
    call.rig.run_out()
    assert "dave" not in call.branches
    assert call.rig.empty


def test_a_route_that_waits() -> None:
    """It learns of the failure, for its records, and can try no further target."""
    seen = []

    async def route(incoming: Any) -> None:
        failure = await incoming.relay(BOB_URI)
        seen.append(failure.status)
        seen.append(await incoming.relay(CAROL_URI))

    rig = Rig(route, limits={"ring_time": 60.0})
    invite = only(rig.udp(request()), "INVITE")
    rig.udp(reply(invite, 180), BOB)
    assert sent(rig.wait(60.0)) == [("408", ALICE), ("CANCEL", BOB)]
    assert seen == [408, None]
    rig.run_out()
    assert rig.empty


def test_an_answer_that_crosses() -> None:
    """RFC 3261 16.7 step 5: a 2xx goes back even then."""
    call = fork(BOB_URI, ring_time=30.0)
    call.answer("bob", 180)
    call.rig.wait(30.0)
    assert call.answer("bob", 200) == [("200", ALICE)]


def test_many_calls_that_ring() -> None:
    """Each at its own time: the timers stand in few queues all the same, for each costs every wake-up."""
    rig = Rig(relay_to(BOB_URI), limits={"pending_per_source": 0, "pending_per_callee": 0})
    invites = []
    for number in range(600):
        outs = rig.udp(request(branch=f"z9hG4bK{number}", call_id=f"{number}"))
        invites.append(only(outs, "INVITE"))
        rig.wait(0.0371)
    for invite in invites:
        rig.wait(0.0531)
        rig.udp(reply(invite, 180), BOB)
    rig.wait(150.0)
    assert len(rig.stack.timers._queues) < 250
    rig.run_out()
    assert rig.empty


# --- early dialogs


def test_early_dialogs() -> None:
    """RFC 3261 12.1: each To tag is one; 2,000 of them were all relayed. What goes on is not hindered."""
    call = fork(BOB_URI, CAROL_URI, early_dialogs=8)
    relayed = [tag for tag in range(100) if call.answer("bob", 180, tag=f"t{tag}")]
    assert relayed == list(range(8))
    assert limits_reached(call.rig) == ["early_dialogs"]
    # All branches of the INVITE count.
    assert call.answer("carol", 183) == []
    # A dialog that is known goes on, and a response without a tag begins none.
    assert call.answer("bob", 183, tag="t3") == [("183", ALICE)]
    assert call.answer("bob", 180, tag="") == [("180", ALICE)]
    # The phone that answers is connected.
    assert call.answer("carol", 200)[0] == ("200", ALICE)


def test_dialogs_of_2xx() -> None:
    """RFC 3261 13.2.2.4: each is a call for the caller to end. 64 phones may answer, and no more."""
    call = fork(BOB_URI, early_dialogs=8)
    answered = [tag for tag in range(100) if call.answer("bob", 200, tag=f"t{tag}")]
    assert answered == list(range(8))
    assert limits_reached(call.rig) == ["early_dialogs"]
    # RFC 6026 7.2: repetitions of those that went through go through.
    assert call.answer("bob", 200, tag="t7") == [("200", ALICE)]
    call.rig.run_out()
    assert call.rig.empty


def test_the_size_of_tags() -> None:
    """The memory for a tag is bounded as well."""
    call = fork(BOB_URI)
    for tag in range(64):
        assert call.answer("bob", 180, tag=f"{tag}-{'x' * 8_000}") == [("180", ALICE)]
    assert call.answer("bob", 180, tag=f"64-{'x' * 8_000}") == []
    assert call.answer("bob", 180, tag=f"63-{'x' * 8_000}") == [("180", ALICE)]
    (context,) = [server.user for server in call.rig.stack.transactions.servers.values()]
    held: Any = context
    assert sum(map(len, held._early)) < 64 * 100


def test_what_it_costs_others() -> None:
    """The limit is of one INVITE: the next one has its own."""
    rig = Rig(relay_to(BOB_URI), limits={"early_dialogs": 2})
    for number in range(3):
        invite = only(rig.udp(request(branch=f"z9hG4bK{number}", call_id=f"{number}")), "INVITE")
        assert [what(rig.udp(reply(invite, 180, tag=f"{tag}"), BOB)) for tag in range(3)] == [
            ["180"],
            ["180"],
            [],
        ]
