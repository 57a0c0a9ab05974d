"""The heap of calls to be looked at: each at its time, once, and outdated entries are dropped."""

from __future__ import annotations

from sansip.modules.calls.call import Call
from sansip.modules.calls.watch import Watch


def call(name: str) -> Call:
    return Call(name, "id", "tag", "sip:a@a", "sip:b@b", "sip:b@b", "192.0.2.1", 0.0)


def watched(name: str) -> tuple[Watch, Call]:
    one = call(name)
    return Watch({one.id: one}), one


def test_the_latest_wish_counts() -> None:
    """A refresh puts a call off; the old entry wakes no call."""
    watch, one = watched("one")
    watch.look(one, 10.0)
    watch.look(one, 20.0)
    assert list(watch.passed(10.0)) == []
    assert list(watch.passed(20.0)) == [one]
    assert list(watch.passed(30.0)) == []


def test_bounded() -> None:
    """A phone that refreshes for ever fills nothing."""
    watch, one = watched("one")
    for number in range(10_000):
        watch.look(one, 10.0 + number)
    assert len(watch) < 10
    assert list(watch.passed(20_000.0)) == [one]


def test_over() -> None:
    """A call that has ended is not looked at."""
    watch, one = watched("one")
    watch.look(one, 10.0)
    one.state, one.over = "ended", True
    assert list(watch.passed(20.0)) == []


def test_one_entry_serves_both() -> None:
    """A call that is tried and then answered is entered once, and looked at when it is due, not before."""
    watch, one = watched("one")
    watch.look(one, 244.0, 64.0)
    watch.look(one, 66.0)
    assert len(watch) == 1
    assert list(watch.passed(64.0)) == []
    assert watch.next_due() == 66.0
    assert list(watch.passed(66.0)) == [one]


def test_an_earlier_wish_counts() -> None:
    """A session that is refreshed with a shorter interval ends when that is over."""
    watch, one = watched("one")
    watch.look(one, 20.0)
    watch.look(one, 10.0)
    assert list(watch.passed(10.0)) == [one]
    watch.look(one, 15.0)
    assert list(watch.passed(15.0)) == [one]
    assert list(watch.passed(30.0)) == []


def test_ended_calls_are_let_go() -> None:
    """Thousands of short calls a minute: nothing of them is kept until they would have been due."""
    calls: dict[str, Call] = {}
    watch = Watch(calls)
    for number in range(10_000):
        one = calls[str(number)] = call(str(number))
        watch.look(one, 100.0 + number)
        del calls[one.id]
    assert len(watch) < 300
    assert not any(isinstance(part, Call) for entry in watch._heap for part in entry)
