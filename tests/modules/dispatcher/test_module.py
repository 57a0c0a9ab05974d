"""Requests go to a group of servers: which one gets each, and how many it may have. On a virtual clock."""

from __future__ import annotations

from collections import Counter

from sansip.module import Use
from sansip.modules.calls import Calls
from sansip.modules.dispatcher import Dispatcher
from sansip.routing import IncomingRequest, sleep
from sansip.testing import check_module
from tests.modules.dispatcher.farm import GATEWAYS, Farm, call, refused, settings
from tests.rig import ALICE, only, reply, request, what


def test_contract() -> None:
    """The contract of every module."""
    check_module(Dispatcher, settings(takes="nothing"), [Use(Calls)])


def test_in_turn() -> None:
    """The host is the server's, the user is the number dialled; each server gets its share."""
    rig = Farm(settings(2, 1, 1))
    assert only(call(rig), "INVITE").message.uri_text == "sip:4711@192.0.2.21"
    counts = Counter(refused(rig, number) for number in range(1, 400))
    assert counts == {GATEWAYS[0]: 199, GATEWAYS[1]: 100, GATEWAYS[2]: 100}


def test_keep_uri() -> None:
    """The Request-URI stays, and a Route leads there (RFC 3261 16.6 step 6)."""
    rig = Farm(settings(keep_uri=True))
    invite = only(call(rig), "INVITE")
    assert (invite.message.uri_text, invite.to) == ("sip:4711@biloxi.test", GATEWAYS[0])
    assert invite.message.values("route") == ["<sip:192.0.2.21;lr>"]


def test_sticky() -> None:
    """Requests with one key stay with one destination; the key may be any text of a route."""

    async def route(asked: IncomingRequest, dispatcher: Dispatcher) -> None:
        await dispatcher.send(asked, algorithm="hash", key=asked.message.get("X-Customer") or "")

    rig = Farm(settings(), route)
    places = set()
    for number in range(20):
        names = {"branch": f"z9hG4bKc{number}", "from_tag": f"t{number}", "call_id": f"call{number}"}
        data = request(uri="sip:1@biloxi.test", headers=[("X-Customer", "acme")], **names)
        places.add(only(rig.udp(data), "INVITE").to)
    assert len(places) == 1


def test_fewest_calls_and_limits() -> None:
    """Calls are counted by their records. A full destination is passed over until a call ends."""
    rig = Farm(settings(max_calls=2, algorithm="least-calls"))
    invites = [only(call(rig, number), "INVITE") for number in range(6)]
    assert Counter(out.to for out in invites) == dict.fromkeys(GATEWAYS, 2)
    assert what(call(rig, 7)) == ["503"]
    assert "max_calls" in rig.command("dispatcher.explain", call_id="call7")["passed_over"][0]["outcome"]
    rig.udp(reply(invites[3], 486), invites[3].to)
    assert only(call(rig, 8), "INVITE").to == invites[3].to


def test_parallel() -> None:
    """The module asks all destinations at once, and does not count the calls of those that lost."""
    rig = Farm(settings(algorithm="parallel"))
    invites = [out for out in call(rig) if out.what == "INVITE"]
    assert [out.to for out in invites] == GATEWAYS
    outs = rig.udp(reply(invites[1], 200), GATEWAYS[1])
    assert [out.what for out in outs if out.to == ALICE] == ["200"]
    assert [row["calls"] for row in rig.command("dispatcher.list")] == [0, 1, 0]


def test_cancelled_while_a_route_waits() -> None:
    """No call, no count, nothing sent."""

    async def route(asked: IncomingRequest, dispatcher: Dispatcher) -> None:
        await sleep(0.1)
        await dispatcher.send(asked)

    rig = Farm(settings(max_calls=1), route)
    for number in range(3):
        assert "INVITE" not in what(call(rig, number))
        names = {"branch": f"z9hG4bKc{number}", "from_tag": f"t{number}", "call_id": f"call{number}"}
        rig.udp(request("CANCEL", "sip:4711@biloxi.test", to="<sip:4711@biloxi.test>", **names))
    rig.wait(1)
    assert "INVITE" not in what(rig.log)
    assert [row["calls"] for row in rig.command("dispatcher.list")] == [0, 0, 0]


def test_parallel_with_routes() -> None:
    """All targets have one URI then; the loser's call is not counted all the same."""
    rig = Farm(settings(algorithm="parallel", keep_uri=True))
    invites = [out for out in call(rig) if out.what == "INVITE"]
    rig.udp(reply(invites[1], 200), GATEWAYS[1])
    assert [row["calls"] for row in rig.command("dispatcher.list")] == [0, 1, 0]
