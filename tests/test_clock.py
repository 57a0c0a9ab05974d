"""sansip.clock: one queue for each duration, and the order of what fires."""

from __future__ import annotations

from math import inf
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sansip.clock import Timer, Timers


class Owner:
    """Records what fired; may start or cancel timers when told."""

    def __init__(self) -> None:
        self.fired: list[tuple[Any, float]] = []
        self.then: Any = None

    def timer_fired(self, name: Any, now: float) -> None:
        self.fired.append((name, now))
        if self.then is not None:
            self.then(name, now)


def test_a_timer_fires_once() -> None:
    """At its deadline, not before."""
    timers, owner = Timers(), Owner()
    timers.start(1.0, 2.0, owner, "a")
    assert timers.next_deadline() == 3.0
    timers.fire_due(2.999)
    assert owner.fired == []
    timers.fire_due(3.0)
    timers.fire_due(4.0)
    assert owner.fired == [("a", 3.0)]
    assert timers.next_deadline() is None
    assert len(timers) == 0


def test_a_cancelled_timer_does_not() -> None:
    """Cancelling twice, or after it fired, is harmless."""
    timers, owner = Timers(), Owner()
    timer = timers.start(0.0, 1.0, owner, "a")
    timer.cancel()
    timer.cancel()
    timers.fire_due(5.0)
    assert owner.fired == []
    late = timers.start(5.0, 1.0, owner, "b")
    timers.fire_due(6.0)
    late.cancel()
    assert owner.fired == [("b", 6.0)]


def test_in_the_order_of_deadlines() -> None:
    """Across durations, when several are due at once."""
    timers, owner = Timers(), Owner()
    timers.start(0.0, 4.0, owner, "four")
    timers.start(0.0, 0.5, owner, "half")
    timers.start(3.0, 0.5, owner, "three and a half")
    timers.start(0.0, 32.0, owner, "thirty-two")
    timers.fire_due(40.0)
    assert [name for name, _ in owner.fired] == ["half", "three and a half", "four", "thirty-two"]


def test_a_timer_started_by_a_timer() -> None:
    """A timer that is due already fires in the same call; a later one waits."""
    timers, owner = Timers(), Owner()

    def then(name: Any, now: float) -> None:
        if name == "first":
            timers.start(now - 10, 1.0, owner, "past")
            timers.start(now, 1.0, owner, "future")

    owner.then = then
    timers.start(0.0, 1.0, owner, "first")
    timers.fire_due(1.0)
    assert [name for name, _ in owner.fired] == ["first", "past"]
    assert timers.next_deadline() == 2.0


def test_a_timer_cancelled_by_a_timer_due_at_once() -> None:
    """The first of two cancels the second."""
    timers, owner = Timers(), Owner()
    second: list[Timer] = []
    owner.then = lambda name, now: second[0].cancel()
    timers.start(0.0, 1.0, owner, "first")
    second.append(timers.start(0.0, 2.0, owner, "second"))
    timers.fire_due(5.0)
    assert [name for name, _ in owner.fired] == ["first"]


def test_cancelled_timers_are_not_kept() -> None:
    """A queue drops them when they reach its head, so a million answered INVITEs hold nothing."""
    timers, owner = Timers(), Owner()
    for number in range(10_000):
        timers.start(number / 1000, 32.0, owner, number).cancel()
    assert len(timers) <= 1
    timers.fire_due(1000.0)
    assert len(timers) == 0
    assert timers.next_deadline() is None


def test_durations_that_peers_choose_do_not_pile_up() -> None:
    """An empty queue goes once there are many."""
    timers, owner = Timers(), Owner()
    for number in range(1000):
        timers.start(0.0, 1.0 + number / 7, owner, number)
    for now in range(500):
        timers.fire_due(float(now))
    assert len(owner.fired) == 1000
    assert len(timers._queues) < 100


def test_nothing_is_due_too_late() -> None:
    """``next_deadline`` is never after the deadline of a live timer."""
    timers, owner = Timers(), Owner()
    timers.start(0.0, 32.0, owner, "long")
    timers.start(0.0, 0.5, owner, "short").cancel()
    deadline = timers.next_deadline()
    assert deadline is not None
    assert deadline <= 32.0
    timers.fire_due(deadline)
    assert timers.next_deadline() == 32.0


