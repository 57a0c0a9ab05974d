"""The cost of an octet does not grow with their number: no message stalls the server.

Why it matters: 26 KB of Route in one datagram took a second and a half, for each value was
taken off by writing the line anew. It was found by luck, and such things have neighbours.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sansip.transport import Listener, Listeners
from sansip.wire.headers.registry import PARSERS
from tests.cost.growing import FIELDS, GROWING, READ, Growing
from tests.cost.measure import grows, seconds, slows, steps
from tests.cost.scenes import SCENES


def fitting(scene: str) -> list[Growing]:
    every = SCENES[scene][1]
    return [one for one in GROWING if every or not one.key or one.key in READ]


def test_every_field_grows() -> None:
    """A field that the reader learns is lengthened here as well."""
    assert set(FIELDS) == {*PARSERS, "via"}
    assert set(READ) <= set(FIELDS)


def test_the_measures_see_what_is_quadratic() -> None:
    """A check that cannot fail proves nothing: a loop of Python by steps, one of C by seconds."""
    listeners = Listeners([Listener(1, "udp", "192.0.2.10", 5060)])

    def loop(octets: int) -> Callable[[], object]:
        return lambda: [listeners.serves("a") for _ in range((octets // 100) ** 2)]

    def text(octets: int) -> Callable[[], object]:
        return lambda: [("a," * octets).replace("a", "b", 1) for _ in range(octets)]

    assert grows(lambda octets: steps(loop(octets)), 8_000)
    assert slows(lambda octets: seconds(text(octets)), 16_000)
    assert not grows(lambda octets: steps(lambda: [listeners.serves("a") for _ in range(octets)]), 8_000)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("scene", SCENES)
def test_steps(scene: str) -> None:
    """Lines of code run for an octet: no more for many octets than for few."""
    play = SCENES[scene][0]

    def cost(growing: Growing) -> Callable[[int], int]:
        return lambda octets: steps(play(growing, octets))

    worse = {one.name: why for one in fitting(scene) if (why := grows(cost(one), one.most))}
    assert worse == {}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("scene", SCENES)
def test_seconds(scene: str) -> None:
    """Processor time for an octet, where it is enough to be measured."""
    play = SCENES[scene][0]

    def cost(growing: Growing) -> Callable[[int], float]:
        return lambda octets: seconds(play(growing, octets))

    worse = {one.name: why for one in fitting(scene) if (why := slows(cost(one), one.most))}
    assert worse == {}
