"""A 100 while a route waits, and none where it is quick."""

from __future__ import annotations

from typing import Any

from sansip.routing import ask
from tests.rig import BOB_URI, Rig, request, what


def test_an_invite_gets_a_100_while_the_route_waits() -> None:
    """17.2.1: unless an answer comes within 200 ms; once."""

    async def route(incoming: Any) -> None:
        await ask(1)
        await ask(2)
        incoming.relay(BOB_URI)

    rig = Rig(route)
    assert what(rig.udp(request())) == []
    assert what(rig.wait(0.19)) == []
    assert what(rig.wait(0.01)) == ["100"]
    assert rig.answer(0) == []
    assert what(rig.answer(0)) == ["INVITE"]
    assert "100" not in what(rig.wait(20))


def test_an_invite_gets_none_where_the_route_is_quick() -> None:
    """17.2.1, 8.2.7: a failure keeps no state where nothing was sent before it."""

    async def route(incoming: Any) -> None:
        await ask(1)
        incoming.reply(404)

    rig = Rig(route)
    assert what(rig.udp(request())) == []
    assert what(rig.answer(0)) == ["404"]
    assert what(rig.wait(40)) == []
    assert rig.empty


def test_a_non_invite_gets_it_later() -> None:
    """RFC 4320 4.1: after the time that Timer E takes to reach T2, and not before."""

    async def route(incoming: Any) -> None:
        await ask(1)
        await ask(2)
        incoming.reply(200)

    rig = Rig(route)
    rig.udp(request("MESSAGE"))
    assert what(rig.wait(2)) == []
    rig.answer(0)
    assert what(rig.wait(1.4)) == []
    assert what(rig.wait(0.1)) == ["100"]
    assert what(rig.wait(5)) == []
    assert what(rig.answer(0)) == ["200"]


def test_a_quick_non_invite_gets_none() -> None:
    async def route(incoming: Any) -> None:
        await ask(1)
        incoming.reply(200)

    rig = Rig(route)
    rig.udp(request("MESSAGE"))
    assert what(rig.answer(0)) == ["200"]
    assert what(rig.wait(40)) == []
    assert rig.empty
