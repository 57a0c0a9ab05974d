"""Routes that fail: the caller gets one answer, the author of the route an event."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.errors import LocalProtocolError
from sansip.events import RouteFailed
from sansip.routing import ask
from tests.rig import ALICE, BOB, BOB_URI, Rig, only, reply, request, sent, what


@pytest.mark.parametrize("method", ["INVITE", "OPTIONS"])
def test_an_exception_is_a_500(method: str) -> None:
    """The event has the exception, for the author of the route."""

    def route(incoming: Any) -> None:
        raise ZeroDivisionError("oops")

    rig = Rig(route)
    assert sent(rig.udp(request(method))) == [("500", ALICE)]
    (event,) = rig.events
    assert isinstance(event, RouteFailed)
    assert isinstance(event.error, ZeroDivisionError)
    assert (event.method, event.uri) == (method, "sip:bob@biloxi.test")


def test_an_exception_after_an_await() -> None:
    """The same from a coroutine."""

    async def route(incoming: Any) -> None:
        await ask("who")
        raise ZeroDivisionError

    rig = Rig(route)
    rig.udp(request())
    assert what(rig.answer(1)) == ["500"]


def test_an_exception_after_relaying() -> None:
    """The caller hears 500, and the phones that were rung stop ringing."""

    def route(incoming: Any) -> None:
        incoming.relay(BOB_URI)
        raise ZeroDivisionError

    rig = Rig(route)
    outs = rig.udp(request())
    assert what(outs) == ["100", "INVITE", "500"]
    assert what(rig.udp(reply(only(outs, "INVITE"), 180), BOB)) == ["CANCEL"]


def test_an_exception_after_the_answer_changes_nothing() -> None:
    """One final answer."""

    def route(incoming: Any) -> None:
        incoming.reply(486)
        raise ZeroDivisionError

    assert what(Rig(route).udp(request())) == ["486"]


def test_an_exception_for_an_ack() -> None:
    """An ACK never gets an answer."""

    def route(incoming: Any) -> None:
        raise ZeroDivisionError

    assert Rig(route).udp(request("ACK")) == []


@pytest.mark.parametrize("method", ["INVITE", "OPTIONS"])
def test_deciding_nothing_is_a_500(method: str) -> None:
    """Or the caller would wait for a case that was forgotten."""
    rig = Rig(lambda incoming: None)
    assert what(rig.udp(request(method))) == ["500"]
    assert isinstance(rig.events[0].error, LocalProtocolError)


def test_deciding_nothing_about_an_ack() -> None:
    """An ACK without a dialog has no right answer."""
    rig = Rig(lambda incoming: None)
    assert rig.udp(request("ACK")) == []
    assert rig.events == []


def test_a_malformed_field_that_the_route_reads_is_the_senders_mistake() -> None:
    """8.2.1: 400, not 500, and no event: there is nothing to mend here."""

    def route(incoming: Any) -> None:
        assert incoming.message.contacts
        incoming.reply(200)

    rig = Rig(route)
    assert what(rig.udp(request(headers=[("Contact", "<nonsense")]))) == ["400"]
    assert rig.events == []


def test_a_malformed_target_is_the_routes_mistake() -> None:
    """500, and the event names it."""
    rig = Rig(lambda incoming: incoming.relay("not a uri"))
    assert what(rig.udp(request())) == ["500"]
    assert isinstance(rig.events[0].error, LocalProtocolError)


def test_no_target_at_all() -> None:
    """The same for an empty list, which the route did not check."""
    rig = Rig(lambda incoming: incoming.relay([]))
    assert what(rig.udp(request())) == ["500"]


def test_what_no_event_loop_is_there_for() -> None:
    """Awaiting something of asyncio is a mistake that says what to use instead."""

    class Other:
        def __await__(self) -> Any:
            yield "asyncio.Future"

    async def route(incoming: Any) -> None:
        await Other()

    rig = Rig(route)
    assert what(rig.udp(request())) == ["500"]
    assert "sansip.routing.ask" in str(rig.events[0].error)
