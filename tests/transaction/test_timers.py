"""RFC 3261 table 4: every duration follows from T1, T2 and T4."""

from __future__ import annotations

import pytest

from sansip.transaction import TimerValues


def test_defaults() -> None:
    """Table 4: T1 500 ms, T2 4 s, T4 5 s, Timer C above three minutes, Timer D at least 32 s."""
    values = TimerValues()
    assert (values.t1, values.t2, values.t4, values.t1x64) == (0.5, 4, 5, 32)
    assert values.c > 180
    assert values.d >= 32


def test_t1_scales_the_rest() -> None:
    """17.1.1.1: nearly all of the timers scale with T1."""
    assert TimerValues(t1=1.0).t1x64 == 64


@pytest.mark.parametrize("name", ["t1", "t2", "t4", "c", "d"])
@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_only_positive_durations(name: str, value: float) -> None:
    """A timer of no duration would fire for ever."""
    with pytest.raises(ValueError, match=f"timer {name}"):
        TimerValues(**{name: value})
