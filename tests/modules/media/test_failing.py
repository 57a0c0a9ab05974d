"""Relays that are dead, slow, full or odd: what that costs a call, and what it never costs the others."""

from __future__ import annotations

import pytest

from sansip.modules.media import CallUnrelayed, RelayChanged
from tests.modules.media.rig import FIRST, SDP, SECOND, TYPE, MediaRig, answer_sdp, settings, two
from tests.relays import Engine
from tests.rig import BOB, only, reply, times, what

pytestmark = pytest.mark.usefixtures("both")


def test_a_dead_relay_costs_one_time_out() -> None:
    """The calls that wait when it dies go on together at the deadline; later ones do not wait."""
    rig = two("silent", "silent")
    outs = [out for number in range(20) for out in rig.invite(number)]
    assert "INVITE" not in what(outs)
    # Half of them asked the first relay, and half the second, which wakes up.
    rig.relays[SECOND].mood = "good"
    start = rig.now
    outs = rig.wait(1.01)
    invites = [out for out in outs if out.what == "INVITE"]
    assert len({out.message.call_id for out in invites}) == 20
    assert all(b"203.0.113.6" in out.message.body for out in invites)
    assert max(times(invites, start)) <= 1.0
    changed = [event for event in rig.events if isinstance(event, RelayChanged)]
    assert [(one.uri, one.state) for one in changed] == [(f"ng:{FIRST[0]}:{FIRST[1]}", "down")]
    # From now on nobody waits.
    for number in range(20, 40):
        assert "INVITE" in what(rig.invite(number))
    assert "ng:198.51.100.1:2223" in rig.media.health()


def test_a_suspect_is_passed_over() -> None:
    """While a command waits longer than a relay needs that lives, new calls prefer another relay."""
    rig = two("silent")
    waiting = 0
    for number in range(8):
        waiting += "INVITE" not in what(rig.invite(number))
    assert waiting
    rig.wait(0.35)
    for number in range(8, 30):
        assert "INVITE" in what(rig.invite(number))


def test_probes_bring_it_back() -> None:
    """Half-open: pings alone try it, at 1, 2 and 4 s; no call does. Then it gets calls again."""
    rig = MediaRig(media={"rest": 1.0})
    rig.engine.mood = "gone"
    assert "503" in what(rig.invite())
    rig.engine.asked.clear()
    for number in range(1, 30):
        rig.wait(0.1)
        assert "503" in what(rig.invite(number))
    assert {command["command"] for _, command in rig.engine.asked} == {b"ping"}
    assert len(rig.engine.asked) == 1
    rig.engine.mood = "good"
    rig.wait(4)
    assert "INVITE" in what(rig.invite(100))
    states = [event.state for event in rig.events if isinstance(event, RelayChanged)]
    assert states == ["down", "up"]


def test_pings_find_it_first() -> None:
    """A relay that dies between calls costs no call anything."""
    rig = MediaRig(media={"probe_interval": 5.0})
    rig.engine.mood = "silent"
    rig.wait(7)
    start = rig.now
    assert "503" in what(rig.invite())
    assert rig.now == start


def test_no_relay() -> None:
    """All silent: 503 with Retry-After after the deadline, and one event; nothing leaves."""
    rig = MediaRig()
    rig.engine.mood = "silent"
    assert "INVITE" not in what(rig.invite())
    start = rig.now
    outs = rig.wait(1.5)
    refused = next(out for out in outs if out.what == "503")
    assert refused.time - start == pytest.approx(1.0)
    assert refused.message.get("retry-after") == "10"
    assert "INVITE" not in what(outs)
    (event,) = [one for one in rig.events if isinstance(one, CallUnrelayed)]
    assert "refused" in str(event)
    assert rig.command("media.calls") == []
    assert not [event for event in rig.events if "ModuleFailed" in type(event).__name__]


def test_go_on_without() -> None:
    """By policy the call goes on with its description as it came."""
    rig = MediaRig(media={"without": "go on"})
    rig.engine.mood = "silent"
    rig.invite()
    assert next(out for out in rig.wait(1.5) if out.what == "INVITE").message.body == SDP
    invite = only(rig.invite(1), "INVITE")
    assert invite.message.body == SDP
    ok = only(rig.udp(reply(invite, 200, headers=TYPE, body=answer_sdp()), BOB), "200")
    assert ok.message.body == answer_sdp()


