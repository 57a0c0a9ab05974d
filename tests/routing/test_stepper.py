"""Routes run: plain functions, and coroutines stepped by answers."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.later import Later
from sansip.routing import ask
from tests.rig import ALICE, BOB, BOB_URI, Rig, request, sent, what


def test_a_plain_function() -> None:
    """It runs to its end at once."""
    assert sent(Rig(lambda incoming: incoming.reply(486)).udp(request())) == [("486", ALICE)]


@pytest.mark.parametrize("value", ["relay", 42, ["x"]])
def test_what_a_plain_function_returns_says_nothing(value: Any) -> None:
    """``return request.relay(...)`` is a common form; its value is no coroutine."""

    def route(incoming: Any) -> Any:
        relayed = incoming.relay(BOB_URI)
        return relayed if value == "relay" else value

    rig = Rig(route)
    assert sent(rig.udp(request())) == [("100", ALICE), ("INVITE", BOB)]
    assert rig.events == []


def test_a_coroutine_without_an_await() -> None:
    """It acts as a plain function: there is no 100, for the answer is there at once."""

    async def route(incoming: Any) -> None:
        incoming.reply(486)

    assert what(Rig(route).udp(request())) == ["486"]


def test_ask() -> None:
    """The answer is the value of the await; any number of questions, in order."""

    async def route(incoming: Any) -> None:
        first = await ask(("who", incoming.uri.user))
        second = await ask(("where", first))
        incoming.reply(302, None, [("Contact", f"<sip:{second}>")])

    rig = Rig(route)
    assert what(rig.udp(request())) == []
    assert rig.asks[0].question == ("who", "bob")
    assert rig.answer("Robert") == []
    assert rig.asks[0].question == ("where", "Robert")
    (out,) = rig.answer("paris.test")
    assert (out.what, out.message.get("contact")) == ("302", "<sip:paris.test>")


def test_questions_of_many_requests_do_not_mix() -> None:
    """Each answer goes to the request that asked, in whatever order they come."""

    async def route(incoming: Any) -> None:
        incoming.reply(480, await ask(incoming.message.call_id))

    rig = Rig(route)
    for number in range(3):
        rig.udp(request(branch=f"z9hG4bK{number}", call_id=f"call{number}"))
    for one in reversed(rig.asks):
        (out,) = rig.answer(f"Answer to {one.question}", one)
        assert out.message.reason == f"Answer to {out.message.call_id}"


def test_a_failed_answer_is_raised_by_the_await() -> None:
    """An exception given to ``Stack.answer``."""

    async def route(incoming: Any) -> None:
        try:
            await ask("database")
        except OSError as error:
            incoming.reply(500, f"Sorry {error}")

    rig = Rig(route)
    rig.udp(request())
    assert rig.answer(OSError("disk full"))[0].message.reason == "Sorry disk full"


def test_no_answer_in_time() -> None:
    """limits.answer_time: the await raises a TimeoutError; a late answer is dropped."""

    async def route(incoming: Any) -> None:
        try:
            await ask("database")
        except TimeoutError:
            incoming.reply(504)

    rig = Rig(route)
    rig.udp(request())
    assert what(rig.wait(10)) == ["100", "504"]
    assert rig.answer("too late") == []


def test_a_value_that_comes_later() -> None:
    """An answer of the network is awaited as any other, and the await raises an exception."""
    later: Later[str] = Later()
    failing: Later[str] = Later()

    async def route(incoming: Any) -> None:
        user = await later
        try:
            await failing
        except TimeoutError:
            incoming.reply(302, None, [("Contact", f"<sip:{user}@paris.test>")])

    rig = Rig(route)
    assert what(rig.udp(request())) == []
    with pytest.raises(LookupError):
        _ = later.value
    later.set("carol", rig.now)
    later.set("not she", rig.now)
    assert later.value == "carol"
    failing.set(TimeoutError(), rig.now)
    assert what(rig.wait(0.3)) == ["302"]
