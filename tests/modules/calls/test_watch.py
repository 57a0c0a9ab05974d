"""The heap of calls to be looked at: each at its time, once, and outdated entries are dropped."""

from __future__ import annotations

from sansip.modules.calls.call import Call
from sansip.modules.calls.watch import Watch


def call(name: str) -> Call:
    return Call(name, "id", "tag", "sip:a@a", "sip:b@b", "sip:b@b", "192.0.2.1", 0.0)


def test_the_latest_wish_counts() -> None:
    """A refresh puts a call off; the old entry wakes no call."""
    watch, one = Watch(), call("one")
    watch.look(one, 10.0, 1)
    watch.look(one, 20.0, 1)
    assert list(watch.passed(10.0)) == []
    assert list(watch.passed(20.0)) == [one]
    assert list(watch.passed(30.0)) == []


def test_bounded() -> None:
    """A phone that refreshes for ever fills nothing."""
    watch, one = Watch(), call("one")
    for number in range(10_000):
        watch.look(one, 10.0 + number, 1)
    assert len(watch) < 1_100
    assert list(watch.passed(20_000.0)) == [one]


def test_over() -> None:
    """A call that has ended is not looked at."""
    watch, one = Watch(), call("one")
    watch.look(one, 10.0, 1)
    one.state, one.over = "ended", True
    assert list(watch.passed(20.0)) == []
