"""When datagrams are gathered: by their rate, and never for long."""

from __future__ import annotations

import pytest

from sansip_sockets.gathering import BUSY, CROWDED, SPAN, VAIN, WINDOW, Gathering


def at_rate(rate: float, span: float = SPAN) -> Gathering:
    """Return one that has served ``rate`` datagrams a second for two windows, ten at a time."""
    gathering, now = Gathering(span), 100.0
    gathering.served(1, now)
    while now < 100.0 + 2.1 * WINDOW:
        now += 10 / rate
        gathering.served(10, now)
    return gathering


@pytest.mark.parametrize(
    ("rate", "pause"),
    [(300.0, 0.0), (BUSY * 0.95, 0.0), (BUSY * 1.05, SPAN), (CROWDED * 0.95, SPAN), (CROWDED * 1.05, 0.0)],
)
def test_the_rate_decides(rate: float, pause: float):
    assert at_rate(rate).pause == pause


def test_off():
    assert at_rate(BUSY * 2, 0.0).pause == 0.0


def test_the_end_of_a_load():
    """The first datagram after a silence ends it, however long ago the load was."""
    gathering = at_rate(BUSY * 2)
    assert gathering.pause
    gathering.served(1, 200.0)
    assert not gathering.pause


def test_one_burst_is_no_load():
    """So many at once as ``BUSY`` brings in a quarter of a window."""
    gathering = Gathering(SPAN)
    gathering.served(1, 50.0)
    gathering.served(int(BUSY * WINDOW / 4), 50.001)
    assert not gathering.pause
    gathering.served(1, 50.0 + WINDOW)
    assert not gathering.pause


def test_a_load_that_ends_while_others_are_served():
    """Connections must not be kept waiting for datagrams that come no more."""
    gathering = at_rate(BUSY * 2)
    for _ in range(VAIN):
        gathering.paused()
    assert gathering.pause
    # As long as some come, it goes on.
    gathering.served(1, 101.2)
    for _ in range(VAIN):
        gathering.paused()
    assert gathering.pause
    gathering.paused()
    assert not gathering.pause
