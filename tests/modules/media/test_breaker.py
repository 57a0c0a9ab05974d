"""The breaker's table is whole, and a relay is tried by pings alone while it is down."""

from __future__ import annotations

from sansip.modules.media.breaker import INPUTS, STATES, TABLE, Breaker


def test_total() -> None:
    """design.md 3: a line for each pair of state and input."""
    assert set(TABLE) == {(state, what) for state in STATES for what in INPUTS}
    assert set(TABLE.values()) == set(STATES)


def test_rests_double() -> None:
    """1, 2, 4 and then the longest; work begins anew."""
    breaker = Breaker(1.0, 5.0)
    assert breaker.failed("silent", 0.0)
    assert not breaker.failed("silent too", 0.5)
    assert breaker.why == "silent"
    now, rests = 0.0, []
    for _ in range(4):
        rests.append(breaker.rests_until - now)
        assert not breaker.may_try(breaker.rests_until - 0.01)
        now = breaker.rests_until
        assert breaker.may_try(now)
        assert not breaker.may_try(now)
        assert not breaker.failed("still", now)
    assert rests == [1.0, 2.0, 4.0, 5.0]
    assert breaker.answered()
    assert not breaker.answered()
    # It answers pings, and nothing else.
    assert breaker.failed("again", now)
    assert breaker.rests_until == now + 5.0
    breaker.answered()
    breaker.worked()
    assert breaker.failed("again", now)
    assert breaker.rests_until == now + 1.0
