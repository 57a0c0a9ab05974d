"""Which servers are alive, by OPTIONS and by what becomes of calls. On a virtual clock."""

from __future__ import annotations

import pytest

from sansip.auth import AuthConfig
from sansip.modules.dispatcher import Dispatcher
from sansip.modules.dispatcher.events import MemberChanged
from sansip.routing import IncomingRequest
from tests.modules.dispatcher.farm import GATEWAYS, URIS, Farm, call, probed, refused, settings, states
from tests.rig import only, reply


def test_retry_after() -> None:
    """RFC 3261 21.5.4: it gets nothing for so long."""
    rig = Farm(settings())
    first = only(call(rig), "INVITE")
    rig.udp(reply(first, 503, headers=[("Retry-After", "100 (busy);duration=5")]), GATEWAYS[0])
    seen = {only(call(rig, number), "INVITE").to for number in range(1, 20)}
    assert seen == set(GATEWAYS[1:])
    rig.wait(101)
    assert GATEWAYS[0] in {only(call(rig, number), "INVITE").to for number in range(20, 30)}


@pytest.mark.parametrize("status", [200, 401, 404, 405, 481])
def test_alive(status: int) -> None:
    """Any answer but those of ``not_alive``: it speaks SIP and has time for it."""
    rig = Farm(settings(probe_interval=1.0))
    probed(rig, dict.fromkeys(GATEWAYS, status), 20)
    assert states(rig) == ["up"] * 3
    assert rig.command("dispatcher.list")[0]["latency"] == pytest.approx(0.02)


def test_down_and_up() -> None:
    """Silent or 503 twice: out, told once. Answered twice: back."""
    rig = Farm(settings(probe_interval=1.0, probe_timeout=0.5))
    alive = dict.fromkeys(GATEWAYS, 200)
    probed(rig, {GATEWAYS[0]: 503, GATEWAYS[2]: 200}, 8)
    assert states(rig) == ["down", "down", "up"]
    assert {refused(rig, number) for number in range(6)} == {GATEWAYS[2]}
    probed(rig, alive, 4)
    assert states(rig) == ["up"] * 3
    told = [(event.uri, event.state) for event in rig.events if isinstance(event, MemberChanged)]
    assert sorted(told) == sorted([(uri, state) for uri in URIS[:2] for state in ("down", "up")])


def test_a_failed_call_marks_at_once() -> None:
    """Others are tried first from then on; an OPTIONS decides at once, and later ones bring it back."""
    rig = Farm(settings(probe_interval=5.0))
    first = only(call(rig), "INVITE")
    outs = rig.failed(first)
    asked = only(outs, "OPTIONS")
    assert (asked.to, asked.time, states(rig)[0]) == (GATEWAYS[0], rig.now, "suspected")
    assert {refused(rig, number) for number in range(1, 9)} == set(GATEWAYS[1:])
    rig.failed(asked)
    assert states(rig)[0] == "down"
    probed(rig, dict.fromkeys(GATEWAYS, 200), 12)
    assert states(rig)[0] == "up"


def test_a_number_that_is_dropped() -> None:
    """A caller may dial a number that the server drops: the server stays in for all other callers."""
    rig = Farm(settings(probe_interval=5.0, algorithm="priority"))
    for number in range(5):
        first = only(call(rig, number), "INVITE")
        assert first.to == GATEWAYS[0], number
        outs = rig.wait(2.0)
        second = next(out for out in outs if out.what == "INVITE" and out.to != GATEWAYS[0])
        rig.udp(reply(second, 486), second.to)
        asked = next(out for out in outs if out.what == "OPTIONS" and out.to == GATEWAYS[0])
        rig.udp(reply(asked, 200), asked.to)
        assert states(rig)[0] == "up"
    told = [event for event in rig.events if isinstance(event, MemberChanged)]
    assert [event for event in told if event.uri == URIS[0]] == []


def test_all_are_suspected() -> None:
    """A call goes to a server that may be dead before the caller hears that there is none."""
    rig = Farm(settings(1))
    assert only(call(rig), "INVITE").to == GATEWAYS[0]
    rig.wait(2.0)
    assert states(rig) == ["suspected"]
    assert only(call(rig, 1), "INVITE").to == GATEWAYS[0]
    # No OPTIONS are asked for (``probe_interval`` is 0), so nothing would bring it back from "down".
    rig.wait(2.0)
    assert states(rig) == ["resting"]


def test_answered_calls_are_no_failures() -> None:
    """Five failures count in a row only: calls that are answered between them begin the row anew."""
    rig = Farm(settings(1))
    for number in range(12):
        invite = only(call(rig, number, source=(f"198.51.100.{number}", 5060)), "INVITE")
        rig.udp(reply(invite, 200 if number % 4 == 3 else 500), invite.to)
    assert states(rig) == ["up"]
    for number in range(12, 17):
        invite = only(call(rig, number, source=(f"198.51.100.{number}", 5060)), "INVITE")
        rig.udp(reply(invite, 500), invite.to)
    assert states(rig) == ["resting"]


def test_a_number_that_makes_gateways_say_503() -> None:
    """RFC 3261 21.5.4: without Retry-After a 503 counts as a 500, so one caller takes no gateway out."""
    rig = Farm(settings())
    invite = only(call(rig), "INVITE")
    for _ in range(3):
        outs = rig.udp(reply(invite, 503), invite.to)
        invite = next((out for out in outs if out.what == "INVITE"), invite)
    assert states(rig) == ["up"] * 3


def test_probes_are_planned_once() -> None:
    """A reload that turns OPTIONS off and on leaves one timer."""
    rig = Farm(settings(probe_interval=1.0))
    for interval in (0.0, 1.0, 0.0, 1.0):
        rig.dispatcher.configure(settings(probe_interval=interval), rig.now)
    probed(rig, dict.fromkeys(GATEWAYS, 200), 10)
    asked = [out for out in rig.log if out.what == "OPTIONS" and out.to == GATEWAYS[0]]
    assert 8 <= len(asked) <= 12


def test_one_user_by_several_names() -> None:
    """A user may call from each name of this server, and is one caller all the same: no gateway rests."""

    async def route(asked: IncomingRequest, dispatcher: Dispatcher) -> None:
        asked.authenticated = True
        await dispatcher.send(asked)

    rig = Farm(settings(1, eject_after=2), route, auth=AuthConfig())
    for number, host in enumerate(("biloxi.test", "192.0.2.10", "192.0.2.10:5060", "Biloxi.test.")):
        invite = only(call(rig, number, sender=f"<sip:al%69ce@{host}>"), "INVITE")
        rig.udp(reply(invite, 500), invite.to)
    assert states(rig) == ["up"]