@given(
    st.lists(
        st.tuples(st.sampled_from([0.5, 1.0, 2.0, 4.0, 5.0, 32.0]), st.floats(0, 3), st.booleans()),
        max_size=60,
    )
)
def test_against_a_list(plan: list[tuple[float, float, bool]]) -> None:
    """A model: the same timers fire, at the first look at or after their deadlines, in order."""
    timers, owner = Timers(), Owner()
    now = 0.0
    live: list[tuple[float, int]] = []
    expected: list[tuple[float, int]] = []
    for number, (duration, pause, keep) in enumerate(plan):
        timer = timers.start(now, duration, owner, number)
        if keep:
            live.append((now + duration, number))
        else:
            timer.cancel()
        now += pause
        timers.fire_due(now)
        expected += sorted(one for one in live if one[0] <= now)
        live = [one for one in live if one[0] > now]
        deadline = timers.next_deadline()
        if live:
            assert deadline is not None
            assert deadline <= min(live)[0]
    timers.fire_due(now + 100)
    expected += sorted(live)
    assert sorted(name for name, _ in owner.fired) == sorted(number for _, number in expected)
    by_name = dict(owner.fired)
    for deadline, number in expected:
        assert by_name[number] >= deadline
    assert len(timers) == 0


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.0, 0.25, 1.0]), st.sampled_from([0.5, 4.0]), st.sampled_from([0.0, 0.25, 3.0])
        ),
        max_size=30,
    )
)
def test_timers_that_began_before(plan: list[tuple[float, float, float]]) -> None:
    """Those put in late fire at their deadlines, among those that were started meanwhile."""
    timers, owner = Timers(), Owner()
    now = 100.0
    deadlines = []
    for step, duration, ago in plan:
        end = now + step
        while (due := timers.next_deadline()) is not None and due <= end:
            now = max(now, due)
            timers.fire_due(now)
        now = end
        if ago and ago < duration:
            timers.put(now - ago + duration, duration, owner, now)
            deadlines.append(now - ago + duration)
        else:
            timers.start(now, duration, owner, now)
            deadlines.append(now + duration)
    while (due := timers.next_deadline()) is not None:
        now = max(now, due)
        timers.fire_due(now)
    assert sorted(deadlines) == [at for _, at in owner.fired]
    assert len(timers) == 0


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("start"), st.sampled_from([0.5, 4.0, 32.0])),
            st.tuples(st.just("put"), st.sampled_from([0.5, 4.0, 32.0])),
            st.tuples(st.just("cancel"), st.integers(0, 30)),
            st.tuples(st.just("pass"), st.sampled_from([0.0, 0.25, 3.0, 40.0])),
            st.tuples(st.just("first"), st.none() | st.integers(0, 60)),
            st.tuples(st.just("second"), st.none() | st.integers(0, 60)),
        ),
        max_size=40,
    )
)
def test_the_earliest_is_always_true(plan: list[tuple[str, Any]]) -> None:
    """One number, asked after each step: the least deadline of timers and of the queues beside them.

    A timer that was cancelled may count until the next look at what is due, so then it may be too early.
    """
    timers, owner = Timers(), Owner()
    queues = {"first": timers.beside(), "second": timers.beside()}
    beside = {"first": inf, "second": inf}
    now = looked = 100.0
    held: list[Timer] = []
    for what, given_ in plan:
        if what == "start":
            held.append(timers.start(now, given_, owner, "timer"))
        elif what == "put":
            held.append(timers.put(now + given_ / 2, given_, owner, "timer"))
        elif what == "cancel":
            if given_ < len(held):
                held[given_].cancel()
        elif what == "pass":
            now += given_
            timers.fire_due(now)
            looked = now
        else:
            beside[what] = inf if given_ is None else now + given_
            queues[what](beside[what])
        others = min(beside.values())
        most = min([others, *(one.deadline for one in held if one.owner is not None)])
        least = min([others, *(one.deadline for one in held if one.deadline > looked)])
        assert least <= timers.earliest <= most
        assert timers.next_deadline() == (None if timers.earliest == inf else timers.earliest)


def test_a_timer_that_is_put_while_others_fire() -> None:
    """A relay that fires puts a timer in front of its queue: no later timer may be forgotten by that.

    RFC 3261 17.1.2.2: without Timer E a BYE that was lost is never sent again.
    """
    timers, owner = Timers(), Owner()
    timers.start(9.0, 5.0, owner, "behind")

    def put(name: Any, now: float) -> None:
        if name == "first":
            timers.put(now + 2.0, 5.0, owner, "put")

    owner.then = put
    timers.start(10.0, 1.0, owner, "first")
    while (due := timers.next_deadline()) is not None:
        timers.fire_due(due)
    assert owner.fired == [("first", 11.0), ("put", 13.0), ("behind", 14.0)]
