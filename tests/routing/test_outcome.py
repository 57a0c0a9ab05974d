"""The outcome that ``await relay()`` gives, and how long a route lets phones ring."""

from __future__ import annotations

from typing import Any

from sansip.routing import ask
from tests.rig import ALICE, BOB, BOB_URI, CAROL, CAROL_URI, Out, Rig, only, reply, request, what


class Ringer:
    """A route that relays to Bob, then to Carol, with limits; ``seen`` are the outcomes."""

    def __init__(self, **limits: Any) -> None:
        self.limits = limits
        self.seen: list[int | None] = []

    async def __call__(self, incoming: Any) -> None:
        for target in (BOB_URI, CAROL_URI):
            outcome = await incoming.relay(target, **self.limits)
            self.seen.append(None if outcome is None else outcome.status)
            if outcome is None or outcome.status < 300 or incoming.cancelled:
                return


def ringing(**limits: Any) -> tuple[Rig, Ringer, Out]:
    route = Ringer(**limits)
    rig = Rig(lambda incoming: route(incoming))
    return rig, route, only(rig.udp(request()), "INVITE")


def test_the_outcome_is_the_response() -> None:
    """A 2xx has gone back already, a failure is the route's to decide on."""
    rig, route, bob = ringing()
    carol = only(rig.udp(reply(bob, 486), BOB), "INVITE")
    assert what(rig.udp(reply(carol, 200), CAROL)) == ["200"]
    assert route.seen == [486, 200]


def test_an_outcome_that_came_before_it_was_asked_for() -> None:
    """The route awaits something else first; the outcome of a call is kept only for a route that asks."""
    seen: list[Any] = []

    async def route(incoming: Any) -> None:
        relay = incoming.relay(BOB_URI)
        await ask("something else")
        seen.append(await relay)

    rig = Rig(route)
    bob = only(rig.udp(request()), "INVITE")
    rig.udp(reply(bob, 200), BOB)
    rig.answer("later")
    assert [one.status for one in seen] == [200]


def test_ring() -> None:
    """RFC 3261 9.1: what rings is cancelled, the route has its 408 at once, and goes on."""
    rig, route, bob = ringing(ring=20)
    rig.udp(reply(bob, 180), BOB)
    assert "INVITE" not in what(rig.wait(19.9))
    outs = rig.wait(0.2)
    assert sorted(what(outs)) == ["CANCEL", "INVITE"]
    assert route.seen == [408]
    cancel = only(outs, "CANCEL")
    rig.udp(reply(cancel, 200), BOB)
    # RFC 3261 17.1.1.3: the 487 that follows is acknowledged, and is no outcome.
    assert what(rig.udp(reply(bob, 487), BOB)) == ["ACK"]
    rig.udp(reply(only(outs, "INVITE"), 200), CAROL)
    assert route.seen == [408, 200]


def test_ring_out_of_everybody() -> None:
    """No phone is left: the 408 goes back."""
    rig, route, bob = ringing(ring=5)
    rig.udp(reply(bob, 180), BOB)
    carol = only(rig.wait(5.1), "INVITE")
    rig.udp(reply(carol, 180), CAROL)
    outs = rig.wait(5.1)
    assert [out.to for out in outs if out.what == "408"] == [ALICE]
    assert route.seen == [408, 408]


def test_a_cancel_that_crosses_the_answer() -> None:
    """RFC 3261 16.7 step 5: a 2xx always goes back, also of a branch that was given up."""
    rig, _, bob = ringing(ring=5)
    rig.udp(reply(bob, 180), BOB)
    carol = only(rig.wait(5.1), "INVITE")
    assert only(rig.udp(reply(bob, 200), BOB), "200").to == ALICE
    assert carol.to == CAROL


def test_a_branch_that_was_never_heard_of_is_cancelled_when_it_rings() -> None:
    """RFC 3261 9.1: a CANCEL waits for the first provisional response."""
    rig, route, bob = ringing(ring=5)
    outs = rig.wait(5.1)
    assert "CANCEL" not in what(outs)
    assert route.seen == [408]
    assert what(rig.udp(reply(bob, 180), BOB)) == ["CANCEL"]


def test_answer() -> None:
    """A target that sends nothing at all is passed over; a target that sent 100 may take its time."""
    rig, route, _ = ringing(answer=2)
    (carol,) = [out for out in rig.wait(2.1) if out.to == CAROL]
    assert route.seen == [408]
    rig.udp(reply(carol, 100), CAROL)
    assert "INVITE" not in what(rig.wait(30))
    rig.udp(reply(carol, 200), CAROL)
    assert route.seen == [408, 200]


def test_an_answer_ends_the_limits() -> None:
    """A call that stands is not touched by the time it was given to ring."""
    rig, route, bob = ringing(ring=5, answer=2)
    rig.udp(reply(bob, 200), BOB)
    assert "CANCEL" not in what(rig.wait(40))
    assert route.seen == [200]


def test_the_caller_gives_up_first() -> None:
    """RFC 3261 9.2: the caller gets the 487, and no further phone is called."""
    rig, route, bob = ringing(ring=5)
    rig.udp(reply(bob, 180), BOB)
    rig.udp(request("CANCEL"))
    outs = rig.udp(reply(bob, 487), BOB)
    assert "487" in what(outs)
    assert route.seen == [487]
    assert "INVITE" not in what(rig.wait(10))


def test_user_and_host() -> None:
    """The first questions of every route, for sip, sips and tel."""
    seen: list[tuple[str | None, str]] = []

    def route(incoming: Any) -> None:
        seen.append((incoming.user, incoming.host))
        incoming.drop()

    rig = Rig(route)
    for number, uri in enumerate(("sip:b%6fb@biloxi.test:5061", "sip:biloxi.test", "tel:+49-30-123")):
        rig.udp(request("MESSAGE", uri, branch=f"z9hG4bK{number}", call_id=str(number)))
    assert seen == [("bob", "biloxi.test"), (None, "biloxi.test"), ("+49-30-123", "")]
