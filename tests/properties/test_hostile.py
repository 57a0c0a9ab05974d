"""No input sequence makes a stack raise, and none leaves anything behind.

Everything an adapter can feed it, drawn from pools of good and bad parts, spoilt
here and there, in any order, at any time, with routes of every kind.
"""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansip.routing import ask
from sansip.routing.default import route as default
from tests.properties.traffic import Storm
from tests.rig import ALICE, BOB_URI, CAROL_URI, Rig, relay_to


async def serial(request: Any) -> None:
    """One target after the other, the last a name that nobody may know."""
    if request.validate() and await request.relay([BOB_URI, CAROL_URI]) is not None:
        await request.relay("sip:dave@nowhere.invalid")


async def asking(request: Any) -> None:
    """A question first, then a fork over transports."""
    answer = await ask("who")
    if answer == []:
        raise ValueError("a route that fails")
    request.record_route()
    request.relay([BOB_URI, "sip:carol@192.0.2.3;transport=tcp", "sip:x@later.invalid"])


def stateless(request: Any) -> None:
    """Forward without state."""
    request.relay(BOB_URI, stateless=True)


def as_it_is(request: Any) -> None:
    """Forward wherever the request says, checking nothing: an open relay."""
    request.record_route()
    request.relay()


def nothing(request: Any) -> None:
    """Decide nothing."""


ROUTES = [
    default,
    relay_to(BOB_URI),
    relay_to(BOB_URI, CAROL_URI),
    serial,
    asking,
    stateless,
    as_it_is,
    nothing,
]


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.__name__)
@pytest.mark.parametrize("seed", range(25))
def test_storm(route: Any, seed: int) -> None:
    """Eighty inputs from a seeded generator: deep states, the same every time."""
    storm = Storm(Rig(route), random.Random(f"{route.__name__} {seed}").choice)
    for _ in range(80):
        storm.step()
    storm.end()


@given(st.data())
def test_any_sequence(data: Any) -> None:
    """The same drawn by hypothesis, which finds the shortest sequence that fails."""
    storm = Storm(Rig(data.draw(st.sampled_from(ROUTES))), lambda items: data.draw(st.sampled_from(items)))
    for _ in range(data.draw(st.integers(1, 12))):
        storm.step()
    storm.end()


@given(st.lists(st.binary(max_size=200), max_size=6))
def test_any_octets(packets: list[bytes]) -> None:
    """Octets without any rhyme, as datagrams and as a stream."""
    rig = Rig(default)
    conn = rig.accept()
    for packet in packets:
        rig.udp(packet, ALICE)
        rig.tcp(conn, packet)
        rig.tcp(conn, packet, boundary=True)
    rig.run_out()
    rig.closed(conn)
    assert rig.empty
