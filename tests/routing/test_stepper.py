"""Routes run: plain functions, coroutines stepped by answers, and their failures."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.auth import AuthConfig
from sansip.errors import LocalProtocolError
from sansip.events import RouteFailed
from sansip.later import Later
from sansip.routing import ask
from tests.rig import ALICE, BOB, BOB_URI, CAROL_URI, Rig, only, reply, request, sent, what, within


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


# --- 100


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


# --- await relay: serial forking by the route


async def voicemail(incoming: Any) -> None:
    """Bob, and if he does not answer, Carol."""
    incoming.record_route()
    failure = await incoming.relay(BOB_URI)
    if failure is not None and failure.status in (408, 480, 486, 500):
        await incoming.relay(CAROL_URI)


def test_await_relay() -> None:
    """The best failure comes back to the route instead of going to the caller."""
    rig = Rig(voicemail)
    bob = only(rig.udp(request()), "INVITE")
    outs = rig.udp(reply(bob, 486), BOB)
    assert what(outs) == ["ACK", "INVITE"]
    carol = only(outs, "INVITE")
    assert carol.message.uri_text == CAROL_URI
    assert sent(rig.udp(reply(carol, 200), carol.to)) == [("200", ALICE)]


def test_the_last_failure_goes_back() -> None:
    """The last failure is the answer where the route decides nothing."""
    rig = Rig(voicemail)
    bob = only(rig.udp(request()), "INVITE")
    carol = only(rig.udp(reply(bob, 486), BOB), "INVITE")
    assert what(rig.udp(reply(carol, 404), carol.to)) == ["ACK", "404"]


def test_a_failure_that_the_route_does_not_mend_goes_back() -> None:
    """Returning without a decision sends it as it is."""
    rig = Rig(voicemail)
    bob = only(rig.udp(request()), "INVITE")
    assert what(rig.udp(reply(bob, 603), BOB)) == ["ACK", "603"]


def test_success_is_the_response() -> None:
    """The 2xx has gone back already; the route may still do its book-keeping."""
    seen: list[Any] = []

    async def route(incoming: Any) -> None:
        seen.append(await incoming.relay(BOB_URI))

    rig = Rig(route)
    bob = only(rig.udp(request()), "INVITE")
    assert what(rig.udp(reply(bob, 200), BOB)) == ["200"]
    assert [outcome.status for outcome in seen] == [200]


def test_reply_instead_of_the_failure() -> None:
    """The route may answer with something else."""

    async def route(incoming: Any) -> None:
        if await incoming.relay(BOB_URI):
            incoming.reply(480, "Nobody Home")

    rig = Rig(route)
    bob = only(rig.udp(request()), "INVITE")
    outs = rig.udp(reply(bob, 486), BOB)
    assert what(outs) == ["ACK", "480"]
    assert outs[1].message.reason == "Nobody Home"


def test_a_failure_that_is_there_at_once() -> None:
    """No listener speaks TLS: the route hears of it all the same."""

    async def route(incoming: Any) -> None:
        failure = await incoming.relay("sip:bob@192.0.2.2;transport=tls")
        if failure is not None:
            await incoming.relay(CAROL_URI)

    assert what(Rig(route).udp(request())) == ["100", "INVITE"]


def test_a_failure_that_is_there_at_once_and_not_awaited() -> None:
    """It goes back by itself."""
    rig = Rig(lambda incoming: incoming.relay("sip:bob@192.0.2.2;transport=tls"))
    assert what(rig.udp(request())) == ["100", "500"]


def test_a_question_between_two_relays() -> None:
    """The failure waits as long as the route does."""

    async def route(incoming: Any) -> None:
        failure = await incoming.relay(BOB_URI)
        if failure and await ask("voicemail on?"):
            await incoming.relay(CAROL_URI)

    for answer, outcome in ((True, ["INVITE"]), (False, ["486"])):
        rig = Rig(route)
        bob = only(rig.udp(request()), "INVITE")
        assert what(rig.udp(reply(bob, 486), BOB)) == ["ACK"]
        assert what(rig.answer(answer)) == outcome


def test_an_exception_after_the_failure() -> None:
    """500: the route was in charge of the failure."""

    async def route(incoming: Any) -> None:
        await incoming.relay(BOB_URI)
        raise ZeroDivisionError

    rig = Rig(route)
    bob = only(rig.udp(request()), "INVITE")
    assert what(rig.udp(reply(bob, 486), BOB)) == ["ACK", "500"]


def test_each_relay_makes_new_branches() -> None:
    """16.6 step 8, and one hop less, once."""
    rig = Rig(voicemail)
    bob = only(rig.udp(request()), "INVITE")
    carol = only(rig.udp(reply(bob, 486), BOB), "INVITE")
    assert bob.message.via.branch != carol.message.via.branch
    assert carol.message.max_forwards == 69
    assert len(carol.message.get_all("via")) == 2
    assert len(carol.message.get_all("record-route")) == 1


def test_a_caller_who_cancels() -> None:
    """9.2: the caller gets a 487, and the route goes on behind it, sees the failure, and decides nothing."""
    seen: list[Any] = []

    async def route(incoming: Any) -> None:
        failure = await incoming.relay(BOB_URI)
        seen.append((failure.status, incoming.cancelled))
        again = await incoming.relay(CAROL_URI)
        incoming.reply(480)
        seen.append(again)

    rig = Rig(route)
    data = request()
    bob = only(rig.udp(data), "INVITE")
    rig.udp(reply(bob, 180), BOB)
    rig.udp(within(data, "CANCEL"))
    assert what(rig.udp(reply(bob, 487), BOB)) == ["ACK", "487"]
    assert seen == [(487, True), None]


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


# --- Later


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
