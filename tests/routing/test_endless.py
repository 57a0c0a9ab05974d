"""Routes that would await for ever come to an end, and long ones are none of them."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.auth import AuthConfig
from sansip.errors import LocalProtocolError
from sansip.later import Later
from sansip.routing import ask
from tests.rig import BOB, BOB_URI, Rig, only, reply, request, what


def test_a_route_without_an_end() -> None:
    """limits.route_steps."""

    async def route(incoming: Any) -> None:
        while True:
            await ask("again")

    rig = Rig(route, limits={"route_steps": 10})
    rig.udp(request())
    answered = 0
    while rig.asks:
        rig.answer("again")
        answered += 1
    assert answered == 10
    assert what(rig.log)[-1] == "500"
    assert "limits.route_steps" in str(rig.events[0].error)


async def _locates(incoming: Any) -> None:
    await incoming.locate()


async def _registers(incoming: Any) -> None:
    await incoming.register()


async def _authenticates(incoming: Any) -> None:
    await incoming.authenticate()


async def _relays(incoming: Any) -> None:
    # No listener speaks TLS: it fails at once.
    await incoming.relay("sip:bob@192.0.2.2;transport=tls")


ANSWERED = {_locates: "500", _registers: "200", _authenticates: "401", _relays: "500"}


# A coroutine that cannot be closed is thrown away by Python with a warning.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("step", list(ANSWERED))
@pytest.mark.parametrize("caught", [LocalProtocolError, Exception, BaseException])
def test_answers_from_memory_are_steps_too(step: Any, caught: type[BaseException]) -> None:
    """No question leaves the route, so the step itself counts; what the route catches does not help it."""

    async def route(incoming: Any) -> None:
        while True:
            try:
                await step(incoming)
            except caught:
                pass

    rig = Rig(route, auth=AuthConfig())
    for number in range(2):  # others are served
        outs = rig.udp(request("REGISTER", branch=f"z9hG4bK{number}", call_id=f"call{number}"))
        assert what(outs) == [ANSWERED[step]]
        error = rig.events[-1].error
        assert str(error).startswith("the route awaits without end (limits.route_steps = 1000): in ")
        assert __file__ in str(error)


def test_a_route_without_an_end_is_named() -> None:
    """The operator reads which line to mend, in a helper of the route as well."""

    async def helper(incoming: Any) -> None:
        while True:
            await incoming.locate()

    async def route(incoming: Any) -> None:
        await helper(incoming)

    rig = Rig(route)
    assert what(rig.udp(request())) == ["500"]
    line = helper.__code__.co_firstlineno + 2
    assert str(rig.events[0].error).endswith(f": in helper of {__file__}, line {line}")


def test_a_look_up_for_each_of_many_is_not_endless() -> None:
    """A ring group of some hundred users is no runaway."""

    async def route(incoming: Any) -> None:
        for _ in range(500):
            await incoming.locate()
        incoming.reply(480)

    rig = Rig(route)
    assert what(rig.udp(request())) == ["480"]
    assert rig.events == []


def test_answers_that_are_there_at_once_do_not_pile_up() -> None:
    """A thousand answers out of a cache one after another: no RecursionError, and the bound holds."""

    async def route(incoming: Any) -> None:
        while True:
            try:
                await ask("again")
            except LocalProtocolError:
                pass

    # No question may be open, so each is refused while it is put.
    rig = Rig(route, limits={"questions": 0})
    assert what(rig.udp(request())) == ["500"]
    assert "limits.route_steps" in str(rig.events[0].error)


@pytest.mark.parametrize("uri", ["sip:bob@192.0.2.2;transport=tls", BOB_URI])
def test_relaying_for_ever(uri: str) -> None:
    """limits.branches: a route that tries until something works comes to an end, with a 500 and an event."""

    async def route(incoming: Any) -> None:
        while await incoming.relay(uri) is not None:
            pass

    rig = Rig(route, limits={"branches": 5})
    outs = rig.udp(request())
    tried = 0
    while any(out.what == "INVITE" for out in outs):
        tried += 1
        outs = rig.udp(reply(only(outs, "INVITE"), 486), BOB)
    assert tried == (5 if uri == BOB_URI else 0)
    assert what(outs)[-1] == "500"
    assert "limits.branches" in str(rig.events[-1].error)


def test_one_that_is_there_already_is_a_step() -> None:
    """Otherwise a loop over answers out of memory would never end: limits.route_steps."""
    there: Later[str] = Later()
    there.set("x", 0.0)

    async def route(incoming: Any) -> None:
        while True:
            assert await there == "x"

    rig = Rig(route, limits={"route_steps": 10})
    assert what(rig.udp(request())) == ["500"]
    assert "limits.route_steps" in str(rig.events[0].error)


def test_waiting_for_the_network_is_no_step() -> None:
    """A call of hours has more events than a route has steps."""
    waits: list[Later[None]] = []

    async def route(incoming: Any) -> None:
        for _ in range(50):
            waits.append(Later())
            await waits[-1]
        incoming.reply(486)

    rig = Rig(route, limits={"route_steps": 10})
    rig.udp(request())
    while len(waits) < 50:
        waits[-1].set(None, rig.now)
    waits[-1].set(None, rig.now)
    assert what(rig.wait(1)) == ["486"]
