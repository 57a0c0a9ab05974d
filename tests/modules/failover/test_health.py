"""When a destination is out, when it is back, and why."""

from __future__ import annotations

from sansip.modules.failover.health import Health, Thresholds

BOUNDS = Thresholds(down_after=2, up_after=2, eject_after=3, rest=30.0, longest_rest=300.0)


def test_thresholds_both_ways() -> None:
    """One lost OPTIONS is no death, and one answer no recovery."""
    health = Health()
    assert not health.probe_failed("408 to OPTIONS", BOUNDS)
    assert health.obstacle(0.0) == ""
    assert health.probe_failed("408 to OPTIONS", BOUNDS)
    assert health.obstacle(0.0) == "down: 408 to OPTIONS"
    assert not health.probe_failed("408 to OPTIONS", BOUNDS), "it is told once"
    assert not health.probe_answered(0.01, BOUNDS)
    assert health.obstacle(0.0)
    assert health.probe_answered(0.01, BOUNDS)
    assert health.obstacle(0.0) == ""


def test_an_answer_between() -> None:
    """Failures count in a row."""
    health = Health()
    health.probe_failed("lost", BOUNDS)
    health.probe_answered(0.01, BOUNDS)
    health.probe_failed("lost", BOUNDS)
    assert health.obstacle(0.0) == ""


def test_the_operator_beats_all() -> None:
    """The operator's word holds, whatever OPTIONS say."""
    health = Health(admin="draining")
    health.probe_answered(0.01, BOUNDS)
    assert health.obstacle(0.0) == "draining"
    health.admin = "active"
    assert health.obstacle(0.0) == ""


def test_a_failed_request() -> None:
    """At once, without waiting for OPTIONS; where there are none, for a time."""
    health = Health()
    assert health.request_failed("408", None, True, BOUNDS, 0.0)
    assert health.obstacle(0.0) == "down: 408"
    assert not health.request_failed("408", None, True, BOUNDS, 0.0)
    health = Health()
    assert health.request_failed("408", None, False, BOUNDS, 0.0)
    assert health.obstacle(29.0) == "rests for 1 s: 408"
    assert health.obstacle(30.0) == ""


def test_retry_after() -> None:
    """RFC 3261 21.5.4, and no peer chooses more than the longest."""
    health = Health()
    health.request_failed("503", 20, True, BOUNDS, 0.0)
    assert health.obstacle(19.0)
    assert health.obstacle(20.0) == ""
    health.request_failed("503", 4_000_000, True, BOUNDS, 0.0)
    assert health.rests_until == 300.0


def test_too_many_faults() -> None:
    """Three 5xx in a row; any other answer between begins anew."""
    health = Health()
    assert [health.request_answered(status, BOUNDS, 0.0) for status in (500, 500, 200, 500, 500)] == [
        False
    ] * 5
    assert health.request_answered(500, BOUNDS, 0.0)
    assert "3 answers like 500" in health.obstacle(0.0)


def test_latency() -> None:
    """An average that moves by an eighth, and the 95th of the last hundred."""
    health = Health()
    assert (health.latency, health.p95) == (None, None)
    for number in range(200):
        health.answered(0.1 if number % 100 < 90 else 0.9)
    assert health.p95 == 0.9
    assert health.latency is not None
    assert 0.5 < health.latency < 0.9


def test_a_phone_that_declines() -> None:
    """RFC 3261 21.6: 6xx are a user's word, and show that the server behind them works."""
    health = Health()
    assert not any(health.request_answered(603, BOUNDS, 1.0) for _ in range(10))
    assert not health.obstacle(1.0)
    health.request_answered(500, BOUNDS, 1.0)
    health.request_answered(500, BOUNDS, 1.0)
    health.request_answered(600, BOUNDS, 1.0)
    assert not health.request_answered(500, BOUNDS, 1.0)
