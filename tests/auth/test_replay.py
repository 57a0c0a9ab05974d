"""No request is believed twice, whatever was forgotten in between (RFC 7616 3.4, 5.5)."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sansip.auth.nonce import Nonce, Nonces
from sansip.auth.replay import ONCE, NonceCounts
from sansip.entropy import Entropy

KEY = b"k" * 16


class Process:
    """One process of a server: it makes nonces, and counts how they are used."""

    _seeds = itertools.count()

    def __init__(self, unix: float, most: int = 100) -> None:
        self.nonces = Nonces([KEY], Entropy(b"%016d" % next(self._seeds)), 300.0)
        self.now = 0.0
        self.counts = NonceCounts(self.nonces.life, most, unix)

    def make(self, unix: float) -> Nonce:
        # Time passes, whatever the time of day does.
        self.now += 0.001
        made = self.nonces.read(self.nonces.make("r", "here", unix, self.now), "r", None, unix)
        assert made is not None
        return made

    def accept(self, nonce: Nonce, count: int = 1) -> bool:
        # Asking first must change nothing.
        used = bool(self.counts.objection(nonce, count))
        accepted = self.counts.accept(nonce, count)
        assert used is not accepted
        return accepted


def test_counts_rise() -> None:
    process = Process(1000.0)
    nonce = process.make(1000.0)
    assert [process.accept(nonce, count) for count in (1, 1, 3, 2, 3, 4)] == [1, 0, 1, 0, 0, 1]


def test_what_came_without_a_count() -> None:
    """RFC 2069: once, and no later answer of any kind."""
    process = Process(1000.0)
    nonce, other = process.make(1000.0), process.make(1000.0)
    assert process.accept(nonce, ONCE)
    assert not process.accept(nonce, ONCE)
    assert not process.accept(nonce, 0xFFFF_FFFF)
    assert process.accept(other, 1)
    assert process.accept(other, ONCE)


def test_a_recording_from_before_a_restart() -> None:
    """The counts are gone, so nonces of the former process are worthless; new ones are good."""
    before = Process(1000.0)
    recorded = before.make(1050.0)
    assert before.accept(recorded)
    after = Process(1060.0)
    assert not after.accept(recorded, 1)
    assert not after.accept(recorded, 2)
    assert after.accept(after.make(1060.0))
    # Within one second no process can tell.
    assert not after.accept(before.make(1060.9))


def test_another_node() -> None:
    """This node believes, once, a nonce that another node made later: no third node can have seen it."""
    other, here = Process(1000.0), Process(1010.0)
    nonce = other.make(1020.0)
    assert here.accept(nonce, 2)
    assert not here.accept(nonce, 2)
    assert not here.accept(other.make(1009.0))


def test_an_evicted_nonce() -> None:
    """Its count does not start anew: a nonce no younger than the newest forgotten one is refused."""
    process = Process(1000.0, most=2)
    first, second, unused = (process.make(1000.0) for _ in range(3))
    assert process.accept(first, 7)
    assert process.accept(second)
    assert process.accept(unused)
    assert not process.accept(first, 1)
    assert not process.accept(first, 8)
    # The order of use decides who goes, and none that was used and went comes back.
    young = process.make(1000.0)
    assert process.accept(young)
    assert not process.accept(second)
    assert process.accept(process.make(1000.0))
    assert len(process.counts) == 2


def test_an_evicted_nonce_of_another_node() -> None:
    other, here = Process(1000.0), Process(1000.0, most=1)
    first = other.make(1010.0)
    assert here.accept(first)
    assert here.accept(here.make(1011.0))
    assert not here.accept(first)
    assert not here.accept(other.make(1010.0))
    assert here.accept(other.make(1011.0))


def test_a_clock_that_is_set_back() -> None:
    """A node that began two hours ahead believes the others again as soon as its clock is right."""
    other, here = Process(1000.0), Process(8200.0, most=1)
    assert not here.accept(other.make(1010.0))
    here.counts.look(1020.0)
    assert here.accept(other.make(1021.0))
    assert here.accept(here.make(1022.0))
    # Little steps are none: clocks differ.
    here.counts.look(1000.0)
    assert not here.accept(other.make(1015.0))


MAKE = st.tuples(st.just("make"), st.booleans())
USE = st.tuples(st.just("use"), st.integers(0, 30), st.sampled_from([1, 2, 3, ONCE]))
PASS = st.tuples(st.just("pass"), st.sampled_from([0.001, 1.0, 100.0]))
RESTART = st.tuples(st.just("restart"))
CLOCK = st.tuples(st.just("clock"), st.sampled_from([-7200.0, -5.0, 0.0, 5.0, 7200.0]))


class History:
    """The nonces accepted so far; ``used`` asserts that none of them came twice."""

    def __init__(self) -> None:
        self.made: list[Nonce] = []
        self._accepted: set[tuple[bytes, int]] = set()

    def used(self, process: Process, which: int, count: int) -> None:
        if self.made and process.accept(nonce := self.made[which % len(self.made)], count):
            assert (nonce.text, count) not in self._accepted
            self._accepted.add((nonce.text, count))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(MAKE, USE, USE, PASS, RESTART), max_size=60), st.integers(1, 4))
def test_nothing_is_accepted_twice(steps: list[tuple[Any, ...]], most: int) -> None:
    """However few counts are kept, whatever is played again: across restarts, with another node."""
    unix = 10_000.0
    here, other, history = Process(unix, most), Process(unix, most), History()
    for what, *values in steps:
        here.counts.look(unix)
        if what == "make":
            history.made.append((other if values[0] else here).make(unix))
        elif what == "use":
            history.used(here, *values)
        elif what == "pass":
            unix += values[0]
        else:
            here = Process(unix, most)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(MAKE, USE, USE, PASS, CLOCK), max_size=60), st.integers(1, 4))
def test_nothing_is_accepted_twice_by_any_clock(steps: list[tuple[Any, ...]], most: int) -> None:
    """A process's own nonces, while somebody sets the time of day, to and fro.

    (Those of others are told by it: a clock that was ahead before a restart, and is right
    after it, is what ``other_nodes`` is for.)
    """
    unix, ahead = 10_000.0, 0.0
    here, history = Process(unix, most), History()
    for what, *values in steps:
        here.counts.look(unix + ahead)
        if what == "make":
            history.made.append(here.make(unix + ahead))
        elif what == "use":
            history.used(here, *values)
        elif what == "pass":
            unix += values[0]
        else:
            ahead = values[0]


def test_workers_believe_their_own_nonces_alone() -> None:
    """Workers of one server see a client's answer at one of them: what two believe counts twice."""
    one, other = Process(1_000.0), Process(1_000.0)
    for process in (one, other):
        process.counts.own_only = True
    nonce = one.make(1_010.0)
    assert not other.accept(nonce)
    assert one.accept(nonce)
    assert not other.accept(nonce)
