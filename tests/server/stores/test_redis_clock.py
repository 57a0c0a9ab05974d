"""Redis's clock: what the nodes count by, however their own are set."""

from __future__ import annotations

import pytest

from sansip_server.stores.redis_clock import RedisClock


class Bench:
    """Three clocks: the node's steady one, its wall clock, and Redis's."""

    def __init__(self, ahead: float = 0.0, way: float = 0.0) -> None:
        self.steady = 1000.0
        self.unix = 1_700_000_000.0
        self.ahead = ahead
        self.way = way
        self.asked = 0
        self.clock = RedisClock(lambda: self.steady, lambda: self.unix + self.ahead)

    def read(self) -> float:
        self.asked += 1
        self.pass_time(self.way / 2)
        said = self.unix
        self.pass_time(self.way / 2)
        return said

    def pass_time(self, seconds: float) -> None:
        self.steady += seconds
        self.unix += seconds

    def offset(self) -> float:
        return self.clock.offset(self.read)


@pytest.mark.parametrize("ahead", [0.0, 90.0, -3600.0])
def test_the_nodes_own_clock_does_not_matter(ahead: float) -> None:
    """Issue 23: a node 90 s ahead sees the same times as all others."""
    assert Bench(ahead).offset() == Bench().offset()


def test_it_is_asked_now_and_then() -> None:
    """The signs of life ask for it; without them an answer is good for ten seconds."""
    bench = Bench()
    for _ in range(100):
        bench.offset()
    assert bench.asked == 1
    bench.pass_time(11.0)
    bench.offset()
    assert bench.asked == 2


def test_a_suspended_machine() -> None:
    """Its steady clock stood still while Redis's went on: seen by its own Unix time, and asked at once."""
    bench = Bench()
    before = bench.offset()
    bench.unix += 60.0
    assert bench.offset() == pytest.approx(before + 60.0)
    assert bench.asked == 2


def test_a_clock_that_is_set() -> None:
    """The node's own was set: nothing changes but the skew."""
    bench = Bench()
    before = bench.offset()
    bench.ahead = 7200.0
    assert bench.offset() == before
    assert bench.clock.skew == 7200.0
    assert bench.clock.stepped == 0.0


def test_skew_is_told_beyond_a_second() -> None:
    """It is not told where the answer took so long that its way may be the cause."""
    near, far, slow = Bench(0.9), Bench(1.1), Bench(1.5, way=2.0)
    for bench in (near, far, slow):
        bench.offset()
    assert [bench.clock.is_off for bench in (near, far, slow)] == [False, True, False]


def test_redis_steps() -> None:
    """Another master, or its clock was set: bindings end by as much earlier, and that is told."""
    bench = Bench(way=0.1)
    bench.clock.ask(bench.read)
    assert bench.clock.stepped == 0.0
    bench.unix += 30.0
    bench.ahead = -30.0
    bench.clock.ask(bench.read)
    assert bench.clock.stepped == pytest.approx(30.0)
    bench.clock.ask(bench.read)
    assert bench.clock.stepped == 0.0