@pytest.mark.parametrize("mood", ["nonsense", "empty", "wrong", "garbage", "gone"])
def test_a_bad_relay(mood: str) -> None:
    """What is no answer is the relay's failure: it is down, and the call is the next one's.

    One that answers pings is up: its answer to one call says nothing of the next one's. After three of them
    calls prefer the other relay.
    """
    rig = two(mood)
    for number in range(10):
        rig.invite(number)
    rig.wait(1.1)
    assert len({out.message.call_id for out in rig.log if out.what == "INVITE"}) == 10
    assert all(b"203.0.113.6" in out.message.body for out in rig.log if out.what == "INVITE")
    states = [event.state for event in rig.events if isinstance(event, RelayChanged)]
    assert ("down" in states) is (mood in ("garbage", "gone"))
    first = next(row for row in rig.command("media.list") if FIRST[0] in row["uri"])
    assert first["state"] == "down" or first["failures"] == 3


@pytest.mark.parametrize(("mood", "state"), [("full", "up"), ("error", "up")])
def test_the_next_relay(mood: str, state: str) -> None:
    """A relay that is full, or refuses one description, lives: the next one gets the call."""
    rig = two(mood)
    for number in range(10):
        assert "INVITE" in what(rig.invite(number))
    assert [row["state"] for row in rig.command("media.list")] == [state, "up"]
    first = [row for row in rig.command("media.list") if FIRST[0] in row["uri"]]
    # A full one is left alone for a second.
    assert first[0]["commands"] < (3 if mood == "full" else 12)


def test_twice_and_late() -> None:
    """A second answer, and one to a command of before, answer nothing; they are counted."""
    rig = MediaRig()
    rig.engine.mood = "twice"
    rig.answered()
    assert rig.command("media.list")[0]["strays"] == 2
    rig.engine.mood = "late"
    assert "INVITE" not in what(rig.invite(1))
    outs = rig.wait(0.3)
    # The resent command brings the answer to the first copy.
    assert "INVITE" in what(outs)


def test_a_full_relay_and_no_other() -> None:
    """Nobody has room: the call is refused at once."""
    rig = MediaRig()
    rig.engine.mood = "full"
    assert "503" in what(rig.invite())


def test_the_answer_finds_no_relay() -> None:
    """It dies while the phone rings: the 2xx goes back, and the call is hung up, for it has no sound."""
    rig = MediaRig()
    invite = only(rig.invite(), "INVITE")
    rig.engine.mood = "gone"
    ok = only(rig.udp(reply(invite, 200, headers=TYPE, body=answer_sdp()), BOB), "200")
    assert ok.message.body == answer_sdp()
    assert what(rig.wait(0.1)).count("BYE") == 2
    assert any("hung up" in str(event) for event in rig.events if isinstance(event, CallUnrelayed))


def test_bye_at_a_dead_relay() -> None:
    """RFC 3261 15: a BYE waits for no relay."""
    rig = MediaRig()
    rig.answered()
    rig.engine.mood = "silent"
    start = rig.now
    bye = only(rig.within("BYE", cseq=2), "BYE")
    only(rig.udp(reply(bye, 200), BOB), "200")
    assert rig.now == start


@pytest.mark.parametrize("rides", [True, False])
def test_removed_while_it_is_asked(rides: bool) -> None:
    """An operator takes a dead relay out of the file: calls that wait for it go to another one."""
    rig = two("silent", "silent")
    if not rides:
        rig.stack.reception.openings = rig.stack.reception.passages = None
    rig.invite()
    own = next(at for at in rig.relays if rig.relays[at].commands)
    other = next(at for at in rig.relays if at != own)
    rig.relays[other].mood = "good"
    rig.media.configure(settings((other, Engine)), rig.now)
    invite = only([one for one in rig.wait(1.2) if one.to == BOB], "INVITE")
    assert rig.relays[other].host.encode() in invite.message.body
