"""When a destination is out, when it is back, and why."""

from __future__ import annotations

from sansip.modules.failover.health import Health, Thresholds

BOUNDS = Thresholds(down_after=2, up_after=2, eject_after=3, rest=30.0, longest_rest=300.0)


def test_thresholds_both_ways() -> None:
    """One lost OPTIONS is no death, and one answer no recovery."""
    health = Health()
    assert not health.probe_failed("408 to OPTIONS", True, BOUNDS, 0.0)
    assert health.obstacle(0.0) == ""
    assert health.probe_failed("408 to OPTIONS", True, BOUNDS, 0.0)
    assert health.obstacle(0.0) == "down: 408 to OPTIONS"
    assert not health.probe_failed("408 to OPTIONS", True, BOUNDS, 0.0), "it is told once"
    assert not health.probe_answered(0.01, BOUNDS, 0.0)
    assert health.obstacle(0.0)
    assert health.probe_answered(0.01, BOUNDS, 0.0)
    assert health.obstacle(0.0) == ""


def test_an_answer_between() -> None:
    """Failures count in a row."""
    health = Health()
    health.probe_failed("lost", True, BOUNDS, 0.0)
    health.probe_answered(0.01, BOUNDS, 0.0)
    health.probe_failed("lost", True, BOUNDS, 0.0)
    assert health.obstacle(0.0) == ""


def test_the_operator_beats_all() -> None:
    """The operator's word holds, whatever OPTIONS say."""
    health = Health(admin="draining")
    health.probe_answered(0.01, BOUNDS, 0.0)
    assert health.obstacle(0.0) == "draining"
    health.admin = "active"
    assert health.obstacle(0.0) == ""


def test_silence() -> None:
    """A caller may know a number that a gateway drops: OPTIONS decide, and others come first meanwhile."""
    health = Health()
    assert health.request_failed("408", "alice", 0.0, True, BOUNDS, 2.0) == "suspected"
    assert (health.suspected, health.obstacle(2.0)) == ("408", "")
    # One OPTIONS is on its way already.
    assert health.request_failed("408", "bob", 0.0, True, BOUNDS, 2.0) == ""
    assert not health.probe_answered(0.01, BOUNDS, 2.1)
    assert (health.suspected, health.obstacle(2.1)) == ("", "")
    assert health.request_failed("408", "alice", 3.0, True, BOUNDS, 5.0) == "suspected"
    # It needs no second silence.
    assert health.probe_failed("408 to OPTIONS", True, BOUNDS, 7.0) == "down"
    assert health.obstacle(7.0) == "down: 408, 408 to OPTIONS"
    assert health.request_failed("408", "alice", 0.0, True, BOUNDS, 7.0) == ""


def test_it_answers_others() -> None:
    """What answered since the request left is alive: the number is to blame."""
    health = Health()
    health.request_answered(486, "bob", BOUNDS, 1.0)
    assert health.request_failed("408", "alice", 0.5, True, BOUNDS, 2.5) == ""
    assert health.suspected == ""
    assert health.request_failed("408", "alice", 1.5, True, BOUNDS, 3.5) == "suspected"
    health.request_answered(200, "bob", BOUNDS, 3.6)
    assert health.suspected == ""


def test_silence_without_periodic_options() -> None:
    """The OPTIONS that decides is the only one, so the destination rests, for nothing would wake it."""
    health = Health()
    health.request_failed("408", "alice", 0.0, True, BOUNDS, 0.0)
    assert health.probe_failed("408 to OPTIONS", False, BOUNDS, 2.0) == "resting"
    assert health.obstacle(31.0).startswith("rests for 1 s: 408")
    assert health.obstacle(32.0) == ""


def test_silence_without_options() -> None:
    """``probe = false``: a second caller's request has to fail, too, and none be answered between."""
    health = Health()
    assert [health.request_failed("408", "alice", 0.0, False, BOUNDS, 0.0) for _ in range(9)] == [""] * 9
    assert health.request_failed("408", "bob", 0.0, False, BOUNDS, 0.0) == "resting"
    assert health.obstacle(29.0) == "rests for 1 s: 408"
    assert health.obstacle(30.0) == ""
    health.request_failed("408", "alice", 31.0, False, BOUNDS, 31.0)
    health.request_answered(404, "carol", BOUNDS, 32.0)
    assert health.request_failed("408", "bob", 33.0, False, BOUNDS, 33.0) == ""


def test_retry_after() -> None:
    """RFC 3261 21.5.4 holds for the caller who heard it, and for all once another heard it, too."""
    health = Health()
    assert not any(health.request_refused("503", 20, "alice", BOUNDS, 0.0) for _ in range(3))
    assert health.obstacle(19.0, "alice") == "told this caller to come again in 1 s"
    assert health.obstacle(19.0, "bob") == health.obstacle(20.0, "alice") == ""
    # The word of the first caller is over.
    assert not health.request_refused("503", 20, "bob", BOUNDS, 21.0)
    assert health.request_refused("503", 20, "carol", BOUNDS, 22.0)
    assert health.obstacle(41.0)
    assert health.obstacle(42.0) == ""
    # No peer chooses more than the longest.
    health.request_refused("503", 4_000_000, "dave", BOUNDS, 42.0)
    health.request_refused("503", 4_000_000, "erin", BOUNDS, 42.0)
    assert health.rests_until == 342.0


def test_too_many_faults() -> None:
    """Three callers' 5xx in a row; any other answer between begins anew."""
    health = Health()
    faults = [(500, "a"), (500, "b"), (200, "a"), (500, "a"), (500, "b")]
    assert not any(health.request_answered(status, caller, BOUNDS, 0.0) for status, caller in faults)
    assert health.request_answered(500, "c", BOUNDS, 0.0)
    assert health.obstacle(0.0).endswith("3 answers like 500 to as many callers in a row")


def test_one_caller() -> None:
    """A phone behind a gateway answers 500 to its friend as often as both like: no other call is moved."""
    health = Health()
    assert not any(health.request_answered(500, "alice", BOUNDS, 0.0) for _ in range(100))
    assert health.faults == ("alice",)
    # Silence counts in the same row: a gateway may answer OPTIONS, and no call.
    health.request_failed("408", "bob", -1.0, True, BOUNDS, 0.0)
    assert health.request_failed("408", "carol", -1.0, True, BOUNDS, 0.0) == "resting"


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
    assert not any(health.request_answered(603, str(number), BOUNDS, 1.0) for number in range(10))
    assert not health.obstacle(1.0)
    health.request_answered(500, "a", BOUNDS, 1.0)
    health.request_answered(500, "b", BOUNDS, 1.0)
    health.request_answered(600, "a", BOUNDS, 1.0)
    assert not health.request_answered(500, "c", BOUNDS, 1.0)
