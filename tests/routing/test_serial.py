"""``await relay()``: a route that hears of a failure tries the next target (serial forking)."""

from __future__ import annotations

from typing import Any

from sansip.routing import ask
from tests.rig import ALICE, BOB, BOB_URI, CAROL_URI, Rig, only, reply, request, sent, what, within


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
