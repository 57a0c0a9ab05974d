"""The route-set matrix (``tests/dialog/test_route_matrix.py``) over both legs of a bridge.

Towards the caller the bridge is the side that answered, towards the callee the side that asked; each leg has
a route set of its own, and nothing of one may get into the other. What must be written is the table of
``SHAPES``, with the proxies at the phones' addresses, so that what passes them arrives here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.dialog.test_route_matrix import SHAPES, Shape, expected, written
from tests.ua.phones import ANSWER, OFFER, SDP, Bench

ALICE, BOB = "sip:alice@192.0.2.1:5060", "sip:bob@192.0.2.2:5060"


def placed(shape: Shape, host: str) -> Shape:
    """Return ``shape`` with its proxies at ``host``, on UDP."""

    def at(text: str | None) -> Any:
        if text is None:
            return None
        for name in ("p1.atlanta.com", "p2.biloxi.com"):
            text = text.replace(name, host)
        return text.replace("transport=tcp", "transport=udp")

    sides = [(at(uri), tuple(at(one) for one in routes)) for uri, routes in (shape.alice, shape.bob)]
    recorded = tuple(at(one) for one in shape.recorded)
    return replace(shape, recorded=recorded, alice=sides[0], bob=sides[1])


async def route(request: Any) -> None:
    bridge = request.bridge(BOB)
    if bridge is not None:
        await bridge


class Legs:
    """A call through the bridge, and the messages that it wrote to each phone."""

    def __init__(self, near: Shape, far: Shape) -> None:
        self.near, self.far = placed(near, "192.0.2.1"), placed(far, "192.0.2.2")
        self.bench = Bench(route)
        self.alice, self.bob = self.bench.alice, self.bench.bob
        self.seen: set[tuple[str, str]] = set()

    def call(self, **options: Any) -> Any:
        recorded = [("Record-Route", one) for one in self.near.recorded]
        contact = [("Contact", f"<{ALICE}>")]
        self.bench.call(
            headers=[*recorded, *contact, ("Allow", "INVITE, ACK, BYE, UPDATE"), *options.pop("headers", [])]
        )
        return self.bob.expect("INVITE")

    def answer(self, invite: Any, status: int = 200, headers: Any = (), **options: Any) -> None:
        recorded = [("Record-Route", one) for one in self.far.recorded]
        fields = [*recorded, ("Contact", f"<{BOB}>"), ("Allow", "INVITE, ACK, BYE, UPDATE"), *headers]
        self.bob.reply(invite, status, None, fields, **options)

    def within(self, phone: Any, method: str, headers: Any = (), body: bytes = b"") -> None:
        """Send a request as it arrives at the bridge: the proxies have taken their Route values off."""
        contact = "sip:192.0.2.10:5060"
        phone.request(
            method, contact, headers, without=("Route",), body=body, in_dialog=method != "ACK" or None
        )

    def check(self, phone: Any, what: str) -> Any:
        """Take a request of the bridge and compare it with the table."""
        request = phone.expect(what, within=6)
        if phone is self.alice:
            wanted = expected(self.near, "bob", ALICE)
        else:
            wanted = expected(self.far, "alice", BOB)
        assert written(request) == wanted, what
        self.seen.add((phone.name, what))
        return request


PAIRS = [(near, SHAPES[-1 - at]) for at, near in enumerate(SHAPES)] + [(one, one) for one in SHAPES]


@pytest.mark.parametrize(("near", "far"), PAIRS, ids=lambda shape: shape.name)
def test_every_request_of_both_legs(near: Shape, far: Shape) -> None:
    """No phone can end a call by a BYE with the Route of the other leg."""
    legs = Legs(near, far)
    alice, bob = legs.alice, legs.bob
    invite = legs.call(headers=[("Supported", "100rel")])
    # The far leg is early: PRACK.
    legs.answer(invite, 183, [("Require", "100rel"), ("RSeq", "1"), SDP], body=ANSWER)
    bob.reply(legs.check(bob, "PRACK"), 200)
    progress = alice.expect("183")
    # RFC 3261 12.1.1: the caller gets back its own proxies, and none of the callee's.
    assert progress.get_all("record-route") == list(legs.near.recorded)
    legs.within(alice, "PRACK", [("RAck", f"{progress.get('rseq')} {progress.cseq.number} INVITE")])
    alice.expect("200")
    legs.answer(invite)
    legs.check(bob, "ACK")
    accepted = alice.expect("200")
    assert accepted.get_all("record-route") == list(legs.near.recorded)
    legs.within(alice, "ACK")
    # From either phone to the other one.
    for phone, other in ((alice, bob), (bob, alice)):
        legs.within(phone, "INVITE", [SDP], OFFER)
        other.reply(legs.check(other, "INVITE"), 200, None, [SDP], body=ANSWER, without=("Record-Route",))
        legs.check(other, "ACK")
        phone.expect("200")
        legs.within(phone, "ACK")
        legs.within(phone, "UPDATE", [SDP], OFFER)
        other.reply(legs.check(other, "UPDATE"), 200, None, [SDP], body=ANSWER)
        phone.expect("200")
        legs.within(phone, "INFO")
        other.reply(legs.check(other, "INFO"), 200)
        phone.expect("200")
    legs.within(alice, "BYE")
    alice.expect("200")
    bob.reply(legs.check(bob, "BYE"), 200)
    legs.bench.network.run(70)
    assert legs.bench.at_rest()
    assert legs.seen == {
        ("bob", "PRACK"),
        *((name, what) for name in ("alice", "bob") for what in ("INVITE", "ACK", "UPDATE", "INFO")),
        ("bob", "BYE"),
    }


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_the_callee_hangs_up(shape: Shape) -> None:
    """The BYE to the caller goes by the caller's proxies."""
    legs = Legs(shape, SHAPES[0])
    legs.answer(legs.call(), 200, [SDP], body=ANSWER)
    legs.check(legs.bob, "ACK")
    legs.alice.expect("200")
    legs.within(legs.alice, "ACK")
    legs.within(legs.bob, "BYE")
    legs.bob.expect("200")
    legs.alice.reply(legs.check(legs.alice, "BYE"), 200)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_a_cancel_that_lost_the_race(shape: Shape) -> None:
    """RFC 3261 9.2, 13.2.2.4: the callee's 2xx gets its ACK and a BYE, by the callee's proxies."""
    legs = Legs(SHAPES[0], shape)
    invite = legs.call()
    legs.bob.reply(invite, 180)
    legs.alice.expect("180")
    legs.alice.request("CANCEL")
    legs.alice.expect("487")
    legs.bob.expect("CANCEL")
    legs.answer(invite, 200, [SDP], body=ANSWER)
    legs.check(legs.bob, "ACK")
    legs.check(legs.bob, "BYE")
