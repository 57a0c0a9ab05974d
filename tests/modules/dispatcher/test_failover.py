"""Past a server that fails the next one gets the request, and one answer comes back. On a virtual clock."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.modules.dispatcher import Destination, Dispatcher, DispatcherSettings
from sansip.routing import IncomingRequest
from tests.modules.dispatcher.farm import GATEWAYS, URIS, Farm, call, settings, states
from tests.rig import ALICE, only, reply, request, what


def test_a_firewall_that_drops_tcp() -> None:
    """RFC 3261 18.1.1: a large INVITE reaches the gateway by UDP, and the gateway is not held for dead."""
    rig = Farm(settings(1))
    connect = only(call(rig, body=b"x" * 1300), "Connect")
    assert connect.to == GATEWAYS[0]
    invite = only(rig.wait(1.2), "INVITE")
    assert invite.to == GATEWAYS[0]
    rig.udp(reply(invite, 200), invite.to)
    (member,) = rig.command("dispatcher.list")
    assert member["state"] == "up", member


@pytest.mark.parametrize(
    ("said", "state"),
    [
        (503, "up"),
        (500, "up"),
        ("silence", "suspected"),
        ("refused", "suspected"),
    ],
)
def test_failover(said: Any, state: str) -> None:
    """The next one gets the call in the same transaction, and the caller hears nothing of it."""
    rig = Farm(settings())
    first = only(call(rig), "INVITE")
    if said == "silence":
        outs = rig.wait(2.0)
        assert rig.now - first.time <= 2.0
    elif said == "refused":
        # RFC 3261 8.1.3.1: ICMP is a 503 at once.
        outs = rig.failed(first)
    else:
        outs = rig.udp(reply(first, said), GATEWAYS[0])
    second = next(out for out in outs if out.what == "INVITE" and out.to == GATEWAYS[1])
    assert second.message.uri_text == "sip:4711@192.0.2.22"
    assert not [out for out in outs if out.to == ALICE]
    answered = rig.udp(reply(second, 200), GATEWAYS[1])
    assert [out.what for out in answered if out.to == ALICE] == ["200"]
    assert rig.command("dispatcher.list")[0]["state"] == state
    explained = rig.command("dispatcher.explain", call_id="call0")
    assert [step["uri"] for step in explained["tried"]] == URIS[:2]


def test_a_busy_phone_is_no_failure() -> None:
    """486 and 603 are answers: they go back, and no other destination is asked."""
    for status in (404, 486, 603):
        rig = Farm(settings())
        first = only(call(rig), "INVITE")
        outs = rig.udp(reply(first, status), GATEWAYS[0])
        assert [out.what for out in outs if out.to == ALICE] == [str(status)]
        assert rig.command("dispatcher.list")[0]["state"] == "up"


def test_a_408_from_behind() -> None:
    """A gateway that says 408 lives: the call goes on elsewhere, and the gateway stays in."""
    rig = Farm(settings())
    first = only(call(rig), "INVITE")
    outs = rig.udp(reply(first, 408), GATEWAYS[0])
    assert only(outs, "INVITE").to == GATEWAYS[1]
    assert rig.command("dispatcher.list")[0]["state"] == "up"


def test_nobody_answers() -> None:
    """Each is asked once; then the best failure goes back, and the next caller hears 503 at once."""
    rig = Farm(settings())
    call(rig)
    outs = rig.wait(10)
    assert sorted({out.to for out in rig.log if out.what == "INVITE"}) == GATEWAYS
    assert {out.what for out in outs if out.to == ALICE} == {"408"}
    (refusal,) = call(rig, 1)
    assert (refusal.what, refusal.message.get("retry-after")) == ("503", "10")
    assert "default" in rig.dispatcher.health()


def test_cancelled() -> None:
    """RFC 3261 16.10: no further destination is asked after a CANCEL."""
    rig = Farm(settings())
    first = only(call(rig), "INVITE")
    rig.udp(reply(first, 180), GATEWAYS[0])
    names = {"branch": "z9hG4bKc0", "from_tag": "t0", "call_id": "call0"}
    outs = rig.udp(request("CANCEL", "sip:4711@biloxi.test", to="<sip:4711@biloxi.test>", **names))
    assert only(outs, "CANCEL").to == GATEWAYS[0]
    outs = rig.udp(reply(first, 487), GATEWAYS[0])
    assert "INVITE" not in what(outs)
    assert "INVITE" not in what(rig.wait(60))


def test_a_slow_answer_to_a_message() -> None:
    """RFC 4320 4.1: no 100 comes early, so no destination is passed over, and nothing is delivered twice."""
    rig = Farm(settings())
    first = only(rig.udp(request("MESSAGE", "sip:4711@biloxi.test", body=b"hi")), "MESSAGE")
    outs = rig.wait(6)
    assert {out.to for out in outs if out.what == "MESSAGE"} <= {first.to}
    assert "200" in what(rig.udp(reply(first, 200), first.to))
    # Silence for good is the phone's behind it, maybe.
    only(rig.udp(request("MESSAGE", "sip:1@biloxi.test", branch="z9hG4bKm2", call_id="m2")), "MESSAGE")
    outs = rig.wait(40)
    assert len({out.to for out in outs if out.what == "MESSAGE"}) == 1
    assert states(rig) == ["up"] * 3


def test_two_groups_with_one_server() -> None:
    """Each server is asked once, whatever groups a route tries."""

    async def route(request: IncomingRequest, dispatcher: Dispatcher) -> None:
        request.record_route()
        if not await dispatcher.send(request, "a") and not await dispatcher.send(request, "b"):
            request.reply(503)

    table = [Destination(URIS[0], "a"), Destination(URIS[0], "b"), Destination(URIS[1], "b")]
    rig = Farm(DispatcherSettings(table, probe_interval=0.0, takes="nothing"), route)
    first = only(call(rig), "INVITE")
    second = only(rig.udp(reply(first, 500), GATEWAYS[0]), "INVITE")
    assert second.to == GATEWAYS[1]
    assert "503" in what(rig.udp(reply(second, 500), GATEWAYS[1])) or rig.log[-1].what == "500"
    assert [out.to for out in rig.log if out.what == "INVITE"] == GATEWAYS[:2]
